"""Pictures of the past: asked for, in small batches, at a pace, and never before a new one."""

import time

import pytest

from tests.support.bundles import picture
from tests.support.shelf import jpeg, put_model, stage_colour
from tests.support.world import World
from ticketbot import flow
from ticketbot.app import App
from ticketbot.classify import backfill, bulk
from ticketbot.classify.bulk import Bulk
from ticketbot.classify.serving import Serving
from ticketbot.db.models import Answer, Picture, Prediction
from ticketbot.errors import NotReady, SettingsError, UsageError

NOW = 1_000_000.0


@pytest.fixture
def settings(settings_with):
    return lambda **more: settings_with({"classify.batch": 4, "backfill.per_s": 0, **more})


def past(db, settings, n, start=0):
    return [stage_colour(db, settings, number % 4, seed=number, wanted=False) for number in range(start, start + n)]


def new(db, settings, n, start=500):
    return [stage_colour(db, settings, number % 4, seed=number) for number in range(start, start + n)]


def answered(db):
    with db.read() as session:
        return {row.sha256: row.model_id for row in session.query(Prediction)}


def run(db, settings, decoders, now=NOW, **options):
    ways = {"now": lambda: now, "take": backfill.claim, "threads": 1, **options}
    return Bulk(db, settings, Serving(db, settings), decoders, lambda *_: None, **ways).run()


def test_nobody_looks_at_the_past_until_somebody_asks(db, settings, decoders):
    made = settings()
    put_model(db, made, "m1")
    shas = past(db, made, 6)
    assert run(db, made, decoders)["classified"] == 0
    begun = backfill.start(db, "ann", NOW)
    assert (begun.total, begun.left, begun.done) == (6, 6, 0)
    assert run(db, made, decoders)["classified"] == 6
    assert set(answered(db)) == set(shas)
    assert backfill.standing(db) is None, "it is done and over"


def test_new_pictures_are_claimed_first_and_the_past_waits_for_them(db, settings):
    made = settings()
    put_model(db, made, "m1")
    old, fresh = past(db, made, 6), new(db, made, 6)
    backfill.start(db, "ann", NOW)
    order = []
    assert backfill.claim(db, made, "m1", NOW) == [], "something new waits"
    while taken := (bulk.claim(db, made, "m1", NOW) or backfill.claim(db, made, "m1", NOW)):
        order += [one.sha256 for one in taken]
    assert set(order[:6]) == set(fresh) and set(order[6:]) == set(old)


def test_what_comes_in_the_middle_goes_before_the_rest(db, settings):
    made = settings()
    put_model(db, made, "m1")
    past(db, made, 12)
    backfill.start(db, "ann", NOW)
    assert len(backfill.claim(db, made, "m1", NOW)) == 4
    (fresh,) = new(db, made, 1)
    assert backfill.claim(db, made, "m1", NOW) == []
    assert [one.sha256 for one in bulk.claim(db, made, "m1", NOW)] == [fresh]
    assert len(backfill.claim(db, made, "m1", NOW)) == 4, "the new one is in work: nobody waits for it"


def test_the_pace_is_kept_by_all_workers_together(db, settings):
    made = settings(**{"backfill.per_s": 2})
    put_model(db, made, "m1")
    past(db, made, 60)
    backfill.start(db, "ann", NOW)
    taken = [len(backfill.claim(db, made, "m1", NOW)) for _ in range(2)]
    assert sum(taken) == 4, "the second worker finds the pace used up"
    for tenth in range(1, 101):
        for _ in range(3):
            taken.append(len(backfill.claim(db, made, "m1", NOW + tenth / 10)))
    assert 20 <= sum(taken) <= 2 * 10 + 2 * backfill.CREDIT_S + 4


def test_an_idle_hour_is_not_made_up_for(db, settings):
    made = settings(**{"backfill.per_s": 2})
    put_model(db, made, "m1")
    past(db, made, 40)
    backfill.start(db, "ann", NOW)
    taken = 0
    while some := backfill.claim(db, made, "m1", NOW + 3600):
        taken += len(some)
    assert taken <= 2 * backfill.CREDIT_S + 4


def test_a_clock_set_back_stops_it_for_no_day(db, settings):
    made = settings(**{"backfill.per_s": 2})
    put_model(db, made, "m1")
    past(db, made, 8)
    backfill.start(db, "ann", NOW)
    assert backfill.claim(db, made, "m1", NOW + 86_400)
    assert backfill.claim(db, made, "m1", NOW)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("", [0, 12, 23], []),
        ("20-6", [20, 23, 0, 5], [6, 12, 19]),
        ("8-18", [8, 17], [7, 18, 0]),
        ("0-24", [0, 23], []),
    ],
)
def test_hours(hours, inside, outside):
    assert all(backfill.in_hours(hours, hour) for hour in inside)
    assert not any(backfill.in_hours(hours, hour) for hour in outside)


def test_hours_are_kept(db, settings):
    made = settings(**{"backfill.hours": "20-6"})
    put_model(db, made, "m1")
    past(db, made, 4)
    backfill.start(db, "ann", NOW)
    noon, night = (time.mktime((2026, 5, 4, hour, 30, 0, 0, 0, -1)) for hour in (12, 22))
    assert (backfill.is_due(db, made, noon), backfill.is_due(db, made, night)) == (False, True)
    with pytest.raises(SettingsError, match=r"backfill\.hours"):
        settings(**{"backfill.hours": "25-3"})


def test_it_stops_goes_on_and_says_how_far_it_is(db, settings, decoders):
    made = settings()
    put_model(db, made, "m1")
    past(db, made, 10)
    backfill.start(db, "ann", NOW)
    assert len(backfill.claim(db, made, "m1", NOW)) == 4
    backfill.stop(db, "ann", NOW)
    assert backfill.claim(db, made, "m1", NOW) == []
    assert not backfill.is_due(db, made, NOW)
    backfill.resume(db, "ann", NOW)
    found = backfill.standing(db)
    assert (found.running, found.total, found.left) == (True, 10, 10)
    # The worker that held four was killed: after the lease others take them.
    assert run(db, made, decoders)["classified"] == 6
    assert backfill.standing(db).done == 6
    assert run(db, made, decoders, now=NOW + made.classify.lease_s + 1)["classified"] == 4
    assert backfill.standing(db) is None
    with pytest.raises(UsageError, match="there is no backfill"):
        backfill.resume(db, "ann", NOW)


def test_a_new_model_does_not_go_over_the_past_again_unless_told(db, settings, decoders):
    made = settings()
    put_model(db, made, "m1")
    shas = past(db, made, 4)
    backfill.start(db, "ann", NOW)
    run(db, made, decoders)
    put_model(db, made, "m2", shift=1)
    with db.read() as session:
        assert not session.query(Picture).filter(Picture.wanted).count(), "it is no new ticket's"
    assert bulk.claim(db, made, "m2", NOW) == []
    with pytest.raises(UsageError, match="nothing to do"):
        backfill.start(db, "ann", NOW)
    assert backfill.start(db, "ann", NOW, again=True).total == 4
    run(db, made, decoders)
    with db.read() as session:
        assert {row.sha256 for row in session.query(Prediction).filter_by(model_id="m2")} == set(shas)


def test_a_model_that_was_overtaken_answers_nothing(db, settings):
    made = settings()
    put_model(db, made, "m1")
    past(db, made, 4)
    backfill.start(db, "ann", NOW)
    put_model(db, made, "m2")
    assert backfill.claim(db, made, "m1", NOW) == []


def test_without_a_model_it_is_refused(db, settings):
    with pytest.raises(NotReady):
        backfill.start(db, "ann", NOW)


def test_the_command_and_the_rounds_of_a_real_installation(tmp_path):
    """A first install meets old files: known, then classified on request, and nothing is said about them."""
    world = World(tmp_path, "http://127.0.0.1:9/hook", "whsec_" + "A" * 32, backfill__per_s="0")
    for number in range(5):
        world.add(str(number), "old.jpg", jpeg(picture(number % 4, seed=number)), ticket=f"T-{number}")
    app = App(world.settings)
    try:
        for _ in range(3):
            flow.poll(app)
        put_model(app.db, app.settings, "m1")
        assert flow.backfill(app) == {"classified": 0}
        done = world.run("backfill", "start")
        assert (done.returncode, done.stdout) == (0, "running: 0 of 5 pictures (0.0%)\n"), done.stderr
        assert world.run("backfill", "stop").returncode == 0
        assert flow.backfill(app) == {"classified": 0}
        assert '"running": false' in world.run("backfill", "--json").stdout
        assert world.run("backfill", "resume").returncode == 0
        assert flow.backfill(app)["classified"] == 5
        with app.db.read() as session:
            assert session.query(Answer).count() == 0
        assert "no backfill is on" in world.run("backfill", "--wait").stdout
    finally:
        app.close()
