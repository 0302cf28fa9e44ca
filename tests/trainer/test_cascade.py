from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.conftest import make_folder
from tests.trainer.test_pictures import write_snapshot
from ticketbot.imaging.decode import decode
from ticketbot.imaging.resize import to_input
from ticketbot.judge import golden
from ticketbot.judge.engine import Engine
from trainer import body, cascade, export, run
from trainer import recipe as recipes
from trainer.data import rendered
from trainer.data.cache import Cache
from trainer.progress import Progress

NEVER = [float("inf")] * 3


def answers(n, confidence=0.99):
    """All of class 0, 1 or 2 in turn, with this confidence."""
    found = np.full((n, 3), (1 - confidence) / 2)
    found[np.arange(n), np.arange(n) % 3] = confidence
    return found


def changed(probs, rows, confidence):
    """Another class for these rows."""
    found = probs.copy()
    for row in rows:
        found[row] = (1 - confidence) / 2
        found[row, (probs[row].argmax() + 1) % 3] = confidence
    return found


def test_where_both_say_the_same_nearly_all_need_no_second_network():
    proof = cascade.prove(answers(2000), answers(2000, 0.97), NEVER)
    assert (proof.passes, proof.exit_threshold, proof.leave, proof.same) == (True, 0.5, 1.0, 2000)
    assert proof.proof_low > 0.995
    assert "1000 of 1000" in proof.reason


def test_the_exit_lies_beyond_the_surest_answer_that_differs_in_the_half_it_is_chosen_by():
    full = answers(2000)
    proof = cascade.prove(full, changed(full, [0, 10, 20], 0.8), NEVER)
    assert (proof.exit_threshold, proof.same, proof.passes) == (pytest.approx(0.9), 2000, True)
    assert proof.leave == pytest.approx(1997 / 2000)


@pytest.mark.parametrize(("wrong", "passes"), [(1, True), (2, False)])
def test_it_is_judged_by_the_half_the_exit_was_not_chosen_by(wrong, passes):
    """1,000 pictures prove 99.5 % with one difference at most: an answer that differs and leaves counts."""
    full = answers(2000)
    proof = cascade.prove(full, changed(full, [1 + 2 * at for at in range(wrong)], 0.9), NEVER)
    assert (proof.exit_threshold, proof.proof_same, proof.passes) == (0.5, 1000 - wrong, passes)
    assert ("is not proven" in proof.reason) is not passes


def test_one_that_is_tagged_by_one_network_only_is_decided_otherwise():
    limits = [0.95, 0.95, float("inf")]
    full, quick = answers(2000, 0.96), answers(2000, 0.94)
    proof = cascade.prove(full, quick, limits)
    assert proof.exit_threshold == pytest.approx(0.97)
    assert (proof.leave, proof.passes) == (0.0, False)
    assert cascade.prove(full, quick, NEVER).passes


@pytest.mark.parametrize("n", [0, 1, 1999])
def test_too_few_pictures_prove_nothing(n):
    proof = cascade.prove(answers(n), answers(n), NEVER)
    assert not proof.passes
    assert f"{n} pictures that were not learned from are too few" in proof.reason


def test_when_most_need_both_networks_it_is_no_quicker():
    full = answers(2000)
    quick = answers(2000, 0.6)
    quick = changed(quick, [0], 0.55)
    proof = cascade.prove(full, quick, NEVER)
    assert (proof.passes, proof.leave) == (False, 0.0)
    assert "no quicker" in proof.reason


@given(st.lists(st.tuples(st.floats(0.34, 1.0), st.booleans()), min_size=2, max_size=60))
def test_none_that_differs_leaves_in_the_half_the_exit_is_chosen_by(rows):
    sure, differ = np.array([one for one, _ in rows]), np.array([other for _, other in rows])
    threshold = cascade.sure_enough(sure, differ)
    assert 0.5 <= threshold <= 1
    assert not (differ & (sure >= threshold) & (sure < 1)).any()


# --- from pictures to a bundle ----------------------------------------------------------------------------------------

HELD_OUT = {f"picture {number}.jpg" for number in range(39, 60)}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """60 pictures of each of three classes, 63 of them held out."""
    folder = tmp_path_factory.mktemp("cascade")
    write_snapshot(folder / "snap", make_folder(folder / "pictures", each=60), HELD_OUT)
    return folder / "snap"


def retrained(snapshot, out, recipe, cache, wanted):
    whole = recipes.read(recipe)
    whole = replace(whole, export=replace(whole.export, cascade=wanted, fastai=False))
    return run.retrain(run.Order(snapshot, out, whole, arch=body.SMALL), Cache(cache), Progress(quiet=True))


@pytest.mark.train
def test_a_bundle_with_two_networks_answers_by_the_first_where_it_is_sure(
    snapshot, recipe, cache, tmp_path, monkeypatch
):
    """What 63 pictures can prove is 90 %, so that is what is wanted here."""
    monkeypatch.setattr(cascade, "LEAST", 60)
    monkeypatch.setattr(cascade, "SAME", 0.9)
    manifest = retrained(snapshot, tmp_path / "bundle", recipe, cache, 60)
    said = manifest.parity["cascade"]
    assert said["passes"], said["reason"]
    assert (said["n"], manifest.parity["precision"]) == (63, "fp32")
    first, last = manifest.stages
    assert (first.file, last.file) == (export.INT8, export.ONNX)
    assert (first.exit_threshold, last.exit_threshold) == (said["exit_threshold"], None)
    assert said["reason"] in manifest.parity["reason"]
    assert f"answers from {first.exit_threshold:.4f} on" in (tmp_path / "bundle" / "report.html").read_text()

    engine = Engine(tmp_path / "bundle")
    golden.check(engine)
    held = [path for path in sorted((snapshot.parent / "pictures").rglob("*.jpg")) if path.name in HELD_OUT]
    seen = [decode(path.read_bytes()).rgb for path in held]
    inputs = np.stack([to_input(rgb, last.input_px, last.geometry) for rgb in seen])
    quick, full = engine.probabilities(inputs, 0), engine.probabilities(inputs, 1)
    leaves = quick.max(axis=1) >= first.exit_threshold
    assert leaves.mean() == pytest.approx(said["leave"])
    assert np.array_equal(engine.answer(seen), np.where(leaves[:, None], quick, full))
    # Accuracy is that of the full network, which the cascade decides as.
    assert manifest.metrics["accuracy"] == pytest.approx(_right(full, held, manifest))


def _right(probs, paths, manifest):
    return np.mean([manifest.classes[row.argmax()] == path.parent.name for row, path in zip(probs, paths, strict=True)])


@pytest.mark.train
def test_what_cannot_be_proven_is_not_used_and_the_manifest_says_so(snapshot, recipe, cache, tmp_path):
    manifest = retrained(snapshot, tmp_path / "bundle", recipe, cache, 2000)
    said = manifest.parity["cascade"]
    assert not said["passes"]
    assert said["reason"] == "63 pictures that were not learned from are too few to prove it: 2000 are needed"
    assert len(manifest.stages) == 1
    assert [name for name in manifest.files if name.endswith(".onnx")] == [manifest.stages[0].file]
    assert f"No cascade: {said['reason']}" in (tmp_path / "bundle" / "report.html").read_text()
    golden.check(Engine(tmp_path / "bundle"))


@pytest.mark.train
def test_drawn_pictures_that_prove_it_are_others_than_those_that_teach(tmp_path):
    store = Cache(tmp_path)
    top = rendered.unseen(store, ("errors", "tickets"), 5, Progress(quiet=True))
    files = sorted(path.relative_to(top).as_posix() for path in top.rglob("*.jpg"))
    assert files == [f"errors/unseen-{n}.jpg" for n in (0, 2, 4)] + [f"tickets/unseen-{n}.jpg" for n in (1, 3)]
    teach = rendered.folder(store, ("errors", "tickets"), 3, 3, Progress(quiet=True))
    learned = {path.read_bytes() for path in teach.rglob("*.jpg")}
    assert not learned & {path.read_bytes() for path in top.rglob("*.jpg")}
    assert rendered.unseen(store, ("errors", "cats"), 5, Progress(quiet=True)) is None
