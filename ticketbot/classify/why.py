"""Why would this picture be tagged, or why would a person be asked?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ticketbot.contracts.bundle import Threshold
from ticketbot.judge.decide import Decision, needed


@dataclass(frozen=True)
class Why:
    """The decision and what it rests on.

    rule: "promise" (a proven threshold), "fixed" (model.tag_threshold, nothing proven), "nobody" (nothing proven, and
    then people decide). limit: from which probability on the class is tagged; None: never. accepted, errors: what the
    promise was proven on; missing: accepted pictures it still needs.
    """

    category: str | None
    best: str
    confidence: float
    rule: Literal["promise", "fixed", "nobody"]
    limit: float | None
    accepted: int
    errors: int
    missing: int


def why(decision: Decision, threshold: Threshold | None, unproven: str, tag_threshold: float) -> Why:
    """Explain a decision by the rules it was made by."""
    proven = threshold is not None and threshold.proven
    limit = needed(threshold, unproven, tag_threshold)
    rule: Literal["promise", "fixed", "nobody"] = "promise" if proven else "fixed" if limit is not None else "nobody"
    accepted, errors, missing = (threshold.accepted, threshold.errors, threshold.needed) if threshold else (0, 0, 0)
    return Why(decision.category, decision.best, decision.confidence, rule, limit, accepted, errors, missing)
