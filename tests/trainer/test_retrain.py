import base64
import json

import numpy as np
import pytest

from tests.trainer.conftest import draw, make_folder, manifest_of
from tests.trainer.test_pictures import write_snapshot
from ticketbot.contracts import bundle
from ticketbot.judge import golden, trust
from ticketbot.judge.engine import Engine

pytestmark = pytest.mark.train
HELD_OUT = {f"picture {number}.jpg" for number in range(9, 12)}


@pytest.fixture(scope="module")
def resnet(trainer, tmp_path_factory):
    """resnet34 from scratch on a snapshot: the bundle, and what was said."""
    top = tmp_path_factory.mktemp("resnet")
    written = write_snapshot(top / "snap", make_folder(top / "pictures"), HELD_OUT)
    words = ["--data", top / "snap", "--out", top / "bundle", "--arch", "resnet34", "--weights", "none"]
    status, out, err = trainer("retrain", *words, "--progress-json")
    assert status in (0, 3), err
    return top / "bundle", out, written


def test_the_small_body_learns_a_folder(small_bundle):
    manifest = bundle.read(small_bundle)
    assert (manifest.arch, manifest.classes) == ("efficientnet_lite0", ("across", "dots", "down"))
    assert manifest.metrics["n"] >= 3
    assert manifest.metrics["unreadable_in_data"] == 1
    assert manifest.parity["max_abs_diff"] <= 1e-3
    probs = Engine(small_bundle).answer([np.asarray(draw("down", number)) for number in range(50, 60)])
    assert (probs.argmax(axis=1) == 2).mean() >= 0.9


def test_resnet34_learns_a_snapshot_and_is_measured_on_its_holdout(resnet):
    folder, _, written = resnet
    manifest = bundle.read(folder)
    assert (manifest.arch, manifest.weights, manifest.metrics["n"]) == ("resnet34", "none", 9)
    assert manifest.snapshot["hash"] == written.hash
    assert manifest.snapshot["holdout"] == 9
    assert golden.check(Engine(folder)) < 1e-3
    assert "pinned holdout" in (folder / "report.html").read_text()


def test_progress_is_lines_of_json_for_the_service(resnet):
    said = [json.loads(line) for line in resnet[1].splitlines()]
    assert {"reading pictures", "training", "export"} <= {one["stage"] for one in said}
    assert all(one["done"] <= one["total"] for one in said)


def test_the_same_seed_gives_the_same_training(trainer, data, tmp_path):
    logits = []
    for name in ("one", "two"):
        words = ["--data", data, "--out", tmp_path / name, "--arch", "resnet34", "--weights", "none", "--seed", "3"]
        status, _, said = trainer("retrain", *words)
        assert status in (0, 3), said
        logits.append(Engine(tmp_path / name).logits(np.full((1, 32, 32, 3), 90, np.uint8)))
    assert np.array_equal(*logits)


def test_an_equal_challenger_is_written_and_refused(trainer, data, small_bundle, tmp_path):
    words = ["--data", data, "--out", tmp_path / "next", "--arch", "efficientnet_lite0", "--champion", small_bundle]
    status, _, said = trainer("retrain", *words)
    assert status == 3, said
    gate = manifest_of(tmp_path / "next")["gate"]
    assert gate["champion"] == manifest_of(small_bundle)["model_id"]
    assert "not proven better" in gate["reason"]


def test_a_key_signs_the_bundle(trainer, data, tmp_path):
    key = tmp_path / "key"
    key.write_text(base64.b64encode(bytes(range(32))).decode())
    words = ["--data", data, "--out", tmp_path / "signed", "--arch", "efficientnet_lite0", "--sign-key", key]
    trainer("retrain", *words)
    trust.check_signature(bundle.read(tmp_path / "signed"), [trust.public_key(bytes(range(32)))])


@pytest.mark.parametrize("what", ["empty", "one class", "out is taken"])
def test_bad_input_is_status_2_and_leaves_nothing(trainer, data, tmp_path, what):
    folder, out = data, tmp_path / "out"
    if what == "out is taken":
        out.mkdir()
        (out / "mine.txt").write_text("keep")
    else:
        folder = make_folder(tmp_path / "pictures", kinds=("dots",) if what == "one class" else (), each=3)
        folder.mkdir(exist_ok=True)
    status, _, said = trainer("retrain", "--data", folder, "--out", out, "--arch", "efficientnet_lite0")
    assert (status, "Traceback" in said) == (2, False), said
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_evaluate_says_what_design_promises(trainer, data, small_bundle):
    status, out, err = trainer("evaluate", "--bundle", small_bundle, "--data", data, "--json")
    assert status == 0, err
    found = json.loads(out)
    promised = {
        *("n", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "per_class", "confusion"),
        *("coverage", "precision_auto", "precision_auto_low"),
    }
    assert promised <= set(found)
    assert (found["n"], found["n_unreadable"]) == (37, 1)
    assert found["confusion"]["dots"]["unreadable"] == 1


def test_predict_answers_each_file_in_order(trainer, data, small_bundle):
    files = [data / "down" / "picture 0.jpg", data / "dots" / "broken.jpg"]
    status, out, _ = trainer("predict", *files, "--bundle", small_bundle, "--json")
    good, bad = [json.loads(line) for line in out.splitlines()]
    assert (status, good["predictions"][0][0], bad["error"]["code"]) == (1, "down", "image_truncated")
