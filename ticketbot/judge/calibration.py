"""When the network says 90 %, is it right nine times of ten?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bin:
    """Pictures whose confidence lies in (low, high]: how sure it was, how often it was right, how many."""

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


def reliability(probs: NDArray[np.floating], y: NDArray[np.integer], bins: int = 15) -> list[Bin]:
    """The reliability curve: bins of equal width that hold pictures."""
    if not len(y):
        return []
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == y
    numbers = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    curve = []
    for number in np.unique(numbers):
        inside = numbers == number
        mean, share = float(confidence[inside].mean()), float(right[inside].mean())
        curve.append(Bin(float(number / bins), float((number + 1) / bins), mean, share, int(inside.sum())))
    return curve


def expected_error(probs: NDArray[np.floating], y: NDArray[np.integer], bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, weighted by pictures."""
    curve = reliability(probs, y, bins)
    return sum(one.n * abs(one.confidence - one.accuracy) for one in curve) / max(1, len(y))
