"""What is still to do, when will it be due, and is anything stuck?

Read by `ticketbot once`, /readyz and the overview: one place that counts the queues.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import SQLColumnExpression, func, literal_column, select
from sqlalchemy.orm import Session, aliased

from ticketbot.db.conditions import UNSETTLED
from ticketbot.db.models import Answer, EndpointState, File, InboundEvent, Model, Picture, Source, Ticket
from ticketbot.settings import Settings
from ticketbot.web.i18n import _


@dataclass
class Pending:
    """Counts a queue; `next_at` is when the first of it is due (Unix seconds), None when nothing waits."""

    inbound_events: int = 0
    settling: int = 0
    to_classify: int = 0
    unresolved: int = 0
    undecided_tickets: int = 0
    to_deliver: int = 0
    next_at: float | None = None
    stuck: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        collecting = self.inbound_events + self.settling + self.unresolved
        return collecting + self.to_classify + self.undecided_tickets + self.to_deliver


def look(session: Session, settings: Settings, now: float) -> Pending:
    """Count what waits. Indexed queries only; cheap at millions of rows."""
    pending = Pending(stuck=stuck(session))
    dues = []

    def count(column: SQLColumnExpression[Any], *where: SQLColumnExpression[Any]) -> int:
        waiting, first = session.execute(select(func.count(), func.min(column)).where(*where)).one()
        if waiting:
            dues.append(first)
        return int(waiting)

    pending.inbound_events = count(InboundEvent.due_at, InboundEvent.due_at.is_not(None))
    settle_s = max((source.settle_s for source in settings.sources.values()), default=0.0)
    pending.settling = count(File.observed_at + settle_s, UNSETTLED)
    pending.to_classify = sum(count(Picture.lease_until, *where) for where in unanswered(session))
    pending.unresolved = count(File.resolve_due_at, File.resolve_due_at.is_not(None))
    pending.undecided_tickets = count(Ticket.due_at, Ticket.due_at.is_not(None))
    pending.to_deliver, due_at = _to_deliver(session)
    dues += [due_at] * (pending.to_deliver > 0)
    pending.next_at = min(dues, default=None)
    return pending


def _to_deliver(session: Session) -> tuple[int, float | None]:
    """How many wait, and when the first may go: one that stands behind another of its ticket waits for that one."""
    waits: SQLColumnExpression[str] = literal_column("'pending'")
    earlier = aliased(Answer)
    mine = (earlier.endpoint == Answer.endpoint, earlier.ticket == Answer.ticket, earlier.seq < Answer.seq)
    behind = select(earlier.id).where(earlier.state == waits, *mine).exists()
    due_at = session.scalar(select(func.min(Answer.due_at)).where(Answer.state == waits, ~behind))
    return session.scalar(select(func.count()).where(Answer.state == waits)) or 0, due_at


def to_classify(session: Session) -> bool:
    """Is there a picture the champion has not answered?"""
    found = (session.scalar(select(Picture.sha256).where(*where).limit(1)) for where in unanswered(session))
    return any(one is not None for one in found)


def unanswered(session: Session) -> list[list[SQLColumnExpression[Any]]]:
    """The pictures the champion has not answered, as where-clauses to be asked one after the other; none without one.

    Each is a range of ix_picture_classify. With all three in one query SQLite passes over every picture that is done:
    43 ms at 100,000 on a busy machine, once a round.
    """
    champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    if champion is None:
        return []
    ranges = (Picture.model_id.is_(None), Picture.model_id < champion, Picture.model_id > champion)
    return [[Picture.state == "staged", Picture.wanted, one] for one in ranges]


def stuck(session: Session, dead: int | None = None) -> list[str]:
    """What does not go on without a person, one sentence each. `dead`: answers given up, if they are counted."""
    found = []
    for name, why in session.execute(select(Source.name, Source.incomplete).where(Source.incomplete.is_not(None))):
        found.append(_("source %(name)s: the last scan was incomplete: %(why)s", name=name, why=why))
    if dead is None:
        dead = session.scalar(select(func.count()).where(Answer.state == "dead")) or 0
    if dead:
        how = "ticketbot answers --dead"
        found.append(_("%(n)s answers could not be delivered in all attempts; see: %(how)s", n=dead, how=how))
    disabled = select(EndpointState.name, EndpointState.disabled_why).where(EndpointState.disabled_at.is_not(None))
    for name, why in session.execute(disabled):
        found.append(_("endpoint %(name)s is switched off: %(why)s", name=name, why=why))
    return found
