"""Does the tutorial work, literally? Its commands are run as they stand; a real service is really trained."""

import re

import pytest

from tests.support import examples

pytestmark = [pytest.mark.slow, pytest.mark.train, pytest.mark.timeout(1800)]


def test_from_nothing_to_a_tagged_ticket(tmp_path):
    pytest.importorskip("torch", reason="the tutorial trains")
    said = examples.tutorial(tmp_path)
    assert "Traceback" not in said
    terminals = "".join(path.read_text() for path in sorted(tmp_path.rglob("terminal-*.out")))
    assert "Traceback" not in terminals
    heard = re.findall(r"^ticket (T-\d+) is (\w+)$", terminals, re.M)
    assert heard.count(("T-901", "errors")) == 2, "the picture and the ticket, each once"
    assert ("T-902", "tickets") in heard
    assert heard[-1] == ("T-901", "screens"), "a person's word came last"
