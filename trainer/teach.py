"""What does a network without weights learn from, besides labels? From what the small body sees in the same pictures.

The small body's features of a labelled picture, brought to a few dozen numbers by principal components, are a second
thing to guess while learning: a fuller lesson than one of four words. No picture is given a class by it, and what is
exported has no trace of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import nn
from torch.nn import functional

from trainer import head
from trainer.data.cache import Cache
from trainer.data.pictures import Picture, View
from trainer.progress import Progress
from trainer.recipe import Recipe

WIDTH = 512  # of resnet34 before its last layer


def lessons(
    pictures: Sequence[Picture], recipe: Recipe, view: View, cache: Cache, progress: Progress, seed: int
) -> NDArray[np.float32]:
    """N x teach_dims (fewer when there are fewer pictures), of spread 1 in all; the first components weigh more."""
    x = head.features(pictures, recipe.efficientnet_lite0, view, cache, progress)
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)
    dims = min(recipe.resnet34.scratch.teach_dims, *x.shape)
    parts = PCA(dims, svd_solver="randomized", random_state=seed).fit_transform(x)
    parts = parts / np.sqrt(parts.std(axis=0) + 1e-6)
    return np.asarray(parts / (parts.std() + 1e-6), dtype=np.float32)


class Taught(nn.Module):
    """A network of (body, head): logits when it answers; while it learns, logits and its guess at the lesson."""

    def __init__(self, network: nn.Sequential, dims: int) -> None:
        super().__init__()
        self.network, self.guess = network, nn.Linear(WIDTH, dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return self.network(x)
        answer = self.network[1]
        seen = answer[:-1](self.network[0](x))
        return torch.cat([answer[-1](seen), self.guess(seen)], dim=1)


class Lesson:
    """The loss: of the logits, and `weight` times the squared error of the guesses.

    While learning, a target is a row of class number and lesson; while measuring, a class number.
    """

    def __init__(self, classes: int, weight: float, label_smoothing: float) -> None:
        self.classes, self.weight, self.label_smoothing = classes, weight, label_smoothing

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        number = target if target.ndim == 1 else target[:, 0]
        loss = functional.cross_entropy(output[:, : self.classes], number.long(), label_smoothing=self.label_smoothing)
        if target.ndim == 1:
            return loss
        return loss + self.weight * functional.mse_loss(output[:, self.classes :], target[:, 1:])
