"""How far is the labelling? Exact about labels, a few seconds old about pictures; never slower with the total."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import Label, LabelEvent, Picture, Training
from ticketbot.review import opinions
from ticketbot.review.labels import CLEAN, OPINIONS
from ticketbot.web.context import Services

# A person's latest words that were compared with what the model suggested.
LATEST = 200


class Counted(NamedTuple):
    """Staged pictures and labels, as of label event `until`."""

    staged: int
    labelled: int
    until: int


def of(session: Session, made: Services, who: str) -> dict[str, Any]:
    """`left` to label, `labelled`, labels `until_training`, `agrees`: how often this person says what was suggested
    (None: too little to tell), and kappa between people."""
    counted = made.tallies.get("labels", lambda: count(made.db))
    labelled = counted.labelled + _since(session, counted.until)
    between = made.tallies.get("agreement", lambda: _agreement(made.db))
    return {
        "left": max(0, counted.staged - labelled),
        "labelled": labelled,
        "until_training": until_training(session, made.settings.retrain.min_new_labels),
        "agrees": agrees(session, who),
        "kappa": between.kappa,
    }


def count(db: Database) -> Counted:
    """Reads everything: in a tally only. What has a label stays staged, so both counts are of the same pictures."""
    with db.read() as session:
        until = session.scalar(select(func.max(LabelEvent.id))) or 0
        labelled = session.scalar(select(func.count()).select_from(Label)) or 0
        staged = session.scalar(select(func.count()).where(Picture.state == "staged")) or 0
    return Counted(staged, labelled, until)


def _since(session: Session, until: int) -> int:
    """How many more pictures have a label than at event `until`."""
    words = select(LabelEvent.old, LabelEvent.new).where(LabelEvent.id > until)
    changes = [(old, new) for old, new in session.execute(words) if new not in OPINIONS]
    return sum((new is not None) - (old is not None) for old, new in changes)


def until_training(session: Session, min_new_labels: int) -> int:
    """Labels still missing until a training is due by itself; counts no further than that."""
    ended = select(func.max(Training.labels_until)).where(Training.state.in_(("succeeded", "refused")))
    seen = session.scalar(ended) or 0
    new = (
        select(LabelEvent.id)
        .join(Label, (Label.sha256 == LabelEvent.sha256) & (Label.version == LabelEvent.id))
        .where(LabelEvent.id > seen)
        .order_by(LabelEvent.id.desc())
        .limit(min_new_labels)
    )
    return max(0, min_new_labels - (session.scalar(select(func.count()).select_from(new.subquery())) or 0))


def agrees(session: Session, who: str) -> float | None:
    """How often this person's latest words are what the model suggested."""
    own = (LabelEvent.who == who, LabelEvent.undo_of.is_(None), LabelEvent.how != CLEAN)
    latest = select(LabelEvent.new, LabelEvent.suggested).where(*own)
    rows = session.execute(latest.order_by(LabelEvent.id.desc()).limit(LATEST))
    pairs = [(new, suggested) for new, suggested in rows if suggested is not None and new not in OPINIONS]
    return sum(new == suggested for new, suggested in pairs) / len(pairs) if len(pairs) >= 10 else None


def _agreement(db: Database) -> opinions.Agreement:
    with db.read() as session:
        return opinions.agreement(session)
