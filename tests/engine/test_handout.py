"""Which ids go out, and what is sent again? With a broker that is a list."""

import pytest
from sqlalchemy import update

from tests.support.outbox import SECRET, put_answers
from tests.support.shelf import put_model, stage_colour
from ticketbot.classify import bulk
from ticketbot.db.models import Answer, HandedOut, Switch
from ticketbot.deliver import claim as delivery
from ticketbot.engine import handout
from ticketbot.errors import NotReady, SettingsError

NOW = 1_000_000.0


@pytest.fixture
def settings(settings_with):
    def make(**more):
        desk = {"url": "http://127.0.0.1:9/", "secret": SECRET, "mode": "live", "allow": ["127.0.0.1"]}
        return settings_with(
            {
                "classify.batch": 4,
                "engine.in_flight": 10,
                **{f"endpoints.desk.{name}": value for name, value in desk.items()},
                **more,
            }
        )

    return make


class Wire:
    def __init__(self, broken=False):
        self.sent, self.broken = [], broken

    def __call__(self, kind, batches):
        if self.broken:
            raise NotReady("the broker does not take work")
        self.sent += [(kind, list(batch)) for batch in batches]

    def ids(self, kind):
        return [one for of, batch in self.sent if of == kind for one in batch]


def noted(db):
    with db.read() as session:
        return {(row.kind, row.id) for row in session.query(HandedOut)}


def go(db, settings, wire, now=NOW):
    return handout.hand_out(db, settings, now, wire)


def test_what_is_due_goes_out_once_in_batches_and_in_order(db, settings):
    made, wire = settings(), Wire()
    put_model(db, made, "m1")
    shas = [stage_colour(db, made, n % 4, seed=n, staged_at=float(n)) for n in range(6)]
    assert go(db, made, wire)["classify"] == 6
    assert wire.sent == [("classify", shas[:4]), ("classify", shas[4:])]
    assert go(db, made, wire)["classify"] == 0, "it is on its way"
    assert noted(db) == {("classify", one) for one in shas}


def test_no_more_than_so_many_are_on_their_way(db, settings):
    made, wire = settings(**{"engine.in_flight": 3}), Wire()
    put_model(db, made, "m1")
    for n in range(5):
        stage_colour(db, made, n % 4, seed=n, staged_at=float(n))
    assert go(db, made, wire)["classify"] == 3
    assert go(db, made, wire)["classify"] == 0
    handout.received(db, "classify", wire.ids("classify")[:2], NOW + 1)
    claimed = bulk.claim(db, made, "m1", NOW + 1, only=wire.ids("classify")[:2])
    assert len(claimed) == 2
    assert go(db, made, wire, NOW + 1)["classify"] == 2, "those in work are not sent again"
    assert len(set(wire.ids("classify"))) == 5


def test_what_was_lost_is_sent_again_and_not_before(db, settings):
    made, wire = settings(**{"engine.resend_s": 60}), Wire()
    put_model(db, made, "m1")
    (sha256,) = [stage_colour(db, made, 0)]
    go(db, made, wire)
    assert go(db, made, wire, NOW + 59)["classify"] == 0
    assert go(db, made, wire, NOW + 61) == {"again": 1, "classify": 1, "deliver": 0}
    assert wire.ids("classify") == [sha256, sha256]


def test_a_long_queue_is_not_taken_for_a_loss(db, settings):
    made, wire = settings(**{"engine.resend_s": 60}), Wire()
    put_model(db, made, "m1")
    shas = [stage_colour(db, made, n % 4, seed=n) for n in range(3)]
    go(db, made, wire)
    handout.received(db, "classify", shas[:1], NOW + 50)
    bulk.claim(db, made, "m1", NOW + 50, only=shas[:1])
    assert go(db, made, wire, NOW + 100) == {"again": 0, "classify": 0, "deliver": 0}, "workers waited 50 s for theirs"
    assert go(db, made, wire, NOW + 151)["again"] == 2


def test_a_worker_that_dies_with_them_in_its_hands_holds_them_for_its_lease(db, settings):
    made, wire = settings(), Wire()
    put_model(db, made, "m1")
    sha256 = stage_colour(db, made, 0)
    go(db, made, wire)
    handout.received(db, "classify", [sha256], NOW)
    bulk.claim(db, made, "m1", NOW, only=[sha256])
    lease_s = made.classify.lease_s
    assert go(db, made, wire, NOW + lease_s - 1)["classify"] == 0
    assert go(db, made, wire, NOW + lease_s + 1)["classify"] == 1


def test_a_broker_that_is_away_leaves_no_note_behind(db, settings):
    made, wire = settings(), Wire(broken=True)
    put_model(db, made, "m1")
    stage_colour(db, made, 0)
    with pytest.raises(NotReady):
        go(db, made, wire)
    assert noted(db) == set()
    wire.broken = False
    assert go(db, made, wire)["classify"] == 1


def test_a_copy_of_a_message_finds_nothing_to_do(db, settings):
    made, wire = settings(), Wire()
    put_model(db, made, "m1")
    sha256 = stage_colour(db, made, 0)
    go(db, made, wire)
    assert len(bulk.claim(db, made, "m1", NOW, only=[sha256])) == 1
    assert bulk.claim(db, made, "m1", NOW, only=[sha256]) == []
    assert bulk.claim(db, made, "m1", NOW, only=["0" * 64]) == []


def test_only_the_first_in_line_of_a_ticket_goes_out(db, settings):
    made, wire = settings(), Wire()
    ids = put_answers(db, [("desk", "T-1", 1), ("desk", "T-1", 2), ("desk", "T-2", 1)], now=NOW - 10)
    assert go(db, made, wire)["deliver"] == 2
    assert set(wire.ids("deliver")) == {ids[0], ids[2]}
    claimed = delivery.claim(db, made, NOW, {}, {}, [ids[0]])
    assert [one.id for one in claimed.taken] == [ids[0]]
    with db.write() as session:
        session.execute(update(Answer).where(Answer.id == ids[0]).values(state="delivered"))
    assert go(db, made, wire)["deliver"] == 1
    assert wire.ids("deliver")[-1] == ids[1]


def test_nothing_goes_out_while_deliveries_are_paused(db, settings):
    made, wire = settings(), Wire()
    put_answers(db, [("desk", "T-1", 1)], now=NOW - 10)
    with db.write() as session:
        session.add(Switch(name=delivery.PAUSED, value="1", who="ann", at=NOW))
    assert go(db, made, wire)["deliver"] == 0


def test_history_and_what_the_champion_answered_stay(db, settings):
    made, wire = settings(), Wire()
    put_model(db, made, "m1")
    stage_colour(db, made, 0, wanted=False)
    stage_colour(db, made, 1, model_id="m1")
    older = stage_colour(db, made, 2, model_id="m0")
    go(db, made, wire)
    assert wire.ids("classify") == [older]


def test_a_clock_set_back_is_no_wait_of_an_hour(db, settings):
    made, wire = settings(), Wire()
    put_model(db, made, "m1")
    stage_colour(db, made, 0)
    go(db, made, wire, NOW + 3600)
    assert go(db, made, wire, NOW)["classify"] == 1


def test_celery_needs_postgresql_and_a_broker(settings_with):
    celery = {"engine.kind": "celery", "engine.broker": "redis://127.0.0.1:1/0"}
    with pytest.raises(SettingsError, match=r"needs PostgreSQL: set database\.url"):
        settings_with(celery)
    postgres = {"database.url": "postgresql+psycopg://u@127.0.0.1/x"}
    with pytest.raises(SettingsError, match=r"engine\.broker"):
        settings_with({**postgres, "engine.kind": "celery"})
    with pytest.raises(SettingsError, match="must begin with redis://"):
        settings_with({**postgres, **celery, "engine.broker": "http://127.0.0.1"})
    assert settings_with({**postgres, **celery}).engine.in_flight == 1000
