"""F2: every named failpoint, struck by a kill, an exception, a full disk and a stall past the lease.

A process is struck in the middle of its work; another one (with a clock past every lease) takes up what it left, and
the invariants of the kill loop must hold. A failpoint that was not reached fails.
"""

import ast
import csv
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.support import forks, scenarios
from tests.support.installation import Installation, jpeg
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from ticketbot import failpoints
from ticketbot.contracts import bundle, snapshot
from ticketbot.db import connect, migrate
from ticketbot.db.models import Label, LabelEvent, Model, Training
from ticketbot.failpoints import POINTS
from ticketbot.retrain import shelf

PACKAGE = Path(failpoints.__file__).parent
# Alembic has one context a process.
ONE_AT_A_TIME = threading.Lock()
ACTIONS = ("kill", "crash", "full", "stall")


def calls_of_failpoint():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
                yield node.args[0].value


def test_every_failpoint_is_listed_once_with_its_reason_and_every_listed_one_is_in_the_code():
    assert sorted(calls_of_failpoint()) == sorted(POINTS)
    assert len(POINTS) >= 45


def test_every_failpoint_is_in_the_documentation_with_its_reason():
    text = (PACKAGE.parent / "docs" / "reliability.md").read_text()
    assert [name for name, why in POINTS.items() if f"| `{name}` | {why} |" not in text] == []


def test_a_failpoint_does_nothing_unless_a_test_armed_it():
    failpoints.failpoint("send.posted")
    seen = []
    failpoints.arm(seen.append)
    failpoints.failpoint("send.posted")
    failpoints.arm(None)
    failpoints.failpoint("send.posted")
    assert seen == ["send.posted"]


# What writes on a ticket step by step is struck at each step: test_kill_preset.py.
@pytest.mark.parametrize("point", [point for point in POINTS if not point.startswith("preset.")])
def test_nothing_is_lost_or_doubled_when_it_strikes(point, tmp_path):
    """Each action has an installation of its own; the four run at the same time."""
    with ThreadPoolExecutor(len(ACTIONS)) as threads:
        found = list(threads.map(lambda action: struck_and_taken_over(point, action, tmp_path / action), ACTIONS))
    assert {action: wrongs for action, wrongs in zip(ACTIONS, found, strict=True) if wrongs} == {}


def struck_and_taken_over(point, action, folder):
    """-> what is wrong in the end."""
    scenario = scenarios.REACHED_BY[point.partition(".")[0]]
    with Receiver(SECRET) as desk:
        desk.script(500)
        with ONE_AT_A_TIME:
            world = Installation(folder / "world", desk, sources__erp__ticket_retry_s="[]")
        PREPARE.get(scenario, lambda world: None)(world)
        strike(world, scenario, point, action, folder)
        CHECK_HALF.get(scenario, lambda world: None)(world)
        process = forks.start(scenarios.recover, world.settings, scenario, LATER_S.get(scenario, 5.0), str(folder))
        process.join(60)
        assert process.exitcode == 0, f"{point}, {action}: nobody could take over"
        CHECK.get(scenario, lambda world: None)(world)
        return [*json.loads((folder / "stuck").read_text()), *world.wrongs(desk)]


def strike(world, scenario, point, action, folder):
    """Run the scenario in a process that is struck; one that stalls goes on after another has done its work."""
    process = forks.start(scenarios.faulted, world.settings, scenario, point, action, str(folder))
    wait_for(lambda: (folder / "struck").exists() or process.exitcode is not None)
    assert (folder / "struck").exists(), f"{point} was never reached: {error_of(folder)}"
    if action == "stall":
        other = forks.start(scenarios.meanwhile, world.settings, scenario)
        other.join(0.7)  # on SQLite it cannot go on while the other stands still inside a transaction
        (folder / "release").touch()
        other.join(30)
        assert other.exitcode == 0
    process.join(30)
    assert process.exitcode == (-9 if action == "kill" else 0)


def error_of(folder):
    return (folder / "error").read_text() if (folder / "error").exists() else None


def wait_for(condition, timeout_s=30):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


# --- what each scenario needs, and what must be true of it beyond the invariants --------------------------------------


def prepare_loop(world):
    """Two pictures on one ticket, one on another, one that a person sorts, and one that is on no ticket."""
    world.upload(0, "T-1")
    world.upload(4, "T-1")
    world.upload(2, "T-2")
    world.upload(3, "T-3")
    world.truth["T-3"] = "errors"
    sorted_by_hand = world.settings.data_dir / "labelled" / "errors"
    sorted_by_hand.mkdir(parents=True)
    (sorted_by_hand / "mine.jpg").write_bytes(jpeg(3))
    world.add("9", "no ticket.jpg", jpeg(5))


def prepare_labels(world):
    folder = world.folder / "labels"
    folder.mkdir()
    rows = []
    for number in range(25):  # more than are written in one transaction
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
        rows.append([f"{number}.jpg", ["reports", "errors"][number % 2]])
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([["name", "label"], *rows])


def prepare_training(world):
    """Two labelled pictures of each category."""
    folder = world.folder / "labels"
    folder.mkdir()
    lines = ["name,label"]
    for number in range(8):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
        lines.append(f"{number}.jpg,{world.settings.categories[number % 4]}")
    (folder / "labels.csv").write_text("\n".join(lines))
    scenarios.labels(world.settings)


def prepare_publish(world):
    from tests.support.bundles import make_bundle

    make_bundle(world.folder / "m2", model_id="m2")


def prepare_schedule(world):
    world.upload(0, "T-1")


def check_labels(world):
    db = connect(world.settings.database_url)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(LabelEvent)) == 25, "each word once"
        assert session.scalar(select(func.count()).select_from(Label)) == 25
    db.close()
    with open(world.folder / "labels" / "export.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 25


def check_old_or_new(world):
    db = connect(world.settings.database_url)
    with db.read() as session:
        (champion,) = session.scalars(select(Model.id).where(Model.state == "champion"))
    db.close()
    assert champion in ("m1", "m2")
    bundle.read(shelf.folder_of(world.settings, champion))


def check_new(world):
    db = connect(world.settings.database_url)
    assert shelf.champion(db).id == "m2"
    db.close()


def check_training(world):
    check_new(world)
    db = connect(world.settings.database_url)
    with db.read() as session:
        states = session.scalars(select(Training.state)).all()
    db.close()
    assert "running" not in states and "succeeded" in states
    for one in (world.settings.data_dir / "trainings").glob("*/snapshot"):
        if snapshot.is_snapshot(one):
            snapshot.read(one)  # whole, or not there


def check_migration(world):
    db = connect(f"sqlite:///{world.folder / 'new.db'}")
    assert migrate.current(db) == migrate.head(db)
    db.close()


PREPARE = {
    "loop": prepare_loop,
    "labels": prepare_labels,
    "publish": prepare_publish,
    "training": prepare_training,
    "schedule": prepare_schedule,
}
CHECK_HALF = {"publish": check_old_or_new, "training": check_old_or_new}
CHECK = {"labels": check_labels, "publish": check_new, "training": check_training, "migration": check_migration}
# A training that lost its keeper is given up after two minutes.
LATER_S = {"training": 300.0}
