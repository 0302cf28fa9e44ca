"""From which probability may a class be tagged without a person?

Learn then test, a class at a time: thresholds are tried in an order that was fixed before any label was looked at, and
the trying ends at the first one that cannot be proven. So the risk that a promise is broken stays below `delta`,
however many thresholds were tried; a threshold that merely looks best breaks its promise in 37 to 58 % of calibrations.

The order: the 59 most confident pictures (95 %: the fewest that can prove anything, with no error), then 93 (one
error), 124 (two)…, at last all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts.bundle import Threshold
from ticketbot.judge.intervals import enough


@dataclass(frozen=True)
class _Look:
    """One threshold and what it accepts."""

    threshold: float
    accepted: int
    errors: int


def fit(
    probs: NDArray[np.floating], y: NDArray[np.integer], promise: float = 0.95, delta: float = 0.05
) -> list[Threshold]:
    """A Threshold per class, in class order, from held-out probabilities (N x C) and class numbers (N)."""
    values, truth = np.asarray(probs, dtype=np.float64), np.asarray(y)
    if not len(truth):
        return [Threshold(None, False, 0, 0, enough(0, promise, delta)) for _ in range(values.shape[1])]
    best, confidence = values.argmax(axis=1), values.max(axis=1)
    return [
        of_class(confidence[best == number], truth[best == number] == number, promise, delta)
        for number in range(values.shape[1])
    ]


def of_class(confidence: NDArray[np.float64], right: NDArray[np.bool_], promise: float, delta: float) -> Threshold:
    """The threshold of one class, from the pictures whose best class it is: confidence (n) and was it right (n)."""
    proven: _Look | None = None
    look = _Look(1.0, 0, 0)
    for count in _counts(len(confidence), promise, delta):
        look = _look(confidence, right, count)
        if look.accepted < enough(look.errors, promise, delta):
            break
        proven = look
    if proven:
        return Threshold(proven.threshold, True, proven.accepted, proven.errors, 0)
    return Threshold(None, False, look.accepted, look.errors, enough(look.errors, promise, delta) - look.accepted)


def _counts(n: int, promise: float, delta: float) -> list[int]:
    """How many pictures each look accepts: 59, 93, 124… and n itself. Known without any label."""
    counts: list[int] = []
    while n and (count := enough(len(counts), promise, delta)) < n:
        counts.append(count)
    return [*counts, n] if n else []


def _look(confidence: NDArray[np.float64], right: NDArray[np.bool_], count: int) -> _Look:
    threshold = float(np.sort(confidence)[len(confidence) - count])
    accepted = confidence >= threshold  # equal ones go together, so it may be a few more than `count`
    return _Look(threshold, int(accepted.sum()), int((accepted & ~right).sum()))
