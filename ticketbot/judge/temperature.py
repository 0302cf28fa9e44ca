"""How much too sure of itself is the network?

One number divides its logits so that its probabilities come true on pictures it was not trained on. The order of the
answers does not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.05, 20.0
GOLDEN = (math.sqrt(5) - 1) / 2


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities (float64, N x C) of logits (N x C)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    powers = np.exp(scaled)
    return powers / powers.sum(axis=1, keepdims=True)


def fit(logits: NDArray[np.floating], y: NDArray[np.integer]) -> float:
    """The temperature with the least negative log likelihood on held-out `logits` (N x C) and class numbers `y` (N).

    The targets are Platt's: (n + 1) / (n + C) instead of 1, so that a validation set without an error does not make
    the network infinitely sure. Without pictures: 1.
    """
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(y)
    if not len(truth):
        return 1.0
    if not np.isfinite(scores).all():
        raise ValueError("logits must be finite")
    targets = _targets(truth, scores.shape[1])
    return math.exp(_least(lambda log_t: loss(scores, targets, math.exp(log_t)), math.log(LOWEST), math.log(HIGHEST)))


def loss(logits: NDArray[np.float64], targets: NDArray[np.float64], temperature: float) -> float:
    """Mean cross-entropy of targets (N x C) against softmax(logits / temperature)."""
    scaled = logits / temperature
    top = scaled.max(axis=1, keepdims=True)
    log_sum = top + np.log(np.exp(scaled - top).sum(axis=1, keepdims=True))
    return float((targets * (log_sum - scaled)).sum(axis=1).mean())


def _targets(y: NDArray[np.integer], n_classes: int) -> NDArray[np.float64]:
    targets = np.full((len(y), n_classes), 1.0 / (len(y) + n_classes))
    targets[np.arange(len(y)), y] = (len(y) + 1) / (len(y) + n_classes)
    return targets


def _least(function: Callable[[float], float], low: float, high: float) -> float:
    """Golden-section search; the loss is convex in 1/T, so it has one valley."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-6:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = function(right)
    return (low + high) / 2
