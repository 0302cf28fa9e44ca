"""Do the calls that docs/how-to/api.md shows work, literally? Against a real service with pictures and a model."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import examples
from tests.support.bundles import make_bundle, picture
from tests.support.needs import missing
from tests.support.receiver import Receiver
from tests.support.service import Service
from tests.support.shelf import jpeg
from tests.support.world import World
from ticketbot.deliver.sign import new_secret

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "api.md"


@pytest.fixture
def world(tmp_path):
    """Two pictures on a ticket, classified and answered."""
    secret = new_secret()
    with Receiver(secrets=[secret]) as desk:
        made = World(tmp_path, desk.url, secret)
        # The names the page uses.
        categories = '[general]\ncategories = ["reports", "errors", "screens", "tickets"]'
        made.config.write_text(made.config.read_text().replace("[general]", categories))
        make_bundle(tmp_path / "bundle", classes=("reports", "errors", "screens", "tickets"))
        made.once()
        done = made.run("models", "import", str(tmp_path / "bundle"), "--promote")
        assert done.returncode == 0, done.stderr
        for number in (0, 1):
            made.add("7", f"{number}.jpg", jpeg(picture(number, px=96 + number)), "T-1")
        made.once()
        yield made


def test_the_calls_of_the_page_and_its_python(world, tmp_path):
    if shutil.which("curl") is None:
        missing("curl is not installed (apt-get install curl)")
    (tmp_path / "picture.jpg").write_bytes(jpeg(picture(2, px=96)))
    python = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)[1]
    (tmp_path / "page.py").write_text(python)
    with Service(world) as service:
        service.wait_ready()
        said = examples.run(
            PAGE,
            tmp_path,
            replaced={"8788": str(service.port)},
            after="API=$API TOKEN=$TOKEN python page.py",
            timeout_s=120,
            TICKETBOT_CONFIG=str(world.config),
        )
    assert "Traceback" not in said
    listed = re.findall(r"^([0-9a-f]{64}) (\w+) (\w+)$", said, re.M)
    assert len(listed) == 2 and sorted(label for _, label, _ in listed) == ["None", "screens"]


def test_every_python_block_of_the_guides_compiles():
    for page in sorted(PAGE.parents[1].rglob("*.md")):
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.S | re.M)):
            compile(code, f"{page.name} block {number}", "exec")


def test_a_line_that_is_not_said_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\nX=5\n```\n```sh\necho it is $X, really\n```\n```text\nit is …, really\n```\n")
    assert "it is 5" in examples.run(page, tmp_path)
    page.write_text(page.read_text().replace("it is …", "it was …"))
    with pytest.raises(AssertionError, match="was not said"):
        examples.run(page, tmp_path)
    page.write_text("```sh\nfalse\n```\n")
    with pytest.raises(AssertionError):
        examples.run(page, tmp_path)


def test_what_runs_in_another_terminal_ends_with_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\n# in a second terminal\necho $BASHPID > pid; sleep 300\n```\n"
        "```sh\nuntil test -s pid; do sleep 0.1; done\n```\n"
    )
    examples.run(page, tmp_path)
    done = subprocess.run(
        ["ps", "-p", (tmp_path / "pid").read_text().strip(), "-o", "stat="], capture_output=True, text=True
    )
    assert done.stdout.strip()[:1] in ("", "Z"), "it runs on"
