"""Every hostile input gets the answer that was promised: `pytest tests/acceptance/test_badinputs.py --badinputs FILE`.

Without --badinputs the list beside the project is taken, when there is one. The end of the run says for each id whether
it held or fell short.
"""

from pathlib import Path

import pytest

from tests.acceptance import cases


def pytest_generate_tests(metafunc):
    named = metafunc.config.getoption("badinputs")
    file = Path(named) if named else cases.BESIDE_THE_PROJECT
    if not named and not file.is_file():
        reason = "no list of bad inputs: give one with --badinputs FILE"
        metafunc.parametrize("case", [pytest.param(None, marks=pytest.mark.skip(reason=reason))])
        return
    loaded = cases.load(file)
    metafunc.parametrize("case", loaded, ids=[case.id for case in loaded])


def test_a_bad_input_gets_the_answer_that_was_promised(case, request):
    area = cases.runner(case.area)
    if area is None:
        pytest.skip(f"no runner yet for the area {case.area}")
    unknown = cases.unknown_keys(case, area)
    assert not unknown, f"fields that nobody looks at: {unknown}"
    area.run(case, request)
