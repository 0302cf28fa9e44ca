"""Can the network in eight bits answer most pictures, so that the full one is asked only about the rest?

Where eight bits are sure, both say the same; where they are not, the full network in fp32 decides. How sure is sure
enough is chosen on one half of the pictures at hand and judged on the other. None of them was learned from; what they
show is of no interest, because only agreement counts. Not proven: not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts.bundle import Threshold
from ticketbot.judge.intervals import lower_bound

SAME, DELTA = 0.995, 0.05  # this share of pictures is decided the same, proven at 95 %
LEAST = 2000  # pictures at hand, both halves together
LEAST_LEAVE = 0.7  # both networks for more than the rest of the pictures take longer than the full one for all
FLOOR = 0.5


@dataclass(frozen=True)
class Proof:
    """Of `n` pictures at hand `same` are decided as by the full network alone. The exit was chosen on half of them;
    proof_*: the other half, `proof_low` the lower bound (95 %) of its share. leave: the share that leaves early.
    """

    exit_threshold: float
    n: int
    same: int
    low: float
    proof_n: int
    proof_same: int
    proof_low: float
    leave: float
    passes: bool
    reason: str


def prove(full: NDArray[np.float64], quick: NDArray[np.float64], limits: Sequence[float], least: int = LEAST) -> Proof:
    """full, quick (N x C): probabilities of the same pictures by both networks, in an order that means nothing.

    limits (C): from which probability on each class is tagged, inf for never.
    """
    differ = decisions(full, limits) != decisions(quick, limits)
    sure, chosen = quick.max(axis=1), np.arange(len(full)) % 2 == 0
    threshold = sure_enough(sure[chosen], differ[chosen])
    leaves = sure >= threshold
    wrong = differ & leaves
    n, proof_n = len(full), int((~chosen).sum())
    same, proof_same = n - int(wrong.sum()), proof_n - int(wrong[~chosen].sum())
    low, proof_low = _low(same, n), _low(proof_same, proof_n)
    leave = float(leaves.mean()) if n else 0.0
    said = f"eight bits decide as fp32 for {proof_same} of {proof_n} pictures kept for this, at least {proof_low:.2%}"
    if n < least:
        reason = f"{n} pictures that were not learned from are too few to prove it: {least} are needed"
    elif min(low, proof_low) < SAME:
        reason = f"{said}: {SAME:.1%} is not proven"
    elif leave < LEAST_LEAVE:
        reason = f"eight bits are sure of {leave:.0%} of the pictures only: asking both networks is no quicker"
    else:
        reason = f"{said}, and of {same} of all {n}, at least {low:.2%}; {leave:.1%} need no second network"
    passes = n >= least and min(low, proof_low) >= SAME and leave >= LEAST_LEAVE
    return Proof(threshold, n, same, low, proof_n, proof_same, proof_low, leave, passes, reason)


def decisions(probs: NDArray[np.float64], limits: Sequence[float]) -> NDArray[np.int64]:
    """A number for each picture (N x C): its best class, and whether that is tagged without a person."""
    best = probs.argmax(axis=1)
    tagged = probs.max(axis=1) >= np.asarray(limits)[best]
    return 2 * best + tagged


def sure_enough(sure: NDArray[np.float64], differ: NDArray[np.bool_]) -> float:
    """Half way from the surest answer that differs to certainty, never below .5."""
    worst = float(sure[differ].max()) if differ.any() else 0.0
    return max(FLOOR, (1 + worst) / 2)


def limits_of(thresholds: dict[str, Threshold], classes: Sequence[str]) -> list[float]:
    """From which probability on each class is tagged, where that is proven; else inf."""
    found = [thresholds.get(name) for name in classes]
    return [float("inf") if one is None or one.threshold is None else one.threshold for one in found]


def _low(same: int, n: int) -> float:
    return lower_bound(same, n, DELTA) if n else 0.0
