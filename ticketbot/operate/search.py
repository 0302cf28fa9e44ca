"""Which tickets does a person look for? By ticket, user, category, state; a page at a time.

No search gets slower with the total. A ticket, or a user's tickets, are few and found by name. Everything else walks an
index from the newest on and looks at LOOK rows at most: what comes then is the next page's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, func, literal, select
from sqlalchemy.orm import Session, defer

from ticketbot.db.models import ANSWER_STATES, Answer, File, FileTicket, Picture, Said, Source, Ticket
from ticketbot.settings import Settings
from ticketbot.web.api import cursor_of, place_of

PAGE = 40
LOOK = 1000
# Of a user, the files that are looked at, the newest first.
FILES_OF_A_USER = 1000
PICTURES_OF_A_ROW = 3
WAITS = "waits"
STATES = (WAITS, *ANSWER_STATES)
# Sorts before every id: nothing was said about it yet, so it is new.
NEW = 2**62


@dataclass(frozen=True)
class Wanted:
    """What a person looks for; "" is everything. `state`: of an event in the outbox, or "waits" for its quiet time."""

    ticket: str = ""
    user: str = ""
    category: str = ""
    state: str = ""


@dataclass
class Row:
    """A ticket, or (with a state) an event about one. `said` None: its pictures are known, and nothing was said."""

    endpoint: str
    ticket: str
    said: Ticket | None = None
    answer: Answer | None = None
    pictures: list[str] = field(default_factory=list)
    user: str | None = None


@dataclass
class Found:
    """`next`: cursor to the next page, None on the last. `looked`: rows looked at when that was the limit, else 0."""

    rows: list[Row]
    next: str | None = None
    looked: int = 0


def find(session: Session, settings: Settings, wanted: Wanted, cursor: str | None) -> Found:
    """A page of what is wanted, the newest first. Raises Refused for a cursor that is none."""
    if wanted.ticket or wanted.user:
        found = _named(session, settings, wanted, cursor)
    elif wanted.state in ANSWER_STATES:
        found = _events(session, settings, wanted, cursor)
    else:
        found = _tickets(session, settings, wanted, cursor)
    _fill(session, found.rows)
    return found


# --- by name: few, sorted here ----------------------------------------------------------------------------------------


def _named(session: Session, settings: Settings, wanted: Wanted, cursor: str | None) -> Found:
    names = _of_user(session, wanted.user) if wanted.user else [wanted.ticket]
    if wanted.ticket:
        names = [wanted.ticket] if wanted.ticket in names else []
    rows = [
        Row(one.endpoint, one.ticket, one) for one in session.scalars(select(Ticket).where(Ticket.ticket.in_(names)))
    ]
    known = {(row.endpoint, row.ticket) for row in rows}
    rows += [Row(*place) for place in sorted(_only_found(session, settings, names) - known)]
    if wanted.category:
        rows = [row for row in rows if row.said and wanted.category in (row.said.category or "").split(",")]
    if wanted.state == WAITS:
        rows = [row for row in rows if row.said and row.said.due_at is not None]
    elif wanted.state:
        newest = _newest_in(session, rows, wanted.state)
        rows = [row for row in rows if (row.endpoint, row.ticket) in newest]
        for row in rows:
            row.answer = newest[row.endpoint, row.ticket]
    rows.sort(key=_key, reverse=True)
    if (place := place_of(cursor, int, str)) is not None:
        rows = [row for row in rows if _key(row) < tuple(place)]
    more = len(rows) > PAGE
    return Found(rows[:PAGE], cursor_of(*_key(rows[PAGE - 1])) if more else None)


def _key(row: Row) -> tuple[int, str]:
    """A name may hold anything, so the cursor has its hash."""
    name = hashlib.sha256(f"{row.endpoint}\0{row.ticket}".encode(errors="backslashreplace")).hexdigest()
    return (row.said.id if row.said else NEW, name)


def _of_user(session: Session, user: str) -> list[str]:
    """The tickets of this user's newest files, and the keys of those that are told without a ticket."""
    ids = list(
        session.scalars(
            select(File.id)
            .where(File.source_id.in_(list(session.scalars(select(Source.id)))), File.user == user)
            .order_by(File.id.desc())
            .limit(FILES_OF_A_USER)
        )
    )
    on = session.scalars(select(FileTicket.ticket).where(FileTicket.file_id.in_(ids)).distinct())
    return [*on, *(f"file:{one}" for one in ids)]


def _only_found(session: Session, settings: Settings, names: Sequence[str]) -> set[tuple[str, str]]:
    """(endpoint, ticket) of files on these tickets."""
    on = (
        select(FileTicket.endpoint, Source.name, FileTicket.ticket)
        .join(File, File.id == FileTicket.file_id)
        .join(Source, Source.id == File.source_id)
        .where(FileTicket.ticket.in_(names))
        .distinct()
    )
    return {(endpoint or own_endpoint(settings, source), ticket) for endpoint, source, ticket in session.execute(on)}


def own_endpoint(settings: Settings, source: str) -> str:
    """Where a source's answers go; "" for one that is not in the settings any more."""
    found = settings.sources.get(source)
    return found.endpoint if found else ""


def _newest_in(session: Session, rows: Sequence[Row], state: str) -> dict[tuple[str, str], Answer]:
    """Of each row's ticket the newest event in this state."""
    mine = (
        Answer.endpoint.in_({row.endpoint for row in rows}),
        Answer.ticket.in_({row.ticket for row in rows}),
        Answer.state == state,
    )
    found = session.scalars(select(Answer).options(defer(Answer.body)).where(*mine).order_by(Answer.seq))
    return {(one.endpoint, one.ticket): one for one in found}


# --- everything: along an index ---------------------------------------------------------------------------------------


def _tickets(session: Session, settings: Settings, wanted: Wanted, cursor: str | None) -> Found:
    walk = select(Ticket.id.label("place"))
    order: Any = Ticket.id
    if wanted.state == WAITS:
        walk, order = walk.where(Ticket.due_at.is_not(None)), Ticket.id + 0  # of those that wait only: no walk by id
    elif wanted.category and settings.deliver.rule != "all":
        walk = walk.where(Ticket.category == wanted.category)
    if (place := place_of(cursor, int)) is not None:
        walk = walk.where(Ticket.id < place[0])
    sifted = wanted.category != "" and (wanted.state == WAITS or settings.deliver.rule == "all")
    looked = walk.order_by(order.desc()).limit(LOOK if sifted else PAGE + 1).subquery()
    query = select(Ticket).join(looked, looked.c.place == Ticket.id).order_by(Ticket.id.desc())
    if sifted:
        query = query.where(_is_about(wanted.category))
    found = list(session.scalars(query.limit(PAGE + 1)))
    rows = [Row(one.endpoint, one.ticket, one) for one in found]
    return _page(session, rows, [one.id for one in found], looked if sifted else None)


def _events(session: Session, settings: Settings, wanted: Wanted, cursor: str | None) -> Found:
    walk = select(Answer.id.label("place")).where(Answer.state == wanted.state)
    if (place := place_of(cursor, str)) is not None:
        walk = walk.where(Answer.id < place[0])
    sifted = wanted.category != ""
    looked = walk.order_by(Answer.id.desc()).limit(LOOK if sifted else PAGE + 1).subquery()
    query = (
        select(Answer, Ticket)
        .options(defer(Answer.body))
        .join(looked, looked.c.place == Answer.id)
        .outerjoin(Ticket, (Ticket.endpoint == Answer.endpoint) & (Ticket.ticket == Answer.ticket))
        .order_by(Answer.id.desc())
    )
    if sifted:
        query = query.where(_is_about(wanted.category))
    found = [(answer, said) for answer, said in session.execute(query.limit(PAGE + 1))]
    rows = [Row(answer.endpoint, answer.ticket, said, answer) for answer, said in found]
    return _page(session, rows, [answer.id for answer, _ in found], looked if sifted else None)


def _is_about(category: str) -> Any:
    """Under the rule "all" a ticket has several categories, joined by commas."""
    several = literal(",").concat(Ticket.category).concat(",")
    return (Ticket.category == category) | several.contains(f",{category},", autoescape=True)


def _page(session: Session, rows: list[Row], places: list[Any], looked: Any) -> Found:
    """Of PAGE + 1 rows the first PAGE. `looked`: the walk they were sifted from; it goes on where its limit was."""
    if len(rows) > PAGE:
        return Found(rows[:PAGE], cursor_of(places[PAGE - 1]))
    if looked is None:
        return Found(rows)
    ended: Select[Any] = select(func.count(), func.min(looked.c.place)).select_from(looked)
    count, last = session.execute(ended).one()
    return Found(rows, cursor_of(last), count) if count == LOOK else Found(rows)


# --- what a row shows -------------------------------------------------------------------------------------------------


def _fill(session: Session, rows: list[Row]) -> None:
    """The last event of each ticket, and its first pictures that can be shown."""
    for endpoint in {row.endpoint for row in rows}:
        mine = [row for row in rows if row.endpoint == endpoint]
        tickets = [row.ticket for row in mine]
        last = (
            select(Answer)
            .options(defer(Answer.body))
            .join(Ticket, (Ticket.endpoint == Answer.endpoint) & (Ticket.ticket == Answer.ticket))
            .where(Ticket.endpoint == endpoint, Ticket.ticket.in_(tickets), Answer.seq == Ticket.seq)
        )
        answers = {one.ticket: one for one in session.scalars(last)}
        pictures = _pictures(session, endpoint, tickets)
        for row in mine:
            row.answer = row.answer or answers.get(row.ticket)
            shown = pictures.get(row.ticket, [])
            row.pictures = [sha256 for sha256, state, _ in shown if state == "staged"]
            row.user = next((user for _, _, user in shown if user is not None), None)


def _pictures(session: Session, endpoint: str, tickets: Sequence[str]) -> dict[str, list[tuple[str, str, str | None]]]:
    """(hash, state, user) of the first pictures that were spoken about, by ticket."""
    nth = func.row_number().over(partition_by=Said.ticket, order_by=(Said.at, Said.sha256)).label("nth")
    said = select(Said.ticket, Said.sha256, Said.file_id, nth).where(
        Said.endpoint == endpoint, Said.ticket.in_(tickets)
    )
    first = said.subquery()
    query = (
        select(first.c.ticket, first.c.sha256, Picture.state, File.user)
        .join(Picture, Picture.sha256 == first.c.sha256)
        .outerjoin(File, File.id == first.c.file_id)
        .where(first.c.nth <= PICTURES_OF_A_ROW)
        .order_by(first.c.ticket, first.c.nth)
    )
    found: dict[str, list[tuple[str, str, str | None]]] = {}
    for ticket, sha256, state, user in session.execute(query):
        found.setdefault(ticket, []).append((sha256, state, user))
    return found
