"""How do pictures come to the network while it learns?

From memory, shuffled, at the size the training has come to, moved and lit a little differently each time. No flips and
no warps: text is not mirrored. What varies is where things stand and how bright they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trainer.recipe import Network

Batch = tuple[torch.Tensor, torch.Tensor]


class Batches:
    """What fastai's Learner iterates over: (uint8-scaled float N x px x px x 3, targets) pairs.

    targets: class numbers (N) or, softened by a teacher, N x C shares. `size` says the present px.
    """

    def __init__(
        self,
        inputs: NDArray[np.uint8],
        targets: torch.Tensor,
        batch: int,
        *,
        size: Callable[[], int],
        recipe: Network | None = None,
        seed: int = 0,
    ) -> None:
        self.inputs, self.targets, self.bs = torch.from_numpy(inputs), targets, batch
        self.size, self.recipe = size, recipe
        self.dice = torch.Generator().manual_seed(seed)
        self.dataset = self.inputs
        self.device = torch.device("cpu")

    @property
    def training(self) -> bool:
        return self.recipe is not None

    def __len__(self) -> int:
        # A last batch of one cannot be normalised; training leaves the rest to the next shuffle.
        return max(1, len(self.inputs) // self.bs) if self.training else math.ceil(len(self.inputs) / self.bs)

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.inputs)
        order = torch.randperm(count, generator=self.dice) if self.training else torch.arange(count)
        for number in range(len(self)):
            yield self.batch(order[number * self.bs : (number + 1) * self.bs])

    def batch(self, some: torch.Tensor) -> Batch:
        """These pictures, by their numbers."""
        x = self.inputs[some].permute(0, 3, 1, 2).float()
        x = varied(x, self.recipe, self.dice) if self.recipe else x
        return resized(x, self.size()).permute(0, 2, 3, 1), self.targets[some]


def resized(x: torch.Tensor, px: int) -> torch.Tensor:
    """N x 3 x s x s to N x 3 x px x px; the training's smaller sizes only, never what is served."""
    return x if x.shape[-1] == px else F.interpolate(x, (px, px), mode="bilinear", antialias=True)


def varied(x: torch.Tensor, recipe: Network, dice: torch.Generator) -> torch.Tensor:
    """Move, scale, light and now and then invert each picture (float 0 to 255, N x 3 x s x s); white outside."""
    count = len(x)

    def between(low: float, high: float) -> torch.Tensor:
        return torch.rand(count, generator=dice) * (high - low) + low

    scale = torch.exp(between(-recipe.zoom, recipe.zoom))
    move_x, move_y = between(-2 * recipe.shift, 2 * recipe.shift), between(-2 * recipe.shift, 2 * recipe.shift)
    stretch = torch.exp(between(-recipe.zoom / 2, recipe.zoom / 2))
    zero = torch.zeros(count)
    place = torch.stack([scale * stretch, zero, move_x, zero, scale / stretch, move_y], dim=1).view(count, 2, 3)
    grid = F.affine_grid(place, list(x.shape), align_corners=False)
    x = 255 - F.grid_sample(255 - x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    contrast, brightness = 1 + between(-recipe.light, recipe.light), 255 * between(-recipe.light, recipe.light) / 2
    x = (x - 127.5) * contrast.view(-1, 1, 1, 1) + 127.5 + brightness.view(-1, 1, 1, 1)
    turned = (torch.rand(count, generator=dice) < recipe.invert).view(-1, 1, 1, 1)
    return torch.where(turned, 255 - x, x).clamp(0, 255)
