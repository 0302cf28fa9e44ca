"""How good is the model on pictures it never saw, and how sure are we of that?

The keys are those of `trainer evaluate --json`. Unreadable pictures count as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts.bundle import Threshold
from ticketbot.judge.decide import category_of
from ticketbot.judge.intervals import clopper_pearson, lower_bound

UNREADABLE = "unreadable"


def evaluate(
    probs: NDArray[np.floating],
    y: NDArray[np.integer],
    classes: Sequence[str],
    thresholds: Mapping[str, Threshold],
    *,
    unproven: Literal["review", "tag"] = "review",
    tag_threshold: float = 0.8,
    unreadable: Sequence[int] = (),
    delta: float = 0.05,
) -> dict[str, Any]:
    """Everything `trainer evaluate --json` says.

    probs: N x C of the readable pictures; y: their class numbers; unreadable: class numbers of the pictures that could
    not be read. accuracy_low/high: exact 95 % interval; precision_auto is null when nothing is tagged by itself, and
    precision_auto_low its one-sided exact bound at `delta`.
    """
    truth, said = np.asarray(y, dtype=int), np.asarray(probs, dtype=np.float64).argmax(axis=1).astype(int)
    counts = _counts(truth, said, unreadable, len(classes))
    n, right = int(counts.sum()), int(np.trace(counts))
    per_class = {name: _of_class(counts, number) for number, name in enumerate(classes)}
    low, high = clopper_pearson(right, n)
    decisions = [category_of(row, classes, thresholds, unproven, tag_threshold) for row in probs]
    tagged = [classes[true] == one.category for true, one in zip(truth, decisions, strict=True) if not one.unsure]
    return {
        "n": n,
        "n_unreadable": len(unreadable),
        "accuracy": _share(right, n),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": float(np.mean([one["f1"] for one in per_class.values()])),
        "per_class": per_class,
        "confusion": _named(counts, classes),
        "coverage": _share(len(tagged), n),
        "precision_auto": _share(sum(tagged), len(tagged)) if tagged else None,
        "precision_auto_low": lower_bound(sum(tagged), len(tagged), delta),
    }


def majority_share(y: NDArray[np.integer]) -> float:
    """How often would always naming the most frequent class be right?"""
    return float(np.bincount(np.asarray(y, dtype=int)).max() / len(y)) if len(y) else 1.0


def _counts(
    truth: NDArray[np.integer], said: NDArray[np.integer], unreadable: Sequence[int], n_classes: int
) -> NDArray[np.int64]:
    """Rows: what it is; columns: what the model says, and a last one for unreadable."""
    counts = np.zeros((n_classes, n_classes + 1), dtype=np.int64)
    np.add.at(counts, (truth, said), 1)
    for number in unreadable:
        counts[number, n_classes] += 1
    return counts


def _of_class(counts: NDArray[np.int64], number: int) -> dict[str, Any]:
    right, n, said = int(counts[number, number]), int(counts[number].sum()), int(counts[:, number].sum())
    precision, recall = _share(right, said), _share(right, n)
    precision_low, precision_high = clopper_pearson(right, said)
    recall_low, recall_high = clopper_pearson(right, n)
    return {
        "n": n,
        "precision": precision,
        "precision_low": precision_low,
        "precision_high": precision_high,
        "recall": recall,
        "recall_low": recall_low,
        "recall_high": recall_high,
        "f1": 2 * right / (n + said) if n + said else 0.0,
    }


def _named(counts: NDArray[np.int64], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """{what it is: {what was said: n}}; the column "unreadable" only when there is one."""
    columns = [*classes, UNREADABLE] if counts[:, -1].any() else list(classes)
    return {
        name: {column: int(value) for column, value in zip(columns, row, strict=False)}
        for name, row in zip(classes, counts, strict=True)
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
