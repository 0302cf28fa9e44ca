"""What the chat gets to read, each thing once, by Apprise over a real socket."""

import json

import pytest

from tests.support.loopback import Hook
from tests.support.outbox import World
from ticketbot.app import App
from ticketbot.db.models import Answer, Model
from ticketbot.deliver import alerts
from ticketbot.errors import SettingsError
from ticketbot.operate import notices

# Apprise's own, on old Pythons.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
NOW = 1_800_000_000.0
WEEK_S = 7 * 86400


@pytest.fixture
def chat():
    """What Apprise's JSON messages come to."""
    with Hook() as found:
        yield found


@pytest.fixture
def world(db, settings_with, chat):
    return World(db, settings_with({"chat.urls": [f"json://{chat.netloc}"], "chat.labels_needed": 2}))


def tell(world, after_s=0.0):
    return notices.tell(world.db, world.settings, NOW + after_s)


def test_an_alert_is_told_once(world, chat):
    assert tell(world) == 0
    with world.db.write() as session:
        alerts.alert(session, world.db, "desk", "refused", "it refuses what we send", NOW + 1)
    assert (tell(world, 2), tell(world, 3)) == (1, 0)
    assert chat.got[0]["title"] == "ticketbot: deliveries need a look"
    assert chat.got[0]["message"] == "desk: it refuses what we send"


def test_a_model_that_was_promoted_or_refused_is_told_with_its_reason(world, chat):
    with world.db.write() as session:
        for name, state, promoted_at in (("m1", "champion", NOW - 50), ("m2", "refused", None)):
            row = Model(id=name, state=state, created_at=NOW - 60, promoted_at=promoted_at, reason="it says so")
            row.manifest = {}
            session.add(row)
    assert (tell(world), tell(world, 60)) == (1, 0)
    assert sorted(chat.got[0]["message"].splitlines()) == ["m1: promoted. it says so", "m2: refused. it says so"]


def test_labels_needed_are_told_once_a_day(world, chat):
    for name in ("a", "b"):
        world.picture(name)
        world.predict(name, None, tell=False)
    assert (tell(world), tell(world, 3600), tell(world, 86401)) == (1, 0, 1)
    assert chat.got[0]["message"].startswith("2 pictures wait for a person: http")


def test_the_week_comes_at_its_time_with_a_picture(world, chat):
    tell(world)
    body = json.dumps({"data": {"category": "errors"}}).encode()
    with world.db.write() as session:
        times = {"due_at": NOW, "created_at": NOW, "delivered_at": NOW + WEEK_S - 60}
        row = Answer(id="msg_1", endpoint="desk", ticket="7", seq=1, type="ticket.answered", state="delivered")
        row.body = body
        for name, value in times.items():
            setattr(row, name, value)
        session.add(row)
    assert (tell(world, WEEK_S), tell(world, WEEK_S + 60)) == (1, 0)
    (message,) = chat.got
    assert "1 tickets answered" in message["message"] and "errors: 1" in message["message"]
    (attached,) = message["attachments"]
    assert attached["mimetype"] == "image/png" and attached["base64"].startswith("iVBOR")


def test_without_addresses_nothing_is_told(db, settings_with):
    assert notices.tell(db, settings_with(), NOW) == 0


def test_an_address_apprise_does_not_know_is_said_without_its_secret(settings_with, caplog):
    with pytest.raises(SettingsError, match="nonsense://chat/…'"):
        notices.check(settings_with({"chat.urls": ["nonsense://me:pw@chat/t0ken"]}))
    assert "t0ken" not in caplog.text and "pw" not in caplog.text
    settings = settings_with({"chat.urls": ["json://127.0.0.1:1/", "nonsense"]})
    with pytest.raises(SettingsError, match=r"chat.urls\[1\] is 'nonsense'"):
        notices.check(settings)
    with pytest.raises(SettingsError, match=r"chat.urls\[1\]"):
        App(settings)  # nothing starts
