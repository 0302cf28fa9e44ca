"""Is it time to train again?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ticketbot.web.i18n import N_

RUNNING = N_("a training or a cleaning is running")
TOO_FEW = N_("every category needs %(minimum)s labels; too few: %(few)s")
ASKED = N_("asked for")


@dataclass(frozen=True)
class Facts:
    """labels: usable labels per category now; new_labels: since the last training that ended by itself."""

    labels: Mapping[str, int]
    new_labels: int
    running: bool
    last_started_at: float | None


@dataclass(frozen=True)
class Rules:
    """The settings that decide: [retrain]."""

    min_new_labels: int
    min_interval_s: float
    min_per_category: int


@dataclass(frozen=True)
class Due:
    """The answer and why: a sentence for people with its %(values)s apart, for a page to say it in its language.

    `blocked`: not even a person's wish helps now.
    """

    due: bool
    why: str
    values: Mapping[str, Any] = field(default_factory=dict)
    blocked: bool = False

    @property
    def reason(self) -> str:
        """Why, in English."""
        return self.why % self.values


def due(facts: Facts, rules: Rules, now: float, *, asked: bool = False) -> Due:
    """Decide. `asked`: a person wants it, so new labels and the interval do not matter; the minimum does."""
    if blocked := _blocked(facts.running, facts.labels, rules):
        return blocked
    if asked:
        return Due(True, ASKED)
    if facts.new_labels < rules.min_new_labels:
        left = rules.min_new_labels - facts.new_labels
        return Due(False, N_("%(left)s more labels until the next training"), {"left": left})
    if facts.last_started_at is not None and now - facts.last_started_at < rules.min_interval_s:
        wait_s = rules.min_interval_s - (now - facts.last_started_at)
        wait = N_("the last training began too recently; %(wait_s)s s to wait")
        return Due(False, wait, {"wait_s": round(wait_s)})
    return Due(True, N_("%(new)s new labels"), {"new": facts.new_labels})


@dataclass(frozen=True)
class CleanFacts:
    """trained_at, cleaned_at: when a training and a cleaning last began; new_words: labels changed since the latter."""

    labels: Mapping[str, int]
    running: bool
    trained_at: float | None
    cleaned_at: float | None
    new_words: bool


def clean_due(facts: CleanFacts, rules: Rules, interval_s: float, now: float, *, asked: bool = False) -> Due:
    """Is it time to look for wrong labels? By itself not before the first training, and every `interval_s` (0: never).

    `asked`: a person wants it, so only what blocks it matters.
    """
    if blocked := _blocked(facts.running, facts.labels, rules):
        return blocked
    if asked:
        return Due(True, ASKED)
    since = facts.cleaned_at if facts.cleaned_at is not None else facts.trained_at
    if not interval_s or since is None or not facts.new_words or now - since < interval_s:
        return Due(False, N_("nothing new, or too recently"))
    return Due(True, N_("labels changed since the last cleaning"))


def _blocked(running: bool, labels: Mapping[str, int], rules: Rules) -> Due | None:
    if running:
        return Due(False, RUNNING, blocked=True)
    if few := too_few(labels, rules.min_per_category):
        return Due(False, TOO_FEW, {"minimum": rules.min_per_category, "few": few}, blocked=True)
    return None


def too_few(labels: Mapping[str, int], minimum: int) -> str:
    """ "reports 3, errors 0": the categories below the minimum; "" when there is none."""
    return ", ".join(f"{name} {count}" for name, count in labels.items() if count < minimum)
