"""How do fastai users take a model with them? export.pkl, a Learner for `load_learner`, of torch's and fastai's parts.

The network is traced, so that it loads where ticketbot is not installed. fastai decodes in its own way, so its answers
may differ a little from the bundle's. We never read it: a pickle runs what it says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import nn

from trainer import body

PICKLE = "export.pkl"


class Tempered(nn.Module):
    """The logits by the temperature, so that a Learner's softmax is as sure as the bundle."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x) / self.temperature


def write(network: nn.Module, temperature: float, classes: Sequence[str], px: int, geometry: str, folder: Path) -> None:
    """Write export.pkl into `folder`. network: normalised N x 3 x px x px -> logits."""
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import accuracy

    traced = torch.fx.symbolic_trace(Tempered(network, temperature).eval())
    with tempfile.TemporaryDirectory(prefix="ticketbot-") as blanks:
        loaders = _loaders(Path(blanks), classes, px, geometry)
        learner = Learner(loaders, traced, loss_func=CrossEntropyLossFlat(), metrics=[accuracy])
        learner.path = folder.resolve()  # a Learner saves below its path
        learner.export(PICKLE)


def _loaders(folder: Path, classes: Sequence[str], px: int, geometry: str) -> Any:
    """fastai's loaders, with the way a picture comes to the network; without pictures it would not build them."""
    from fastai.data.block import CategoryBlock, DataBlock, TransformBlock
    from fastai.data.transforms import IndexSplitter, IntToFloatTensor, Normalize, parent_label
    from fastai.vision.core import PILImage

    blanks = [folder / name / "blank.png" for name in classes]
    for blank in blanks:
        blank.parent.mkdir()
        Image.new("RGB", (px, px), "white").save(blank)
    bilinear = Image.Resampling.BILINEAR
    shape = (
        partial(_SQUISH, size=(px, px), resample=bilinear)
        if geometry == "squish"
        else partial(ImageOps.pad, size=(px, px), method=bilinear, color="white")
    )
    block = DataBlock(
        blocks=(
            TransformBlock(type_tfms=[PILImage.create, shape], batch_tfms=IntToFloatTensor),
            CategoryBlock(vocab=list(classes), sort=False),
        ),
        get_y=parent_label,
        splitter=IndexSplitter([0]),
        batch_tfms=Normalize.from_stats(body.MEAN, body.STD, cuda=False),
    )
    return block.dataloaders(blanks, bs=1, num_workers=0, device=torch.device("cpu"))


_SQUISH = Image.Image.resize  # a function of Pillow's, so that the pickle needs nothing of ours
