"""Which model answers, and what happens while it changes."""

import threading
import time

import pytest

from tests.support.bundles import picture
from tests.support.shelf import put_model
from ticketbot.classify import serving as module
from ticketbot.classify.serving import Serving
from ticketbot.db.models import Model
from ticketbot.errors import NotReady
from ticketbot.judge import trust
from ticketbot.retrain import shelf


@pytest.fixture
def settings(settings_with):
    return settings_with()


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.0)


def damage(settings, model_id):
    with open(shelf.folder_of(settings, model_id) / "model.onnx", "r+b") as file:
        file.truncate(50)


def crown(db, model_id):
    """Make a model champion as if by another process, without its checks."""
    with db.write() as session:
        session.query(Model).filter_by(state="champion").update({"state": "previous"})
        session.query(Model).filter_by(id=model_id).update({"state": "champion"})


def test_without_a_model_it_says_what_to_do(db, settings):
    with pytest.raises(NotReady, match="train one"):
        Serving(db, settings).current()


def test_it_serves_the_champion(db, settings):
    put_model(db, settings, "m1")
    put_model(db, settings, "m2", champion=False)
    assert Serving(db, settings).current().model_id == "m1"


def test_a_promotion_and_a_rollback_are_seen(db, settings):
    put_model(db, settings, "m1")
    serving = Serving(db, settings)
    assert serving.current().model_id == "m1"
    put_model(db, settings, "m2", now=200.0)
    assert serving.current().model_id == "m2"
    shelf.rollback(db, settings, who="ann", reason="bad", now=300.0)
    assert serving.current().model_id == "m1"


def test_the_row_is_looked_at_once_a_second_at_most(db, settings, monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 60.0)
    put_model(db, settings, "m1")
    serving = Serving(db, settings)
    serving.current()
    put_model(db, settings, "m2", now=200.0)
    assert serving.current().model_id == "m1"


def test_a_champion_that_fails_leaves_the_old_one_serving_and_says_so(db, settings, caplog):
    put_model(db, settings, "m1")
    put_model(db, settings, "m2", champion=False)
    serving = Serving(db, settings)
    serving.current()
    damage(settings, "m2")
    crown(db, "m2")
    assert serving.current().model_id == "m1"
    assert "m2 cannot be served" in serving.problem
    serving.current()
    assert [record.message for record in caplog.records].count("the champion cannot be served") == 1


def test_after_a_restart_the_previous_one_stands_in(db, settings):
    put_model(db, settings, "m1")
    put_model(db, settings, "m2", now=200.0)
    damage(settings, "m2")
    assert Serving(db, settings).current().model_id == "m1"


def test_a_repaired_bundle_is_served_again(db, settings, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    put_model(db, settings, "m1")
    path = shelf.folder_of(settings, "m1") / "model.onnx"
    whole = path.read_bytes()
    damage(settings, "m1")
    serving = Serving(db, settings)
    with pytest.raises(NotReady, match="m1 cannot be served"):
        serving.current()
    path.write_bytes(whole)
    assert serving.current().model_id == "m1"
    assert serving.problem is None


def test_a_setting_that_became_stricter_holds_for_the_champion_too(db, settings, settings_with):
    put_model(db, settings, "m1")
    stricter = settings_with({"model.trusted_keys": [trust.public_key(bytes(32))]})
    with pytest.raises(NotReady, match="not signed"):
        Serving(db, stricter).current()


def test_a_model_with_fewer_classes_is_served(db, settings):
    put_model(db, settings, "m1", classes=settings.categories[:2])
    assert Serving(db, settings).current().classes == settings.categories[:2]


def test_promotion_drops_no_request_of_eight_threads(db, settings):
    put_model(db, settings, "m1")
    put_model(db, settings, "m2", champion=False, shift=1)
    serving = Serving(db, settings)
    serving.current()
    stop, errors, answers = threading.Event(), [], []

    def caller():
        while not stop.is_set():
            try:
                engine = serving.current()
                best = int(engine.answer([picture(0, seed=1)])[0].argmax())
                answers.append((engine.model_id, best))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for now, model_id in enumerate(["m2", "m1", "m2"], start=200):
        time.sleep(0.3)
        shelf.promote(db, settings, model_id, who="ann", reason="test", now=float(now))
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert set(answers) == {("m1", 0), ("m2", 1)}
