"""What did agents make of our answers? A category that one changed on the ticket comes back as a label.

Each ticket that we answered is read again a few times (WAITS_S after the answer), and soon after the system called us
about it. The preset's own reading steps say which category is on it now. Ours still, or none of ours: nothing follows.
Another of our categories: a person said so, and the picture of the ticket gets that label. Of several pictures one gets
it when people have said of all others what they are, and none of those is what the ticket now says; else none does.

Off by default (source.corrections): whoever can edit tickets teaches the model.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import File, FileTicket, Label, Said, Source, Ticket
from ticketbot.db.rows import rows
from ticketbot.deliver import preset
from ticketbot.errors import SettingsError
from ticketbot.net import fetch
from ticketbot.settings import Settings
from ticketbot.systems.calls import System

log = logging.getLogger(__name__)

# After our answer, each time counted from the look before: an hour, a day, three days, a week.
WAITS_S = (3600.0, 86400.0, 259_200.0, 604_800.0)
# After the system called us; longer than its own change takes to be committed.
SOON_S = 5.0
AGAIN_S = 1800.0
AT_ONCE = 50


@dataclass(frozen=True)
class Change:
    """An agent changed a ticket's category, and it is clear which picture is meant. `said`, `said_by`: our word."""

    sha256: str
    category: str
    who: str
    key: str
    said: str | None
    said_by: str | None


# Writes the label, in the transaction in which the ticket learns of it.
OnChange = Callable[[Session, Change, float], None]


@dataclass(frozen=True)
class _Answered:
    id: int
    endpoint: str
    ticket: str
    category: str | None
    answered_at: float | None
    look_at: float | None
    seq: int


def soon(db: Database, settings: Settings, endpoint: str, ticket: str, now: float) -> None:
    """The ticket system called about this ticket: read it again, if we ever answered it."""
    if not _is_wanted(settings, endpoint):
        return
    with db.write() as session:
        mine = (Ticket.endpoint == endpoint, Ticket.ticket == ticket, Ticket.answered_at.is_not(None))
        session.execute(update(Ticket).where(*mine).values(look_at=now + SOON_S))


def plan(db: Database, settings: Settings, now: float) -> int:
    """Tickets that were answered and are not planned yet get their first look; how many.

    Also those answered before we stood still for hours: a look that is late is made at once.
    """
    wanted = [name for name in settings.endpoints if _is_wanted(settings, name)]
    if not wanted:
        return 0
    young = Ticket.answered_at > now - WAITS_S[-1]
    first = (Ticket.endpoint.in_(wanted), Ticket.look_at.is_(None), young, Ticket.category.is_not(None))
    with db.read() as session:
        if session.scalar(select(Ticket.id).where(*first).limit(1)) is None:
            return 0
    with db.write() as session:
        return rows(session.execute(update(Ticket).where(*first).values(look_at=Ticket.answered_at + WAITS_S[0])))


def read(
    db: Database, settings: Settings, now: Callable[[], float], on_change: OnChange, request: Any = fetch.request
) -> dict[str, int]:
    """Read the tickets that are due; counts: read, changed (by a person), several (pictures: unclear which), failed."""
    plan(db, settings, now())
    counts: Counter[str] = Counter()
    for one in _due(db, now()):
        counts[_look(db, settings, one, now(), on_change, request)] += 1
    return dict(counts)


def next_look(answered_at: float | None, now: float) -> float | None:
    """When to look the next time; None: the ticket is old enough to be left alone."""
    if answered_at is None:
        return None
    return next((answered_at + wait_s for wait_s in WAITS_S if answered_at + wait_s > now), None)


def _is_wanted(settings: Settings, endpoint: str) -> bool:
    found = settings.endpoints.get(endpoint)
    asked = any(source.corrections and source.endpoint == endpoint for source in settings.sources.values())
    return asked and found is not None and bool(found.preset) and found.mode == "live"


def _due(db: Database, now: float) -> list[_Answered]:
    columns = (
        Ticket.id,
        Ticket.endpoint,
        Ticket.ticket,
        Ticket.category,
        Ticket.answered_at,
        Ticket.look_at,
        Ticket.seq,
    )
    query = select(*columns).where(Ticket.look_at <= now).order_by(Ticket.look_at).limit(AT_ONCE)
    with db.read() as session:
        return [_Answered(*row) for row in session.execute(query)]


def _look(db: Database, settings: Settings, one: _Answered, now: float, on_change: OnChange, request: Any) -> str:
    endpoint = settings.endpoints.get(one.endpoint)
    if endpoint is None or not endpoint.preset or not one.category:
        _plan_next(db, one, None)
        return "read"
    try:
        run = preset.look(System(one.endpoint, endpoint, request), one.ticket, deadline_s=settings.deliver.timeout_s)
    except SettingsError as error:
        log.warning("a ticket cannot be read", extra={"endpoint": one.endpoint, "reason": str(error)})
        _plan_next(db, one, now + AGAIN_S)
        return "failed"
    if run.outcome.status != 200:
        gone = run.outcome.status in (401, 403, 404)
        _plan_next(db, one, next_look(one.answered_at, now) if gone else now + AGAIN_S)
        return "failed"
    found = preset.category_of(endpoint, run.current, settings.categories)
    if found is None or found in (one.category or "").split(","):
        _plan_next(db, one, next_look(one.answered_at, now))
        return "read"
    return _changed(db, settings, one, found, now, on_change)


def _changed(db: Database, settings: Settings, one: _Answered, category: str, now: float, on_change: OnChange) -> str:
    with db.write() as session:
        mine = (Ticket.id == one.id, Ticket.look_at == one.look_at, Ticket.seq == one.seq)
        values = {"look_at": next_look(one.answered_at, now), "category": category, "by": "person", "confidence": None}
        if not rows(session.execute(update(Ticket).where(*mine).values(**values))):
            return "read"  # we said something new meanwhile, or a colleague was quicker
        pictures = _pictures(session, settings, one)
        if len(pictures) > 1:
            pictures = _meant(session, pictures, category)
        if len(pictures) != 1:
            log.info("changed by a person, with several pictures", extra={"ticket": one.ticket, "n": len(pictures)})
            return "several"
        key = f"ticket-{one.endpoint}-{one.id}-{one.seq}-{category}"
        word = session.get(Said, (one.endpoint, one.ticket, pictures[0]))
        ours = (word.category, word.by) if word is not None and word.by != "person" else (None, None)
        on_change(session, Change(pictures[0], category, f"ticket:{one.endpoint}", key, *ours), now)
        # What the label makes known is what the ticket says already: no answer follows.
        session.execute(update(Ticket).where(Ticket.id == one.id).values(category=category, by="person", due_at=None))
    return "changed"


def _pictures(session: Session, settings: Settings, one: _Answered) -> list[str]:
    """Pictures of the ticket from sources whose corrections count, that we spoke about or that wait for a person."""
    trusted = [name for name, source in settings.sources.items() if source.corrections]
    query = (
        select(File.sha256)
        .join(FileTicket, FileTicket.file_id == File.id)
        .join(Source, Source.id == File.source_id)
        .where(FileTicket.ticket == one.ticket, FileTicket.endpoint == one.endpoint, Source.name.in_(trusted))
        .where(File.sha256.is_not(None))
    )
    said = select(Said.sha256).where(Said.ticket == one.ticket, Said.endpoint == one.endpoint)
    on_it = {found for found in session.scalars(query) if found}
    return sorted(on_it & set(session.scalars(said)) if len(on_it) == 1 else on_it)


def _meant(session: Session, pictures: list[str], category: str) -> list[str]:
    """Which of several the change may be about: those nobody has labelled. None, if a labelled one explains it."""
    query = select(Label.sha256, Label.category).where(Label.sha256.in_(pictures))
    labelled = {sha256: said for sha256, said in session.execute(query)}  # noqa: C416
    return [] if category in labelled.values() else [one for one in pictures if one not in labelled]


def _plan_next(db: Database, one: _Answered, at: float | None) -> None:
    with db.write() as session:
        session.execute(update(Ticket).where(Ticket.id == one.id, Ticket.look_at == one.look_at).values(look_at=at))
