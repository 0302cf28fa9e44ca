"""What became news, and for whom?

`announce` runs inside the transaction that made something true (a prediction, a label, a ticket that was found): the
event is in the outbox if and only if the fact is in the database. `decide_tickets` answers for whole tickets once they
have been quiet for a while.

Announcers take turns (SQLite's BEGIN IMMEDIATE; an advisory lock on PostgreSQL, held until the end of the transaction).
So a prediction, a label and a ticket lookup that commit at the same moment see each other; without it each might miss
the other's row and nobody would speak, and two batches that share tickets would wait for each other for ever.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from ticketbot.contracts.events import Event, EventPicture, body, shown_path
from ticketbot.db import Database
from ticketbot.db.models import Answer, File, FileTicket, Label, Picture, Prediction, Said, Source, Ticket
from ticketbot.db.rows import rows
from ticketbot.deliver import rule
from ticketbot.deliver.rule import PERSON, Choice, Word
from ticketbot.deliver.ulid import message_id
from ticketbot.failpoints import failpoint
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

FILE_KEY = "file:"
# "outbox" as a number: the key of PostgreSQL's advisory lock.
LOCK_KEY = 0x6F7574626F78
TICKETS_A_ROUND = 500
# A file that is gone from the tree was still on its ticket.
TOLD_STATES = ("staged", "gone")


@dataclass(frozen=True, order=True)
class Place:
    """Where a picture is talked about: a ticket at an endpoint, or a file whose ticket the receiver finds itself."""

    endpoint: str
    key: str
    file_id: int

    @property
    def is_file(self) -> bool:
        return self.key.startswith(FILE_KEY)


def announce(session: Session, db: Database, settings: Settings, sha256: str, now: float) -> int:
    """Something became known about this picture: write the events that follow from it. Returns how many.

    Called in the same transaction as the fact. Calling it again changes nothing.
    """
    session.flush()
    if not db.is_sqlite:
        session.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
    word = word_of(session, settings, sha256)
    if word is None:
        return 0
    return sum(_tell(session, db, settings, place, sha256, word, now) for place in places(session, settings, sha256))


def word_of(session: Session, settings: Settings, sha256: str) -> Word | None:
    """The person's label if there is one, else what the picture's model said; None while nothing is known."""
    label = session.execute(select(Label.category).where(Label.sha256 == sha256)).scalar()
    if label is not None:
        return Word(label if label in settings.categories else None, None, PERSON)
    found = session.execute(
        select(Prediction.category, Prediction.confidence, Prediction.model_id)
        .join(Picture, (Picture.sha256 == Prediction.sha256) & (Picture.model_id == Prediction.model_id))
        .where(Prediction.sha256 == sha256, Prediction.state == "done")
    ).one_or_none()
    return Word(*found) if found and found.category in settings.categories else None


def places(session: Session, settings: Settings, sha256: str) -> list[Place]:
    """Every ticket (or file) this picture is on or was spoken about, sorted, each once with its first file."""
    rows = session.execute(
        select(File.id, File.history, Source.name, FileTicket.ticket, FileTicket.endpoint)
        .join(Source, Source.id == File.source_id)
        .outerjoin(FileTicket, FileTicket.file_id == File.id)
        .where(File.sha256 == sha256, File.state.in_(TOLD_STATES))
        .order_by(File.id.desc())
    ).all()
    found: dict[tuple[str, str], Place] = {}
    for file_id, history, name, ticket, endpoint in rows:
        source = settings.sources.get(name)
        if source is None or (history and source.history != "deliver"):
            continue
        endpoint = endpoint or source.endpoint
        key = ticket if source.require_ticket else f"{FILE_KEY}{file_id}"
        if key and endpoint in settings.endpoints:
            found[endpoint, key] = Place(endpoint, key, file_id)
    for place in _told_before(session, sha256):
        if place.endpoint in settings.endpoints:
            found.setdefault((place.endpoint, place.key), place)
    return sorted(found.values())


def _told_before(session: Session, sha256: str) -> list[Place]:
    """Where something was said about it, even if its file holds another picture now: a correction belongs there too."""
    rows = session.execute(select(Said.endpoint, Said.ticket, Said.file_id).where(Said.sha256 == sha256))
    return [Place(endpoint, ticket, file_id or 0) for endpoint, ticket, file_id in rows]


def decide_tickets(db: Database, settings: Settings, now: float) -> dict[str, int]:
    """Answer the tickets that have been quiet long enough; counts: answered, corrected, unchanged."""
    counts: Counter[str] = Counter()
    while True:
        with db.read() as session:
            due = session.scalars(
                select(Ticket.id).where(Ticket.due_at <= now).order_by(Ticket.due_at).limit(TICKETS_A_ROUND)
            ).all()
        done = sum(_decide_one(db, settings, ticket_id, now, counts) for ticket_id in due)
        if not done:
            return dict(counts)


# --- one picture ------------------------------------------------------------------------------------------------------


def _tell(session: Session, db: Database, settings: Settings, place: Place, sha256: str, word: Word, now: float) -> int:
    ticket = _ticket(session, db, place)
    row = session.get(Said, (place.endpoint, place.key, sha256), populate_existing=True)
    said = None if row is None else Word(row.category, row.confidence, row.by)
    news = rule.change(said, word)
    if news is None:
        return 0
    if row is None:
        row = Said(endpoint=place.endpoint, ticket=place.key, sha256=sha256, file_id=place.file_id)
        session.add(row)
    row.category, row.confidence, row.by, row.at = word.category, word.confidence, word.by, now
    ticket.due_at = _due_at(ticket, place, settings, word, now)
    if news not in ("first", "corrected"):
        return 0
    failpoint("outbox.said")
    picture = _event_picture(row, session.get(File, place.file_id))
    return _put(
        session,
        settings,
        ticket,
        Event(
            type="picture.classified" if news == "first" else "picture.corrected",
            at=now,
            ticket=None if place.is_file else place.key,
            seq=ticket.seq + 1,
            categories=(picture.category,),
            confidence=word.confidence,
            by=word.by,
            pictures=(picture,),
            previous=said.category if said and news == "corrected" else None,
        ),
        sha256,
    )


def _due_at(ticket: Ticket, place: Place, settings: Settings, word: Word, now: float) -> float:
    """A person's word goes out now; a model's waits for the ticket's other pictures."""
    if word.by == PERSON or place.is_file or (ticket.due_at is not None and ticket.due_at <= now):
        return now
    return now + settings.deliver.ticket_quiet_s


def _ticket(session: Session, db: Database, place: Place) -> Ticket:
    """The ticket's row, locked until this transaction ends: seq counts without gaps or doubles."""
    session.execute(db.insert(Ticket).values(endpoint=place.endpoint, ticket=place.key, seq=0).on_conflict_do_nothing())
    return session.execute(
        select(Ticket)
        .where(Ticket.endpoint == place.endpoint, Ticket.ticket == place.key)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()


def _event_picture(row: Said, file: File | None) -> EventPicture:
    return EventPicture(
        sha256=row.sha256,
        user=file.user if file else None,
        path=shown_path(file.path) if file else None,
        category=row.category or "",
        confidence=row.confidence,
        by=row.by,
    )


# --- one ticket -------------------------------------------------------------------------------------------------------


def _decide_one(db: Database, settings: Settings, ticket_id: int, now: float, counts: Counter[str]) -> int:
    """1 when the ticket was ours to decide, 0 when a colleague was quicker."""
    with db.write() as session:
        ticket = session.execute(
            db.for_claim(select(Ticket).where(Ticket.id == ticket_id, Ticket.due_at <= now))
        ).scalar_one_or_none()
        if ticket is None:
            return 0
        ticket.due_at = None
        session.flush()
        failpoint("decide.taken")
        counts[_answer(session, settings, ticket, now)] += 1
    failpoint("decide.committed")
    return 1


def _answer(session: Session, settings: Settings, ticket: Ticket, now: float) -> str:
    endpoint = settings.endpoints.get(ticket.endpoint)
    said = session.scalars(
        select(Said)
        .where(Said.endpoint == ticket.endpoint, Said.ticket == ticket.ticket, Said.category.is_not(None))
        .order_by(Said.at, Said.sha256)
    ).all()
    words = [Word(row.category, row.confidence, row.by) for row in said]
    choice = rule.choose(words, settings.deliver.rule, settings.categories)
    if endpoint is None or choice is None or choice.key == ticket.category:
        return "unchanged"
    cancelled = endpoint.ordering == "latest" and _cancel_waiting(session, ticket, now)
    first = ticket.category is None or (cancelled and not _was_told(session, ticket))
    previous = None if first or ticket.category is None else ticket.category.split(",")[0]
    files = {file.id: file for file in session.scalars(select(File).where(File.id.in_([row.file_id for row in said])))}
    pictures = [_event_picture(row, files.get(row.file_id or 0)) for row in said]
    _put(session, settings, ticket, _ticket_event(ticket, choice, pictures, previous, first, now), None)
    failpoint("decide.answered")
    ticket.category, ticket.confidence, ticket.by, ticket.answered_at = choice.key, choice.confidence, choice.by, now
    return "answered" if first else "corrected"


def _ticket_event(
    ticket: Ticket, choice: Choice, pictures: list[EventPicture], previous: str | None, first: bool, now: float
) -> Event:
    return Event(
        type="ticket.answered" if first else "ticket.corrected",
        at=now,
        ticket=None if ticket.ticket.startswith(FILE_KEY) else ticket.ticket,
        seq=ticket.seq + 1,
        categories=choice.categories,
        confidence=choice.confidence,
        by=choice.by,
        pictures=pictures,
        previous=previous,
    )


def _cancel_waiting(session: Session, ticket: Ticket, now: float) -> bool:
    """ordering = "latest": older answers for this ticket that nobody is sending right now are not sent any more."""
    changed = session.execute(
        update(Answer)
        .where(*_answers_of(ticket), Answer.state.in_(("pending", "held")), Answer.lease_until <= now)
        .values(state="cancelled", token=Answer.token + 1)
    )
    return rows(changed) > 0


def _was_told(session: Session, ticket: Ticket) -> bool:
    """May the receiver know an earlier answer? Not when every one of them was cancelled before its first attempt."""
    told = select(Answer.id).where(*_answers_of(ticket), or_(Answer.state != "cancelled", Answer.attempts > 0))
    return session.execute(told.limit(1)).first() is not None


def _answers_of(ticket: Ticket) -> tuple[ColumnElement[bool], ...]:
    return Answer.endpoint == ticket.endpoint, Answer.ticket == ticket.ticket, Answer.sha256.is_(None)


# --- into the outbox --------------------------------------------------------------------------------------------------


def _put(session: Session, settings: Settings, ticket: Ticket, event: Event, sha256: str | None) -> int:
    """1 when the endpoint wants this type and the row was written, else 0."""
    endpoint = settings.endpoints[ticket.endpoint]
    if not endpoint.wants(event.type):
        return 0
    ticket.seq += 1
    held = endpoint.mode == "dry_run"
    answer = Answer(
        id=message_id(event.at),
        endpoint=ticket.endpoint,
        ticket=ticket.ticket,
        seq=ticket.seq,
        type=event.type,
        sha256=sha256,
        body=body(event),
        state="held" if held else "pending",
        due_at=event.at + settings.deliver.schedule_s[0],
        created_at=event.at,
    )
    session.add(answer)
    session.flush()
    failpoint("outbox.put")
    about = {"answer": answer.id, "ticket": ticket.ticket, "endpoint": ticket.endpoint}
    for picture in event.pictures:
        log.info("answer written down", extra={"picture": picture.sha256, "type": event.type, **about})
    if held:
        log.info("dry run: %s would get %s for %r: %s", ticket.endpoint, event.type, ticket.ticket, event.categories[0])
    return 1
