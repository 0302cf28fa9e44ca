"""A cleaning from its cause to its rows, with a stand-in for the trainer's child."""

import pytest

from tests.retrain.test_run import labelled
from tests.support import shelf as make_rows
from ticketbot.contracts import suspects
from ticketbot.db.models import Cleaning, LabelEvent, Suspect, Switch, Training
from ticketbot.errors import Conflict, NotReady
from ticketbot.operate import erase
from ticketbot.retrain import clean, launch, run
from ticketbot.retrain.due import CleanFacts, Rules, clean_due

RULES = Rules(100, 3600, 2)
ENOUGH = {"reports": 2, "errors": 2}


def go(db, made, decoders, at=1000.0):
    return clean.clean(db, made, decoders, now=lambda: at)


def rows(db):
    with db.read() as session:
        return session.query(Suspect).order_by(Suspect.cleaning_id, Suspect.rank).all()


def test_a_wish_becomes_a_cleaning_and_its_suspects_are_rows(db, settings, decoders):
    made = settings()
    labelled(db, made, n=3)
    run.ask(db, "rita", 1.0, clean.WISH)
    done = go(db, made, decoders)
    assert (done.state, done.cause, done.n_pictures) == ("succeeded", "asked for by rita", 12)
    found = rows(db)
    assert [one.rank for one in found] == list(range(1, 13))
    assert [one.p_label for one in found] == sorted(one.p_label for one in found)
    assert sum(one.label != one.suggested for one in found) == 4
    with db.read() as session:
        assert session.get(Switch, clean.WISH) is None
        assert session.query(LabelEvent).count() == 12  # nothing was decided
    assert [one.name for one in clean.folder_of(made, done.id).iterdir()] == [launch.LOG]


def test_the_next_one_replaces_the_suspects_and_a_failed_one_does_not(db, settings, decoders):
    made = settings()
    labelled(db, made, n=3)
    run.ask(db, "rita", 1.0, clean.WISH)
    first = go(db, made, decoders)
    run.ask(db, "rita", 2.0, clean.WISH)
    failed = go(db, settings("crash"), decoders)
    assert failed.state == "failed" and "the loss is NaN" in failed.message
    assert {one.cleaning_id for one in rows(db)} == {first.id}
    run.ask(db, "rita", 3.0, clean.WISH)
    third = go(db, made, decoders)
    assert {one.cleaning_id for one in rows(db)} == {third.id}


def test_never_beside_a_training(db, settings, decoders):
    made = settings()
    labelled(db, made)
    with db.write() as session:
        progress = {"stage": "fit", "beat_at": 1000.0}
        session.add(Training(state="running", cause="labels", started_at=990.0, progress=progress))
    run.ask(db, "rita", 1.0, clean.WISH)
    with pytest.raises(NotReady, match="is running"):
        go(db, made, decoders)
    with pytest.raises(Conflict):
        clean._begin(db, "a race", 1000.0)
    with db.write() as session:
        session.query(Training).one().state = "failed"
        session.add(Cleaning(state="running", cause="rita", started_at=990.0, progress=progress))
    with pytest.raises(NotReady, match="is running"):
        run.retrain(db, made, decoders, cause="command", asked=True, now=lambda: 1000.0)
    with pytest.raises(Conflict):
        run._begin(db, "a race", 1000.0)


def test_one_whose_service_died_is_reported_and_out_of_the_way(db, settings, decoders):
    made = settings()
    labelled(db, made)
    with db.write() as session:
        session.add(Cleaning(state="running", cause="rita", started_at=1.0))
    run.ask(db, "rita", 2.0, clean.WISH)
    assert go(db, made, decoders).state == "succeeded"
    with db.read() as session:
        assert session.get(Cleaning, 1).message == "the service ended while it was cleaning"


def test_an_erased_picture_is_no_suspect_any_more(db, settings, decoders):
    made = settings()
    labelled(db, made)
    run.ask(db, "rita", 1.0, clean.WISH)
    go(db, made, decoders)
    erase.erase(db, made, erase.Wanted(user="u1"), who="ada", now=2000.0)
    assert rows(db) == []


def test_a_row_about_a_picture_that_went_meanwhile_is_left_out(db, settings):
    made = settings()
    here = make_rows.stage_colour(db, made, 0)
    with db.write() as session:
        session.add(Cleaning(state="running", cause="rita", started_at=1.0))
    found = [suspects.Suspect("a", sha256, "reports", "errors", 0.1, 0.8, 0, 1, False) for sha256 in ("f" * 64, here)]
    assert clean.keep(db, 1, found) == 1
    assert [(one.rank, one.sha256) for one in rows(db)] == [(2, here)]


@pytest.mark.parametrize(
    ("facts", "asked", "expected"),
    [
        (CleanFacts(ENOUGH, True, 1.0, None, True), True, False),
        (CleanFacts({"reports": 1, "errors": 9}, False, 1.0, None, True), True, False),
        (CleanFacts(ENOUGH, False, None, None, False), True, True),
        (CleanFacts(ENOUGH, False, None, None, True), False, False),  # never trained
        (CleanFacts(ENOUGH, False, 950.0, None, True), False, False),  # trained a moment ago
        (CleanFacts(ENOUGH, False, 800.0, None, True), False, True),
        (CleanFacts(ENOUGH, False, 100.0, 950.0, True), False, False),
        (CleanFacts(ENOUGH, False, 100.0, 800.0, True), False, True),
        (CleanFacts(ENOUGH, False, 100.0, 800.0, False), False, False),  # nothing new
    ],
)
def test_when_it_is_due(facts, asked, expected):
    assert clean_due(facts, RULES, 100.0, 1000.0, asked=asked).due is expected


def test_an_interval_of_zero_is_never_due_by_itself():
    facts = CleanFacts(ENOUGH, False, 1.0, 1.0, True)
    assert not clean_due(facts, RULES, 0, 1e9).due and clean_due(facts, RULES, 0, 1e9, asked=True).due
