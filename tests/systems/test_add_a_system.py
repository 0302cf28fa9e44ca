"""docs/add-a-system.md, followed literally: its preset, its settings, its commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.minidesk import MiniDesk

PAGE = (Path(__file__).parent.parent.parent / "docs" / "add-a-system.md").read_text()
PRESET, SETTINGS = re.findall(r"```toml\n(.*?)```", PAGE, re.S)[:2]
COMMANDS = re.search(r"```sh\n(.*?)```", PAGE, re.S)[1].splitlines()


@pytest.fixture
def desk():
    found = MiniDesk()
    yield found
    found.close()


@pytest.fixture
def run(tmp_path, desk):
    (tmp_path / "minidesk.toml").write_text(PRESET)
    settings = SETTINGS.replace("http://127.0.0.1:8000", desk.url)
    (tmp_path / "ticketbot.toml").write_text(f'[general]\ndata_dir = "var"\n{settings}')

    def command(line):
        words = line.split("#")[0].split()
        assert words[0] == "ticketbot"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKETBOT_")}
        call = [sys.executable, "-m", "ticketbot", *words[1:]]
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
        return subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)

    return command


def test_the_page_leads_to_a_category_a_tag_and_one_note(run, desk):
    dry, first, second = (run(line) for line in COMMANDS)
    assert (dry.returncode, first.returncode, second.returncode) == (0, 0, 0), dry.stderr + first.stderr
    assert "not sent: dry run" in dry.stdout
    ticket = desk.tickets["7"]
    assert (ticket["category"], ticket["tags"], ticket["version"]) == ("errors", ["vip", "errors"], 5)
    (note,) = desk.notes["7"]
    assert note["internal"] and "ticketbot: errors" in note["text"]
    assert "mini-secret-key" not in dry.stdout + first.stdout + second.stdout
    assert "changed on the ticket by: write fields, internal note" in first.stdout


def test_a_dry_run_changes_nothing(run, desk):
    run(COMMANDS[0])
    assert (desk.tickets["7"]["version"], desk.notes["7"]) == (3, [])


def test_a_slip_in_the_preset_is_said_before_anything_is_sent(run, desk, tmp_path):
    for wrong, said in (
        (PRESET.replace("{tags|add:tag}", "{tag_list}"), "nothing gives {tag_list}"),
        (PRESET.replace("|add:tag", "|plus:tag"), "there is no filter 'plus'"),
        (PRESET.replace("must_be", "must"), "must"),
        (PRESET.replace('"{category}"', '"{category"', 1) + "=", "not valid TOML"),
    ):
        (tmp_path / "minidesk.toml").write_text(wrong)
        done = run(COMMANDS[1])
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert desk.tickets["7"]["version"] == 3


def test_a_ticket_that_is_not_there_ends_with_1(run):
    done = run("ticketbot --config ticketbot.toml preset check desk --ticket 8")
    assert done.returncode == 1
    assert "404" in done.stdout and "changed on the ticket by: nothing" in done.stdout
