"""What comes out of a training, whichever network it was?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.data.pictures import Picture

CHUNK = 16


@dataclass
class Trained:
    """module: uint8 N x px x px x 3 -> logits. calibration: logits and class numbers of pictures not learned from."""

    module: nn.Module
    calibration: tuple[NDArray[np.float32], NDArray[np.int64]]
    # One entry a pass: {"pass", "px", "train_loss", "valid_loss", "valid_accuracy"}; empty when nothing was iterated.
    curve: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Whose answers `calibration` holds, row by row; empty when nobody noted it.
    judged: Sequence[Picture] = ()


def logits_of(module: nn.Module, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """N x C of the module in evaluation mode."""
    module.eval()
    with torch.inference_mode():
        parts = [module(torch.from_numpy(inputs[at : at + CHUNK])).numpy() for at in range(0, len(inputs), CHUNK)]
    return np.concatenate(parts).astype(np.float32)
