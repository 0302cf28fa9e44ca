"""Do we say it, or do we ask a person?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ticketbot.contracts.bundle import Threshold


@dataclass(frozen=True)
class Decision:
    """`category` is None when unsure; `best`, `confidence` and `margin` (best minus second) are the model's own."""

    category: str | None
    best: str
    confidence: float
    margin: float

    @property
    def unsure(self) -> bool:
        return self.category is None


def category_of(
    probabilities: Sequence[float] | Any,
    classes: Sequence[str],
    thresholds: Mapping[str, Threshold],
    unproven: Literal["review", "tag"],
    tag_threshold: float,
) -> Decision:
    """Decide for one picture: `probabilities` (C) in the order of `classes`.

    A class with a proven threshold is tagged from there on. A class without one goes to people ("review"), or is
    tagged from the fixed `tag_threshold` on ("tag").
    """
    order = sorted(range(len(classes)), key=lambda number: -probabilities[number])
    best, confidence = classes[order[0]], float(probabilities[order[0]])
    margin = confidence - float(probabilities[order[1]])
    limit = needed(thresholds.get(best), unproven, tag_threshold)
    return Decision(best if limit is not None and confidence >= limit else None, best, confidence, margin)


def ranked(probabilities: Sequence[float] | Any, classes: Sequence[str]) -> list[tuple[str, float]]:
    """(class, probability) pairs, best first."""
    pairs = [(name, float(value)) for name, value in zip(classes, probabilities, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])


def needed(threshold: Threshold | None, unproven: str, tag_threshold: float) -> float | None:
    """From which probability on a class with this threshold is tagged; None: never by itself."""
    if threshold is not None and threshold.proven:
        return threshold.threshold
    return tag_threshold if unproven == "tag" else None
