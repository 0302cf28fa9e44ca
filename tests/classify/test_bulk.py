"""Staged pictures get their answer: once, by the present model, whatever dies on the way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.bundles import CLASSES, picture
from tests.support.shelf import jpeg, label, put_model, stage, stage_colour
from ticketbot.classify import bulk as module
from ticketbot.classify.bulk import Bulk
from ticketbot.classify.serving import Serving
from ticketbot.db.models import File, Picture, Prediction
from ticketbot.errors import NotReady
from ticketbot.retrain import shelf

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(settings_with):
    return settings_with({"classify.batch": 4})


@pytest.fixture
def told():
    """What was announced: (sha256, now)."""
    return []


@pytest.fixture
def work(db, settings, decoders, told):
    """Classify everything that waits; `work(now)`."""

    def run(now=1000.0, serving=None):
        announce = lambda session, sha256, at: told.append((sha256, at))  # noqa: E731
        return Bulk(db, settings, serving or Serving(db, settings), decoders, announce, now=lambda: now).run()

    return run


def predictions(db):
    with db.read() as session:
        return {(row.sha256, row.model_id): row for row in session.query(Prediction)}


def test_staged_pictures_get_an_answer_and_the_news_is_told(db, settings, work, told):
    put_model(db, settings, "m1", tag_from=0.8)
    shas = [stage_colour(db, settings, number % 4, seed=number) for number in range(10)]
    assert work() == {"classified": 10, "unsure": 0, "failed": 0}
    found = predictions(db)
    assert [found[sha256, "m1"].category for sha256 in shas] == [CLASSES[number % 4] for number in range(10)]
    assert sorted(told) == sorted((sha256, 1000.0) for sha256 in shas)
    one = found[shas[0], "m1"]
    assert (one.best, one.confidence) == ("reports", pytest.approx(one.probabilities["reports"]))
    assert one.margin == pytest.approx(one.confidence - sorted(one.probabilities.values())[-2])
    with db.read() as session:
        picture = session.get(Picture, shas[0])
    assert (picture.model_id, picture.width, picture.format, len(picture.phash)) == ("m1", 96, "JPEG", 32)
    assert picture.lease_until == 0


def test_it_is_done_once(db, settings, work, told):
    put_model(db, settings, "m1")
    stage_colour(db, settings, 0)
    work()
    assert work() == {"classified": 0, "unsure": 0, "failed": 0}
    assert len(told) == 1


def test_what_is_not_proven_goes_to_people(db, settings, work):
    put_model(db, settings, "m1")
    sha256 = stage_colour(db, settings, 0)
    assert work()["unsure"] == 1
    assert predictions(db)[sha256, "m1"].category is None
    assert predictions(db)[sha256, "m1"].best == "reports"


@pytest.mark.parametrize("columns", [{"wanted": False}, {"state": "archived"}, {"state": "erased"}])
def test_what_nobody_wants_is_left_alone(db, settings, work, columns):
    put_model(db, settings, "m1")
    stage_colour(db, settings, 0, **columns)
    assert work()["classified"] == 0


def test_without_a_model_it_says_so(db, settings, work):
    stage_colour(db, settings, 0)
    with pytest.raises(NotReady):
        work()


def test_a_picture_that_cannot_be_read_is_refused_with_the_code(db, settings, work, told):
    put_model(db, settings, "m1")
    sha256 = stage(db, settings, jpeg(picture(0, px=96))[:700])
    good = stage_colour(db, settings, 1)
    assert work() == {"classified": 1, "unsure": 1, "failed": 1}
    assert predictions(db)[sha256, "m1"].state == "failed"
    assert predictions(db)[sha256, "m1"].error in ("bad_image", "image_truncated")
    with db.read() as session:
        states = {file.sha256: (file.state, file.reason) for file in session.query(File)}
    assert states == {sha256: ("refused", predictions(db)[sha256, "m1"].error), good: ("staged", None)}
    assert work()["failed"] == 0
    assert len(told) == 2


def test_bytes_that_are_gone_are_our_failure_and_not_the_files(db, settings, work):
    put_model(db, settings, "m1")
    sha256 = stage_colour(db, settings, 1)
    settings.staged_path(sha256).unlink()
    assert work()["failed"] == 1
    assert predictions(db)[sha256, "m1"].error == "missing"
    with db.read() as session:
        assert session.query(File).one().state == "staged"


def test_a_new_model_answers_again_and_the_old_answer_stays(db, settings, work):
    put_model(db, settings, "m1", tag_from=0.5)
    sha256 = stage_colour(db, settings, 0)
    work()
    put_model(db, settings, "m2", tag_from=0.5, shift=1, now=200.0)
    assert work()["classified"] == 1
    assert {key: row.category for key, row in predictions(db).items()} == {
        (sha256, "m1"): "reports",
        (sha256, "m2"): "errors",
    }


def test_new_pictures_come_before_those_an_older_model_answered(db, settings, work):
    put_model(db, settings, "m5")
    for seed in range(6):
        stage_colour(db, settings, 0, seed=seed, staged_at=1.0)
    work()
    fresh = stage_colour(db, settings, 1, staged_at=9.0)
    put_model(db, settings, "m2", now=200.0)
    claims = module.claim(db, settings, "m2", 2000.0)
    assert claims[0].sha256 == fresh
    assert len(claims) == 4


def test_the_last_pictures_are_shared_by_those_who_work_at_the_same_time(db, settings):
    """classify.batch is 4: of 9 pictures two workers take 4, 3, 1 and 1, not 4, 4 and 1."""
    put_model(db, settings, "m1")
    for seed in range(9):
        stage_colour(db, settings, 0, seed=seed)
    taken = []
    while claims := module.claim(db, settings, "m1", 2000.0, sharers=2):
        taken.append(len(claims))
    assert taken == [4, 3, 1, 1]
    assert [len(module.claim(db, settings, "m1", 9000.0)) for _ in range(3)] == [4, 4, 1]


def test_a_worker_with_an_overtaken_model_does_not_undo_the_new_ones_answers(db, settings, work):
    put_model(db, settings, "m1")
    late = Serving(db, settings)
    late.current()
    put_model(db, settings, "m2", now=200.0)
    answered = stage_colour(db, settings, 0)
    work()
    late._looked = time.monotonic() + 60  # has not looked since
    assert module.claim(db, settings, late.current().model_id, 2000.0) == []
    assert (answered, "m1") not in predictions(db)


def test_two_workers_never_hold_the_same_picture(db, settings):
    put_model(db, settings, "m1")
    shas = {stage_colour(db, settings, 0, seed=seed) for seed in range(7)}
    first, second, third = (module.claim(db, settings, "m1", 1000.0) for _ in range(3))
    assert (len(first), len(second), third) == (4, 3, [])
    assert {one.sha256 for one in first + second} == shas


def test_a_claim_comes_back_after_its_lease_and_the_late_one_writes_nothing(db, settings, work, decoders, told):
    put_model(db, settings, "m1")
    sha256 = stage_colour(db, settings, 0)
    (old,) = module.claim(db, settings, "m1", 1000.0)
    assert module.claim(db, settings, "m1", 1000.0 + settings.classify.lease_s) == []
    assert work(1001.0 + settings.classify.lease_s)["classified"] == 1
    told.clear()
    late = Bulk(db, settings, Serving(db, settings), decoders, lambda *news: told.append(news))
    assert sum(late._batch(late.serving.current(), [old]).values()) == 0
    assert told == []
    assert len(predictions(db)) == 1
    assert predictions(db)[sha256, "m1"].created_at == 1001.0 + settings.classify.lease_s


def test_claims_given_back_are_free_at_once(db, settings):
    put_model(db, settings, "m1")
    stage_colour(db, settings, 0)
    module.give_back(db, module.claim(db, settings, "m1", 1000.0))
    assert len(module.claim(db, settings, "m1", 1000.0)) == 1


def test_news_that_cannot_be_told_undo_the_batch_and_give_it_back(db, settings, decoders):
    put_model(db, settings, "m1")
    stage_colour(db, settings, 0)

    def broken(*_):
        raise RuntimeError("no outbox")

    with pytest.raises(RuntimeError, match="no outbox"):
        Bulk(db, settings, Serving(db, settings), decoders, broken, now=lambda: 1000.0).run()
    assert predictions(db) == {}
    assert len(module.claim(db, settings, "m1", 1000.0)) == 1


def test_a_picture_erased_meanwhile_gets_no_answer(db, settings, decoders):
    put_model(db, settings, "m1")
    sha256 = stage_colour(db, settings, 0)
    bulk = Bulk(db, settings, Serving(db, settings), decoders, lambda *_: None)
    claims = module.claim(db, settings, "m1", 1000.0)
    with db.write() as session:
        session.get(Picture, sha256).state = "erased"
    assert sum(bulk._batch(bulk.serving.current(), claims).values()) == 0
    assert predictions(db) == {}


def test_after_a_rollback_the_earlier_answer_stands(db, settings, work, told):
    put_model(db, settings, "m1", tag_from=0.5)
    sha256 = stage_colour(db, settings, 0)
    work(1000.0)
    put_model(db, settings, "m2", tag_from=0.5, shift=1, now=1100.0)
    work(1200.0)
    shelf.rollback(db, settings, who="ann", reason="bad", now=1300.0)
    work(1400.0)
    assert predictions(db)[sha256, "m1"].created_at == 1000.0
    assert [at for _, at in told] == [1000.0, 1200.0, 1400.0]


def test_labels_are_not_touched_by_the_model(db, settings, work):
    put_model(db, settings, "m1")
    sha256 = stage_colour(db, settings, 0)
    label(db, sha256, "errors")
    assert work()["classified"] == 1


WORKER = """
import sys, time
from pathlib import Path
from tests.support.settings import make_settings
from ticketbot.classify.bulk import Bulk
from ticketbot.classify.serving import Serving
from ticketbot.db import connect
from ticketbot.imaging.decode import DecoderPool

settings = make_settings(Path(sys.argv[2]), {"classify.batch": 4, "classify.lease_s": 1.0})
db = connect(sys.argv[1])
slow = float(sys.argv[3])

def announce(session, sha256, now):
    print(sha256, flush=True)
    time.sleep(slow)

bulk = Bulk(db, settings, Serving(db, settings), DecoderPool(1), announce)
while True:
    bulk.run()
    time.sleep(0.05)
"""


def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(db, db_url, settings, settings_with, tmp_path):
    put_model(db, settings, "m1")
    shas = {stage_colour(db, settings, seed % 4, seed=seed) for seed in range(24)}

    def start(slow):
        words = [sys.executable, "-c", WORKER, db_url, str(tmp_path), str(slow)]
        return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)

    victim = start(0.05)
    victim.stdout.readline()  # in the middle of a transaction
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    assert len(predictions(db)) < 24
    other = start(0)
    deadline = time.monotonic() + 60
    while len(predictions(db)) < 24 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    assert {sha256 for sha256, _ in predictions(db)} == shas
