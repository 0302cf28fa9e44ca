"""What may a person do about deliveries?"""

import time

import pytest
from sqlalchemy import select

from tests.support.outbox import NOW, SECRET, put_answers, sha
from ticketbot.db.models import Answer, Audit, EndpointState
from ticketbot.deliver import admin, breaker, endpoints, keys, sign
from ticketbot.errors import Conflict, SettingsError, UsageError


def states(db):
    with db.read() as session:
        return [row.state for row in session.scalars(select(Answer).order_by(Answer.ticket, Answer.seq))]


def audits(db):
    with db.read() as session:
        return [(row.who, row.what, row.detail) for row in session.scalars(select(Audit).order_by(Audit.id))]


def test_a_dead_answer_goes_out_again_under_its_id_however_often_it_is_pressed(db):
    (id_,) = put_answers(db, [("desk", "T1", 1)], state="dead")
    assert admin.redeliver(db, "key-1", "ann", NOW + 5, ids=[id_]) == 1
    assert admin.redeliver(db, "key-1", "ann", NOW + 6, ids=[id_]) == 0
    assert admin.redeliver(db, "key-2", "ann", NOW + 7, ids=[id_]) == 0, "it still waits"
    with db.read() as session:
        row = session.get(Answer, id_)
        assert (row.state, row.attempts, row.due_at) == ("pending", 0, NOW + 5)
    assert [what for _, what, _ in audits(db)] == ["answers sent again"]


def test_the_same_key_does_nothing_even_after_it_was_delivered(db):
    (id_,) = put_answers(db, [("desk", "T1", 1)], state="dead")
    admin.redeliver(db, "key-1", "ann", NOW, ids=[id_])
    with db.write() as session:
        session.get(Answer, id_).state = "delivered"
    assert admin.redeliver(db, "key-1", "ann", NOW, ids=[id_]) == 0
    assert admin.redeliver(db, "key-2", "ann", NOW, ids=[id_]) == 1
    with db.write() as session:
        session.get(Answer, id_).state = "delivered"
    assert admin.redeliver(db, "key-1", "ann", NOW, ids=[id_]) == 0, "not only the last key is remembered"


def test_a_range_takes_the_dead_of_one_endpoint_since_a_time(db):
    put_answers(db, [("desk", "T1", 1)], now=NOW - 100, state="dead")
    put_answers(db, [("desk", "T2", 1), ("other", "T3", 1)], state="dead")
    put_answers(db, [("desk", "T4", 1)], state="delivered")
    assert admin.redeliver(db, "k", "ann", NOW, since=NOW - 1, endpoint="desk") == 1
    assert states(db) == ["dead", "pending", "dead", "delivered"]


def test_a_selection_takes_what_it_names(db):
    first, _, third = put_answers(db, [("desk", "T1", 1), ("desk", "T2", 1), ("desk", "T3", 1)], state="dead")
    assert admin.redeliver(db, "k", "ann", NOW, ids=[first, third, "msg_unknown"]) == 2
    assert states(db) == ["pending", "dead", "pending"]


@pytest.mark.parametrize("arguments", [{"key": ""}, {"key": "x" * 129}, {"ids": [], "since": None}])
def test_redelivering_without_a_key_or_a_choice_is_refused(db, arguments):
    with pytest.raises(UsageError):
        admin.redeliver(db, **{"key": "k", "who": "ann", "now": NOW, "ids": ["msg_1"], **arguments})


def test_held_answers_go_out_only_when_a_person_says_so(world_with):
    world = world_with({"endpoints.desk.mode": "dry_run"})
    world.picture("a", "T1")
    world.predict("a", "errors")
    world.decide()
    with pytest.raises(Conflict, match="not live"):
        admin.release(world.db, world.settings, "desk", "ann", world.now)
    live = world_with()
    assert states(world.db) == ["held", "held"]
    assert admin.release(world.db, live.settings, "desk", "ann", world.now) == {"released": 2, "cancelled": 0}
    assert states(world.db) == ["pending", "pending"]


def test_a_held_answer_that_a_newer_one_replaced_is_not_let_go(world_with):
    world = world_with({"endpoints.desk.mode": "dry_run"})
    world.picture("a", "T1")
    world.picture("b", "T1")
    world.predict("a", "errors")
    world.predict("b", "errors")
    world.decide()
    world.settings = world_with().settings
    world.label("a", "reports")
    world.decide()
    assert admin.release(world.db, world.settings, "desk", "ann", world.now) == {"released": 1, "cancelled": 2}
    with_state = {(row.type, row.sha256): row.state for row in world.answers()}
    assert with_state == {
        ("picture.classified", sha("a")): "cancelled",
        ("picture.classified", sha("b")): "pending",
        ("ticket.answered", None): "cancelled",
        ("picture.corrected", sha("a")): "pending",
        ("ticket.corrected", None): "pending",
    }


def test_enabling_starts_healthy_and_slowly(db):
    with db.write() as session:
        state = endpoints.state_of(session, db, "desk")
        state.disabled_at, state.disabled_why, state.failing_since, state.opened_at = NOW, "410", NOW - 1, NOW
    admin.enable(db, "desk", "ann", NOW + 10)
    with db.read() as session:
        health, _ = endpoints.look(session, "desk")
        assert session.get(EndpointState, "desk").disabled_why is None
    assert health == breaker.Health(slow_since=NOW + 10)


def test_the_overview_counts_by_endpoint_and_says_how_late_it_is(db, settings_with):
    settings = settings_with({"endpoints.desk.url": "https://desk.example.com/"})
    put_answers(db, [("desk", "T1", 1), ("desk", "T2", 1)])
    put_answers(db, [("gone", "T1", 1)], state="dead")
    with db.read() as session:
        found = admin.overview(session, settings, NOW + 7)
    assert found["desk"] == {"mode": "dry_run", "pending": 2, "late_s": 7}
    assert found["gone"] == {"mode": "removed", "dead": 1}


def test_a_secret_is_shown_once_and_lies_encrypted(db, settings_with, caplog):
    settings = settings_with({"endpoints.desk.url": "https://desk.example.com/"})
    with caplog.at_level("DEBUG"):
        secret = admin.rotate_secret(db, settings, "desk", "ann", NOW)
    sign.key_of(secret)
    with db.read() as session:
        kept = session.get(EndpointState, "desk").secrets
    assert secret.removeprefix("whsec_") not in repr(kept) + caplog.text + repr(audits(db))
    assert keys.signing(settings, "desk", kept, NOW) == [secret]


def test_each_rotation_leaves_the_one_before_a_day(db, settings_with):
    settings = settings_with({"endpoints.desk.url": "https://desk.example.com/"})

    def signing(at):
        with db.read() as session:
            return keys.signing(settings, "desk", session.get(EndpointState, "desk").secrets, at)

    first = admin.rotate_secret(db, settings, "desk", "ann", NOW)
    second = admin.rotate_secret(db, settings, "desk", "ann", NOW + 100)
    assert signing(NOW + 100) == [second, first]
    assert signing(NOW + 100 + 86399) == [second, first]
    assert signing(NOW + 100 + 86400) == [second]
    assert signing(NOW + 1e9) == [second], "the newest never runs out"


def test_at_most_five_secrets_sign(db, settings_with):
    settings = settings_with({"endpoints.desk.url": "https://desk.example.com/", "endpoints.desk.secret": SECRET})
    made = [admin.rotate_secret(db, settings, "desk", "ann", NOW + n) for n in range(7)]
    with db.read() as session:
        kept = session.get(EndpointState, "desk").secrets
    assert keys.signing(settings, "desk", kept, NOW + 7) == made[:-6:-1]


def test_a_secret_of_the_settings_takes_part_until_it_is_rotated_away(settings_with):
    settings = settings_with({"endpoints.desk.url": "https://desk.example.com/", "endpoints.desk.secret": SECRET})
    assert keys.signing(settings, "desk", [], NOW) == [SECRET]
    new, kept = keys.rotated(settings, "desk", [], NOW)
    assert keys.signing(settings, "desk", kept, NOW + 1) == [new, SECRET]
    assert keys.signing(settings, "desk", kept, NOW + 86400) == [new]
    newer, kept = keys.rotated(settings, "desk", kept, NOW + 90000)
    assert keys.signing(settings, "desk", kept, NOW + 90001) == [newer, new], "it does not come back"
    other = settings_with(
        {"endpoints.desk.url": "https://desk.example.com/", "endpoints.desk.secret": sign.new_secret()}
    )
    assert len(keys.signing(other, "desk", kept, NOW + 90001)) == 3, "a new one in the settings takes part"


def test_a_bad_secret_in_the_settings_is_refused_without_showing_it(settings_with):
    settings = settings_with({"endpoints.desk.url": "https://desk.example.com/", "endpoints.desk.secret": "hunter22"})
    with pytest.raises(SettingsError) as error:
        keys.signing(settings, "desk", [], NOW)
    assert "hunter22" not in str(error.value)


def test_an_unknown_endpoint_gets_no_secret(db, settings_with):
    with pytest.raises(UsageError, match="desk"):
        admin.rotate_secret(db, settings_with({"endpoints.desk.url": "https://d.example/"}), "dsek", "ann", time.time())


def test_pausing_twice_is_pausing(db):
    admin.pause(db, "ann", NOW)
    admin.pause(db, "bob", NOW)
    admin.resume(db, "bob", NOW)
    admin.resume(db, "bob", NOW)
    assert [what for _, what, _ in audits(db)] == ["deliveries paused"] * 2 + ["deliveries resumed"] * 2
