"""Does a training run in several processes, one a GPU? As torchrun starts them: RANK, LOCAL_RANK, WORLD_SIZE.

    torchrun --nproc-per-node 2 -m trainer.cli retrain --data pictures/ --out bundle/

Every process reads the same pictures and takes its share of every batch; fastai's distrib_ctx averages their
gradients. Batch norm sees a share by itself, as it sees a part in one process (trainer/parts.py), so a recipe means the
same either way. The first process measures and writes the bundle, the others end when the learning is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from fastai.distributed import DistributedDL
from fastai.learner import Learner

from ticketbot.errors import UsageError
from trainer.batches import Batch, Batches


def count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def mine() -> int:
    """Our number; 0 is the first."""
    return int(os.environ.get("RANK", "0"))


def device() -> torch.device:
    """Our GPU, or the processor when there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


class Share(DistributedDL):
    """This process's share of every training batch, and of the measuring all; a loader that fastai takes as it is."""

    def __init__(self, batches: Batches, seed: int) -> None:
        self.dl, self.bs, self.dataset, self.device = batches, batches.bs, batches.dataset, batches.device
        # One order for all; what is moved and lit differs.
        self.order = torch.Generator().manual_seed(seed)
        batches.dice.manual_seed(seed + 1 + mine())
        if batches.training and min(batches.bs, len(batches.inputs)) < 2 * count():
            raise UsageError(f"{count()} processes need batches of {2 * count()} pictures or more")

    def __len__(self) -> int:
        return len(self.dl)

    def __iter__(self) -> Iterator[Batch]:
        if not self.dl.training:
            yield from self.dl
            return
        order = torch.randperm(len(self.dl.inputs), generator=self.order)
        for number in range(len(self)):
            some = order[number * self.bs : (number + 1) * self.bs]
            yield self.dl.batch(some[mine() :: count()])


@contextmanager
def together(learn: Learner, seed: int) -> Iterator[None]:
    """Learn with the other processes, when there are others."""
    if count() == 1:
        yield
        return
    try:
        import accelerate  # noqa: F401 - fastai's distrib_ctx needs it
    except ModuleNotFoundError:
        raise UsageError("several processes need accelerate: pip install 'ticketbot[gpus]'") from None
    learn.dls.loaders = [Share(one, seed) for one in learn.dls.loaders]
    # SyncBatchNorm would make a share see the others' pictures; it exists on GPUs only.
    options: dict[str, Any] = {"sync_bn": False, "cpu": device().type == "cpu"}
    with learn.distrib_ctx(**options):
        yield


def end_others() -> None:
    """The learning is done: all but the first process end here, well."""
    if count() == 1:
        return
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    if mine():
        raise SystemExit(0)
