"""Several processes, as for several GPUs: two on this processor, by gloo."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.support.needs import missing
from tests.trainer.conftest import ROOT, make_folder
from tests.trainer.test_pictures import write_snapshot
from ticketbot.contracts import bundle
from ticketbot.judge import golden
from ticketbot.judge.engine import Engine

pytestmark = pytest.mark.train
HELD_OUT = {f"picture {number}.jpg" for number in range(9, 12)}


@pytest.fixture
def two(trainer, recipe, tmp_path):
    """torchrun's own program with two processes."""
    if importlib.util.find_spec("accelerate") is None:
        missing("accelerate is not installed (pip install 'ticketbot[gpus]')")

    def run(*words):
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
        command = [*command, "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "-m", "trainer.cli"]
        more = ["--recipe", recipe, "--cache", tmp_path / "cache", "--threads", "1"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        words = [str(word) for word in (*command, *words, *more)]
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.slow
def test_two_processes_train_one_model(two, tmp_path):
    written = write_snapshot(tmp_path / "snap", make_folder(tmp_path / "pictures"), HELD_OUT)
    out = tmp_path / "bundle"
    done = two("retrain", "--data", tmp_path / "snap", "--out", out, "--arch", "resnet34", "--weights", "none")
    assert (out / "manifest.json").is_file(), done.stderr[-3000:]
    manifest = bundle.read(out)
    assert manifest.snapshot["hash"] == written.hash
    assert "trained in 2 processes, a share of every batch each" in manifest.metrics["notes"]
    assert golden.check(Engine(out)) < 1e-3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def shares(monkeypatch):
    """shares(count, batch) -> the targets that each of two processes sees, batch by batch."""
    for name in ("torch", "fastai"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed: pip install '.[train]'")
    import numpy as np
    import torch

    from trainer import recipe
    from trainer.batches import Batches
    from trainer.ranks import Share

    def of(rank, count, batch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", str(rank))
        inputs, targets = np.zeros((count, 8, 8, 3), np.uint8), torch.arange(count)
        network = recipe.read(None).resnet34
        loader = Share(Batches(inputs, targets, batch, size=lambda: 8, recipe=network, seed=1), 5)
        return [y.tolist() for _ in range(2) for _, y in loader]

    return lambda count, batch: [of(rank, count, batch) for rank in (0, 1)]


def test_shares_are_every_batch_once_and_not_the_same_twice(shares):
    first, second = shares(24, 8)
    assert [len(one) for one in first + second] == [4] * 12
    assert all(not set(one) & set(other) for one, other in zip(first, second, strict=True))
    for of_pass in (slice(0, 3), slice(3, 6)):
        assert sorted(n for one in first[of_pass] + second[of_pass] for n in one) == list(range(24))
    assert first[:3] != first[3:]


def test_too_small_batches_are_said(shares):
    from ticketbot.errors import UsageError

    with pytest.raises(UsageError, match="need batches of 4"):
        shares(24, 3)
