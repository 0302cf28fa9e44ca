"""Training in stages, each kept, and bundles of them."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.trainer.conftest import ROOT, TINY
from ticketbot.contracts import bundle
from ticketbot.judge.engine import Engine

pytestmark = pytest.mark.train
WORDS = ("--weights", "none")


def weights_of(path):
    import torch

    return torch.load(path, weights_only=True)["model"]


def same(one, other):
    return all(np.array_equal(value.numpy(), other[name].numpy()) for name, value in one.items())


@pytest.fixture(scope="module")
def run(trainer, data, tmp_path_factory):
    """A whole run without a break."""
    folder = tmp_path_factory.mktemp("stages") / "run"
    status, _, err = trainer("fit", "--data", data, "--out", folder, *WORDS)
    assert status == 0, err
    return folder


def test_both_stages_are_kept_with_what_they_were_trained_of(run):
    assert sorted(path.name for path in run.iterdir()) == ["run.json", "stage-1.pth", "stage-2.pth"]
    facts = json.loads((run / "run.json").read_text())
    assert (facts["seed"], facts["weights"], facts["classes"]) == (7, "none", ["across", "dots", "down"])
    assert not same(weights_of(run / "stage-1.pth"), weights_of(run / "stage-2.pth"))


def test_a_killed_run_goes_on_after_its_last_stage_to_the_same_weights(run, trainer, data, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "stage-2.pth").unlink()
    status, _, err = trainer("fit", "--data", data, "--out", folder, *WORDS)
    assert status == 0 and "stage-1 is there already" in err
    assert same(weights_of(run / "stage-2.pth"), weights_of(folder / "stage-2.pth"))


def test_a_run_of_something_else_is_not_gone_on_with(run, trainer, data):
    status, _, err = trainer("fit", "--data", data, "--out", run, *WORDS, "--seed", "8")
    assert status == 2 and "a run of something else (data, seed)" in err


def test_a_stage_becomes_a_bundle_that_answers_as_it_did(run, trainer, data, tmp_path):
    status, _, err = trainer("export", run, "--data", data, "--out", tmp_path / "bundle", *WORDS)
    assert status in (0, 3), err
    manifest = bundle.read(tmp_path / "bundle")
    assert manifest.metrics["notes"] == ["stage-2 of a run in stages"] and manifest.parity["max_abs_diff"] < 1e-3
    assert Engine(tmp_path / "bundle").logits(np.full((1, 32, 32, 3), 90, np.uint8)).shape == (1, 3)


@pytest.mark.parametrize("what", ["missing", "rubbish"])
def test_a_stage_that_cannot_be_read_is_said(run, trainer, data, tmp_path, what):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "stage-2.pth").unlink()
    if what == "rubbish":
        (folder / "stage-2.pth").write_bytes(b"no weights")
    status, _, err = trainer("export", folder, "--data", data, "--out", tmp_path / "bundle", *WORDS)
    assert status == 2 and "stage-2.pth" in err and not (tmp_path / "bundle").exists()


def test_with_weights_the_first_stage_leaves_the_body_alone(trainer, data, tmp_path):
    import torch
    from torchvision.models import resnet34

    torch.save(resnet34().state_dict(), tmp_path / "weights.pth")
    first = torch.load(tmp_path / "weights.pth", weights_only=True)["conv1.weight"].numpy()
    words = ("--data", data, "--out", tmp_path / "run", "--weights", tmp_path / "weights.pth")
    status, _, err = trainer("fit", *words)
    assert status == 0 and "stage-1: the head, the body frozen" in err, err
    conv = [weights_of(tmp_path / "run" / f"stage-{number}.pth")["body.0.0.weight"].numpy() for number in (1, 2)]
    assert np.array_equal(conv[0], first) and not np.array_equal(conv[1], first)


def test_a_diverging_run_ends_early_with_a_sentence_and_keeps_no_stage(trainer, data, cache, tmp_path):
    (tmp_path / "wild.toml").write_text(TINY.replace("[resnet34.scratch]\n", "[resnet34.scratch]\nlr = 1e30\n"))
    words = ["fit", "--data", data, "--out", tmp_path / "run", *WORDS, "--recipe", tmp_path / "wild.toml"]
    words = [sys.executable, "-m", "trainer.cli", *words, "--cache", cache, "--threads", "1"]
    done = subprocess.run([str(one) for one in words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "the loss is no number any more in pass" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list((tmp_path / "run").glob("*.pth"))
