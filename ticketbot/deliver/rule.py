"""What is said about a picture, and which category does a ticket with several pictures get?

Values in, a decision out. A person's word wins over a model's, and only a person corrects: that a newer model sees a
picture differently is no news for the ticket by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

PERSON = "person"


@dataclass(frozen=True)
class Word:
    """What is known about a picture. `by` is "person" or a model id; category None: a person said it is junk."""

    category: str | None
    confidence: float | None
    by: str


@dataclass(frozen=True)
class Choice:
    """The answer for a ticket: `categories` has more than one only under the rule "all"."""

    categories: tuple[str, ...]
    confidence: float | None
    by: str

    @property
    def key(self) -> str:
        return ",".join(self.categories)


Change = Literal["first", "corrected", "confirmed", "withdrawn"]


def change(said: Word | None, word: Word) -> Change | None:
    """What the world should hear, now that `word` is known and `said` was said. None: nothing new.

    confirmed: a person agrees with the model, which is not sent but counts for the ticket. withdrawn: junk after all.
    """
    if said is None or said.category is None:
        return "first" if word.category is not None else None
    if word.by != PERSON:
        return None
    if word.category is None:
        return "withdrawn"
    if word.category != said.category:
        return "corrected"
    return "confirmed" if said.by != PERSON else None


def choose(words: Sequence[Word], rule: str, categories: Sequence[str]) -> Choice | None:
    """The ticket's answer by `rule`: most_confident, priority (order of `categories`) or all. None without any word.

    A person's word about one picture wins over models' words about the others, except under "all", which lists
    everything. Ties go to the category that comes first in `categories`.
    """
    order = {category: place for place, category in enumerate(categories)}
    known = [word for word in words if word.category in order]
    if not known:
        return None
    if rule == "all":
        found = sorted({word.category for word in known if word.category}, key=order.__getitem__)
        return Choice(tuple(found), _confidence(known), _who(known))
    by_people = [word for word in known if word.by == PERSON]
    best = min(by_people or known, key=lambda word: _rank(word, rule, order))
    return Choice((best.category or "",), best.confidence, best.by)


def _rank(word: Word, rule: str, order: dict[str, int]) -> tuple[float, float]:
    place = float(order[word.category or ""])
    sureness = -(1.0 if word.confidence is None else word.confidence)
    return (place, sureness) if rule == "priority" else (sureness, place)


def _confidence(words: Sequence[Word]) -> float | None:
    """Everything listed is right only if the least sure is: a person's word counts as sure."""
    given = [word.confidence for word in words if word.confidence is not None]
    return min(given) if given else None


def _who(words: Sequence[Word]) -> str:
    people = [word.by for word in words if word.by == PERSON]
    return (people or [word.by for word in words])[0]
