"""How far do people agree? Some pictures are labelled by two people, blind, and neither knows of the other.

Which ones: half of the blind ones, by their hash, so nobody chooses them. The second word becomes the label, as every
later word does. Where the two differ, nobody is asked to decide yet: kappa says how often that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ticketbot.db.models import LabelEvent, Picture, SecondOpinion
from ticketbot.review.labels import OPINIONS

# Of the blind pictures: with review.blind_share = 0.1, one picture in twenty.
DOUBLE_SHARE = 0.5
# Agreement is that of the latest so many.
LATEST = 1000


@dataclass(frozen=True)
class Agreement:
    """`n` pictures with two words; the share that is the same, and Cohen's kappa (None: it has no meaning yet)."""

    n: int
    share: float | None
    kappa: float | None


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of (first, second) words: 1 always the same, 0 no better than chance.

    None without a pair, and when both only ever said one and the same word: chance explains everything then.
    """
    if not pairs:
        return None
    n = len(pairs)
    same = sum(first == second for first, second in pairs) / n
    firsts, seconds = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    chance = sum(firsts[word] * seconds[word] for word in firsts) / n**2
    return (same - chance) / (1 - chance) if chance < 1 else None


def agreement(session: Session) -> Agreement:
    """Of the latest pictures that two people labelled."""
    both = select(SecondOpinion.first, SecondOpinion.second).where(SecondOpinion.second_event.is_not(None))
    rows = session.execute(both.order_by(SecondOpinion.second_event.desc()).limit(LATEST))
    pairs = [(first, second) for first, second in rows if second is not None]
    share = sum(first == second for first, second in pairs) / len(pairs) if pairs else None
    return Agreement(len(pairs), share, kappa(pairs))


def heard(session: Session, event: LabelEvent) -> None:
    """Somebody labelled a picture that two people are to label: note whose word it is, the first or the second.

    What waits for a second person is given free at once: nobody must wait for the end of the first one's lease.
    """
    if not event.blind or event.new is None or event.new in OPINIONS:
        return
    row = session.get(SecondOpinion, event.sha256)
    if row is None:
        row = SecondOpinion(sha256=event.sha256)
        session.add(row)
    if row.first_who in (None, event.who) and row.second_event is None:
        row.first, row.first_who, row.first_event = event.new, event.who, event.id
        session.execute(update(Picture).where(Picture.sha256 == event.sha256).values(review_until=0.0))
    elif row.second_who in (None, event.who) and row.first_who != event.who:
        row.second, row.second_who, row.second_event = event.new, event.who, event.id


def taken_back(session: Session, event: LabelEvent) -> None:
    """The event counts no more."""
    own = SecondOpinion.sha256 == event.sha256
    session.execute(
        update(SecondOpinion)
        .where(own, SecondOpinion.second_event == event.id)
        .values(second=None, second_who=None, second_event=None)
    )
    session.execute(
        delete(SecondOpinion).where(own, SecondOpinion.first_event == event.id, SecondOpinion.second_event.is_(None))
    )
