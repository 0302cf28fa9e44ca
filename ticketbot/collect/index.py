"""Whose tickets are very many files? One query brings a map of all, which is kept here and brought up to date.

A query a file can be a full scan of the ERP's table (16 ms each at 300,000 rows; from the index 0.3 ms). So the
ERP is asked from a cursor on, page by page, and the pages lie in our own table `ticket_index`. The cursor is a column
that grows with every change: an id, or better a time of the last change. Transactions end out of order, so rows of the
last `overlap_s` are read again each time.

A system that stores equal bytes once brings no new file when another ticket gets them, but it brings a row. So the
index is also read while nobody asks (`look_again`), and a key with another ticket sends its file to be looked up again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ticketbot.collect.lookups import LookupFailed, Lookups, NotText, is_text
from ticketbot.db.models import File, FileTicket, IndexCursor, Source, TicketIndex
from ticketbot.db.session import Database
from ticketbot.settings import SqlIndexLookup

PAGE_ROWS = 5000
BATCH_ROWS = 500
# Not asked again for a file that is not in it before so many seconds have passed.
REFRESH_S = 5.0
# While no file asks, it is read so often.
AGAIN_S = 60.0


def find(
    db: Database, name: str, link: SqlIndexLookup, variables: Mapping[str, Any], lookups: Lookups, now: float
) -> list[dict[str, Any]]:
    """The rows for a file: {"ticket": …} each. `name`: source and link, e.g. "erp.0". Raises LookupFailed, NotText."""
    if missing := [key for key in link.key if key not in variables]:
        raise LookupFailed(f"the index's key {missing[0]!r} is no variable of the file")
    key = key_of([variables[part] for part in link.key])
    if not is_text(key):
        raise NotText
    found = _look(db, name, key)
    if not found and _is_old(db, name, now):
        refresh(db, name, link, lookups, now)
        found = _look(db, name, key)
    return [{"ticket": ticket} for ticket in found]


def refresh(db: Database, name: str, link: SqlIndexLookup, lookups: Lookups, now: float) -> int:
    """Read what is new since the cursor; how many rows. Raises LookupFailed."""
    seen = _cursors(db, name)
    cursor = _start(seen, now - link.overlap_s, link.first_cursor)
    count, is_first = 0, not seen
    while True:
        asked = {"cursor": cursor, "limit": PAGE_ROWS}
        rows = lookups.rows(link.url, link.query, asked, link.timeout_s, most=PAGE_ROWS)
        count += len(rows)
        for start in range(0, len(rows), BATCH_ROWS):
            _keep(db, name, link, rows[start : start + BATCH_ROWS], None if is_first else now)
        if rows:
            last = _column(rows[-1], "cursor")
            if last == cursor:
                raise LookupFailed("the index's query does not go on from its cursor")
            cursor = last
        if len(rows) < PAGE_ROWS:
            break
    _remember(db, name, [*seen, [now, _plain(cursor)]], now - link.overlap_s)
    return count


def look_again(db: Database, name: str, link: SqlIndexLookup, lookups: Lookups, now: float) -> None:
    """Bring an index up to date that no file asks for. Raises LookupFailed.

    Not before it has a cursor that is old enough to go on from: until then each reading is one of the whole table.
    """
    seen = _cursors(db, name)
    if seen and seen[0][0] <= now - link.overlap_s and not 0 <= now - seen[-1][0] < AGAIN_S:
        refresh(db, name, link, lookups, now)


def key_of(parts: Sequence[Any]) -> str:
    """Several columns as one text that cannot be mixed up: ["12", "a.jpg"]. Numbers and their texts are the same."""
    return json.dumps([str(part) for part in parts], ensure_ascii=False)


def _look(db: Database, name: str, key: str) -> list[str]:
    mine = (TicketIndex.name == name, TicketIndex.key == key)
    query = select(TicketIndex.ticket).where(*mine).order_by(TicketIndex.ticket)
    with db.read() as session:
        return list(session.scalars(query.limit(101)))


def _is_old(db: Database, name: str, now: float) -> bool:
    with db.read() as session:
        row = session.get(IndexCursor, name)
    return row is None or not 0 <= now - row.read_at < REFRESH_S


def _cursors(db: Database, name: str) -> list[Any]:
    """[[when it was read, the cursor then], …], oldest first."""
    with db.read() as session:
        row = session.get(IndexCursor, name)
        return [] if row is None else list(row.cursors)


def _start(seen: list[Any], before: float, first: Any) -> Any:
    """The newest cursor that is old enough for all transactions below it to have ended."""
    return next((cursor for at, cursor in reversed(seen) if at <= before), first)


def _remember(db: Database, name: str, seen: list[Any], before: float) -> None:
    old = [entry for entry in seen if entry[0] <= before]
    kept = old[-1:] + [entry for entry in seen if entry[0] > before]
    if len(kept) > 100:  # a read every few seconds: thin out, the first and the last stay
        kept = [*kept[:-1:2], kept[-1]]
    with db.write() as session:
        row = session.get(IndexCursor, name)
        if row is None:
            session.add(IndexCursor(name=name, read_at=seen[-1][0], cursors=kept))
        else:
            row.read_at, row.cursors = seen[-1][0], kept


def _keep(
    db: Database, name: str, link: SqlIndexLookup, rows: Sequence[Mapping[str, Any]], ask_again_at: float | None
) -> None:
    new = []
    for row in rows:
        key = key_of([_column(row, part) for part in link.key])
        if (ticket := _column(row, "ticket")) is not None and is_text(key) and is_text(str(ticket)):
            new.append({"name": name, "key": key, "ticket": str(ticket)})
    if not new:
        return
    insert = db.insert(TicketIndex).on_conflict_do_nothing()
    with db.write() as session:
        if ask_again_at is None:  # no file was answered from an index that was not there
            session.execute(insert, new)
            return
        added = set(session.execute(insert.returning(TicketIndex.key), new).scalars())
        _ask_again(session, name, added, ask_again_at)


def _ask_again(session: Session, name: str, added: set[str], at: float) -> None:
    """Files of these keys that were answered with fewer tickets: their lookup is due again, and finds all of them."""
    mine = (TicketIndex.name == name, TicketIndex.key.in_(added))
    many = select(TicketIndex.key).where(*mine).group_by(TicketIndex.key).having(func.count() > 1)
    keys = session.scalars(many).all()
    if not keys:
        return
    tickets = select(TicketIndex.ticket).where(TicketIndex.name == name, TicketIndex.key.in_(keys))
    files = select(FileTicket.file_id).where(FileTicket.ticket.in_(tickets))
    source = select(Source.id).where(Source.name == name.rpartition(".")[0]).scalar_subquery()
    theirs = (File.source_id == source, File.state == "staged", File.resolve_due_at.is_(None), File.id.in_(files))
    session.execute(update(File).where(*theirs).values(resolve_due_at=at).execution_options(synchronize_session=False))


def forget(db: Database, name: str) -> None:
    """Drop the index of a link: its query has changed, and it is read anew from the start."""
    with db.write() as session:
        session.execute(delete(TicketIndex).where(TicketIndex.name == name))
        session.execute(delete(IndexCursor).where(IndexCursor.name == name))


def _column(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise LookupFailed(f"the index's query gives no column {column!r}")
    return row[column]


def _plain(cursor: Any) -> Any:
    """As JSON keeps it: times as the database writes them."""
    return cursor if isinstance(cursor, int | str) else str(cursor)
