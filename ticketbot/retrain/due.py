"""Is it time to train again?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
    """The answer and why, in a sentence for people. `blocked`: not even a person's wish helps now."""

    due: bool
    reason: str
    blocked: bool = False


def due(facts: Facts, rules: Rules, now: float, *, asked: bool = False) -> Due:
    """Decide. `asked`: a person wants it, so new labels and the interval do not matter; the minimum does."""
    if facts.running:
        return Due(False, "a training or a cleaning is running", blocked=True)
    if few := too_few(facts.labels, rules.min_per_category):
        return Due(False, f"every category needs {rules.min_per_category} labels: {few}", blocked=True)
    if asked:
        return Due(True, "asked for")
    if facts.new_labels < rules.min_new_labels:
        left = rules.min_new_labels - facts.new_labels
        return Due(False, f"{left} more labels until the next training")
    if facts.last_started_at is not None and now - facts.last_started_at < rules.min_interval_s:
        wait_s = rules.min_interval_s - (now - facts.last_started_at)
        return Due(False, f"the last training began too recently; {wait_s:.0f} s to wait")
    return Due(True, f"{facts.new_labels} new labels")


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
    if facts.running:
        return Due(False, "a training or a cleaning is running", blocked=True)
    if few := too_few(facts.labels, rules.min_per_category):
        return Due(False, f"every category needs {rules.min_per_category} labels: {few}", blocked=True)
    if asked:
        return Due(True, "asked for")
    since = facts.cleaned_at if facts.cleaned_at is not None else facts.trained_at
    if not interval_s or since is None or not facts.new_words or now - since < interval_s:
        return Due(False, "nothing new, or too recently")
    return Due(True, "labels changed since the last cleaning")


def too_few(labels: Mapping[str, int], minimum: int) -> str:
    """ "reports has 3, errors has 0": the categories below the minimum; "" when there is none."""
    return ", ".join(f"{name} has {count}" for name, count in labels.items() if count < minimum)
