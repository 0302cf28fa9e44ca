"""A process that dies between two steps of a preset: another one goes on, and all of it is on the ticket once."""

import json
import re
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.support import forks, scenarios
from tests.support.minidesk import MiniDesk
from ticketbot import failpoints
from ticketbot.db import connect
from ticketbot.db.models import Answer, Base
from ticketbot.deliver.send import deliver_due
from ticketbot.deliver.ulid import message_id

PAGE = (Path(__file__).parent.parent.parent / "docs" / "add-a-system.md").read_text()
PRESET = re.search(r"```toml\n(.*?)```", PAGE, re.S)[1]
STEPS = ("read ticket", "write fields", "look for our note", "internal note")
LEASE_S = 1.0


class FaultAtStep(scenarios.Fault):
    """Strikes when the failpoint is passed for the `step`-th time."""

    def __init__(self, point, step, action, folder):
        super().__init__(point, action, folder)
        self.left = step

    def __call__(self, name):
        if name == self.point:
            self.left -= 1
        if self.left < 0:
            super().__call__(name)


def deliver(settings, url, later_s):
    db = connect(url)
    try:
        return deliver_due(db, settings, lambda: time.time() + later_s)
    finally:
        db.close()


def struck(settings, url, point, step, action, folder):
    """In a process of its own."""
    failpoints.arm(FaultAtStep(point, step, action, folder))
    try:
        deliver(settings, url, 0.0)
    except Exception as error:
        (Path(folder) / "error").write_text(repr(error))


@pytest.fixture
def desk():
    found = MiniDesk()
    yield found
    found.close()


@pytest.fixture
def world(settings_with, tmp_path, desk):
    """(settings, database URL) with one answer for ticket 7 in the outbox."""
    (tmp_path / "minidesk.toml").write_text(PRESET)
    values = {"url": desk.url, "preset": str(tmp_path / "minidesk.toml"), "mode": "live", "allow": ["127.0.0.1"]}
    values["secrets"] = {"api_key": "mini-secret-key"}
    quick = {"timeout_s": LEASE_S / 2, "lease_margin_s": LEASE_S / 2, "jitter": 0, "schedule_s": [0, 1, 1, 1, 1]}
    overrides = {f"endpoints.desk.{key}": value for key, value in values.items()}
    settings = settings_with({**overrides, **{f"deliver.{key}": value for key, value in quick.items()}})
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    db = connect(url)
    Base.metadata.create_all(db.engine)
    data = {"ticket": "7", "seq": 1, "category": "errors", "categories": ["errors"], "confidence": 0.97, "by": "m1"}
    body = json.dumps({"type": "ticket.answered", "data": {**data, "pictures": [], "pictures_total": 1}}).encode()
    now = time.time()
    known = {"endpoint": "desk", "ticket": "7", "seq": 1, "type": "ticket.answered"}
    with db.write() as session:
        session.add(Answer(id=message_id(now), body=body, due_at=now - 1, created_at=now, **known))
    db.close()
    return settings, url


@pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)
@pytest.mark.parametrize("point", [point for point in failpoints.POINTS if point.startswith("preset.")])
@pytest.mark.parametrize("action", ["kill", "crash", "full", "stall"])
def test_all_of_it_is_on_the_ticket_once(world, desk, tmp_path, point, step, action):
    settings, url = world
    process = forks.start(struck, settings, url, point, step, action, str(tmp_path))
    ends_at = time.monotonic() + 30
    while not (tmp_path / "struck").exists():
        assert process.exitcode is None and time.monotonic() < ends_at, f"{point} was not reached {step + 1} times"
        time.sleep(0.005)
    stands_until = time.monotonic() + LEASE_S
    if action != "stall":
        process.join(30)
        assert process.exitcode == (-9 if action == "kill" else 0)
    counts = deliver(settings, url, later_s=5.0)
    if action == "stall":
        time.sleep(max(0.0, stands_until - time.monotonic()))
        (tmp_path / "release").touch()
        process.join(30)
        assert process.exitcode == 0
    assert counts == {"delivered": 1}
    ticket, notes = desk.tickets["7"], desk.notes["7"]
    assert (ticket["category"], ticket["tags"]) == ("errors", ["vip", "errors"])
    db = connect(url)
    with db.read() as session:
        (answer,) = session.scalars(select(Answer))
    db.close()
    assert answer.state == "delivered"
    assert [answer.id in note["text"] for note in notes] == [True]
