"""Does this model go live?

First model: its accuracy's lower bound must beat the majority share (always naming the most frequent class), and every
class must have its minimum of labels. Later ones: right significantly more often than the champion on the same
held-out pictures (exact one-sided McNemar, p < .05), and no class falls significantly. A person may always decide
otherwise, with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketbot.judge import mcnemar
from ticketbot.judge.intervals import clopper_pearson
from ticketbot.judge.metrics import majority_share

SMALL = 59  # fewer held-out pictures than this cannot prove 95 % of anything
MORE_LABELS = 1.3


@dataclass(frozen=True)
class Verdict:
    """`offered`: not proven better, but equal and trained on 30 % more labels: worth a person's look."""

    promote: bool
    reason: str
    p_value: float | None = None
    offered: bool = False


def decide(
    right: NDArray[np.bool_],
    y: NDArray[np.integer],
    classes: Sequence[str],
    *,
    labels: Mapping[str, int],
    min_per_category: int,
    champion_right: NDArray[np.bool_] | None = None,
    champion_labels: int = 0,
    classes_changed: bool = False,
) -> Verdict:
    """Judge a challenger on the held-out pictures.

    right, champion_right: was the picture answered rightly (N); y: class numbers (N); labels: training and held-out
    labels per class; champion_labels: how many the champion had. No champion: the rules of a first model.
    """
    if missing := [f"{name} has {labels.get(name, 0)}" for name in classes if labels.get(name, 0) < min_per_category]:
        return Verdict(False, f"every class needs {min_per_category} labels: {', '.join(missing)}")
    if not len(y):
        return Verdict(False, "there are no held-out pictures to measure on; a person must decide")
    if classes_changed:
        return Verdict(False, "the classes are not those of the model in service; a person must decide")
    if champion_right is None:
        return first(right, y)
    return later(right, champion_right, y, classes, sum(labels.values()), champion_labels)


def first(right: NDArray[np.bool_], y: NDArray[np.integer]) -> Verdict:
    """The rule for a first model."""
    k, n = int(np.sum(right)), len(y)
    low, majority = clopper_pearson(k, n)[0], majority_share(y)
    facts = f"{k} of {n} right, at least {low:.1%}; always the most frequent class: {majority:.1%}{_small(n)}"
    if low > majority:
        return Verdict(True, f"first model, better than guessing: {facts}")
    return Verdict(False, f"first model, not proven better than guessing: {facts}")


def later(
    right: NDArray[np.bool_],
    champion_right: NDArray[np.bool_],
    y: NDArray[np.integer],
    classes: Sequence[str],
    labels: int,
    champion_labels: int,
) -> Verdict:
    """The rule against a champion, both measured on the same pictures."""
    wins, losses = _apart(right, champion_right)
    p_value = mcnemar.one_sided(wins, losses)
    facts = f"of {len(y)} pictures it alone has {wins} right, the champion alone {losses} (p = {p_value:.3f})"
    facts += _small(len(y))
    if fallen := [name for number, name in enumerate(classes) if _falls(right, champion_right, y == number)]:
        return Verdict(False, f"worse on {', '.join(fallen)}: {facts}", p_value)
    if p_value < mcnemar.LEVEL:
        return Verdict(True, f"better than the champion: {facts}", p_value)
    worse = mcnemar.one_sided(losses, wins) < mcnemar.LEVEL
    if not worse and labels >= MORE_LABELS * champion_labels > 0:
        return Verdict(
            False, f"as good, and trained on {labels} labels, not {champion_labels}: offered; {facts}", p_value, True
        )
    return Verdict(False, f"not proven better than the champion: {facts}", p_value)


def _apart(right: NDArray[np.bool_], champion_right: NDArray[np.bool_]) -> tuple[int, int]:
    return int(np.sum(right & ~champion_right)), int(np.sum(champion_right & ~right))


def _falls(right: NDArray[np.bool_], champion_right: NDArray[np.bool_], of_class: NDArray[np.bool_]) -> bool:
    wins, losses = _apart(right[of_class], champion_right[of_class])
    return mcnemar.one_sided(losses, wins) < mcnemar.LEVEL


def _small(n: int) -> str:
    return f"; only {n} pictures to measure on, so this is a rough guess" if n < SMALL else ""
