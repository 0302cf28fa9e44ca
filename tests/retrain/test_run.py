"""A whole training with a stand-in for the trainer's child."""

import threading

import pytest

from tests.support import shelf as make_rows
from ticketbot.db.models import Training
from ticketbot.errors import NotReady
from ticketbot.retrain import run, shelf


def labelled(db, settings, n=2, start=0):
    for number, name in enumerate(settings.categories):
        for seed in range(start, start + n):
            make_rows.label(db, make_rows.stage_colour(db, settings, number, seed=seed), name)


def train(db, settings, decoders, *, at=1000.0, **options):
    return run.retrain(db, settings, decoders, cause="labels", now=lambda: at, **options)


def trainings(db):
    with db.read() as session:
        return session.query(Training).order_by(Training.id).all()


def test_labels_become_a_model_in_service(db, settings, decoders):
    made = settings()
    labelled(db, made)
    said = []
    outcome = train(db, made, decoders, progress=said.append)
    assert outcome.state == "succeeded"
    assert shelf.champion(db).id == outcome.model_id
    (row,) = trainings(db)
    assert (row.state, row.n_pictures, row.labels_until, row.model_id) == ("succeeded", 8, 8, outcome.model_id)
    assert {"stage": "fit", "done": 4, "total": 4} in said
    assert not (run.folder_of(made, row.id) / "bundle").exists()


def test_it_is_not_done_again_without_new_labels(db, settings, decoders):
    made = settings()
    labelled(db, made)
    train(db, made, decoders)
    assert train(db, made, decoders, at=1e6) is None
    labelled(db, made, start=10)
    assert train(db, made, decoders, at=1001.0) is None
    assert train(db, made, decoders, at=1e6).state == "succeeded"


def test_the_gates_refusal_is_an_outcome_and_the_champion_stays(db, settings, decoders):
    made = settings()
    labelled(db, made)
    first = train(db, made, decoders)
    labelled(db, made, start=10)
    second = train(db, settings("refused"), decoders, at=1e6)
    assert second.state == "refused"
    assert make_rows.states(db) == {first.model_id: "champion", second.model_id: "refused"}


@pytest.mark.parametrize(
    ("mode", "said"), [("crash", "the loss is NaN"), ("killed", "out of memory"), ("half", "cannot be read")]
)
def test_a_trainer_that_fails_is_a_failed_training(db, settings, decoders, mode, said):
    made = settings(mode)
    labelled(db, made)
    assert train(db, made, decoders).state == "failed"
    (row,) = trainings(db)
    assert (row.state, row.finished_at) == ("failed", 1000.0)
    assert said in row.message
    assert row.progress["stage"] == "fit"
    assert shelf.champion(db) is None


def test_a_failed_training_is_tried_again_but_not_at_once(db, settings, decoders):
    made = settings("crash")
    labelled(db, made)
    train(db, made, decoders)
    assert train(db, made, decoders, at=1300.0) is None
    assert train(db, made, decoders, at=1000.0 + 3600).state == "failed"


def test_too_few_labels_are_said_to_who_asked(db, settings, decoders):
    made = settings()
    labelled(db, made, n=1)
    assert train(db, made, decoders) is None
    with pytest.raises(NotReady, match="reports 1"):
        train(db, made, decoders, asked=True)
    assert trainings(db) == []


def test_asking_does_not_wait_for_more_labels(db, settings, decoders):
    made = settings(**{"retrain.min_new_labels": 1000})
    labelled(db, made)
    assert train(db, made, decoders, asked=True).state == "succeeded"


def test_two_at_once_are_one(db, settings, decoders):
    made = settings()
    labelled(db, made)
    with db.write() as session:
        session.add(Training(state="running", cause="labels", started_at=1000.0, progress={"beat_at": 1000.0}))
    assert train(db, made, decoders, at=1010.0) is None
    with pytest.raises(NotReady, match="running"):
        train(db, made, decoders, at=1010.0, asked=True)


def test_a_training_whose_service_died_is_reported_and_does_not_block(db, settings, decoders):
    made = settings()
    labelled(db, made)
    with db.write() as session:
        session.add(Training(state="running", cause="labels", started_at=1.0, progress={"beat_at": 2.0}))
    assert train(db, made, decoders, at=5000.0).state == "succeeded"
    assert [row.state for row in trainings(db)] == ["failed", "succeeded"]


def test_it_ends_with_the_service(db, settings, decoders):
    made = settings("hang")
    labelled(db, made)
    stopping = threading.Event()
    timer = threading.Timer(2.0, stopping.set)
    timer.start()
    outcome = train(db, made, decoders, stopping=stopping)
    timer.join()
    assert (outcome.state, outcome.message) == ("failed", "the service stopped while training")
