"""Whose ticket is this file?

A chain of links (links.py): each takes what is known of a file and finds more, once or several times, until all of it
has a ticket. A link that finds nothing leaves the question to the next one. One file may belong to many tickets.

No ticket yet is a state, not an error: an upload lies on disk before its ticket is saved. It is asked for again after
source.ticket_retry_s, then given up; `file.reason` says why. A database that does not answer uses up no try.

    resolve_due_at set     to be looked up then
    resolve_due_at NULL    resolved (reason NULL), given up (reason set), or not asked for
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ticketbot.collect.book import source_row
from ticketbot.collect.links import Place, Variables, follow, look_again
from ticketbot.collect.lookups import LookupFailed, Lookups, NotText, is_text
from ticketbot.collect.opening import Clock, ParentGone, Tree
from ticketbot.db.models import File, FileTicket
from ticketbot.db.rows import rows
from ticketbot.db.session import Database
from ticketbot.failpoints import failpoint
from ticketbot.settings import Endpoint, Lookup, Source

log = logging.getLogger(__name__)

OnKnown = Callable[[Session, str, float], None]
NO_TICKET = "no_ticket"
NOT_TEXT = "name_not_text"
LOOKUP_FAILED = "lookup_failed"
# A database that failed so often in a row is left alone for the rest of the round.
FAILURES_IN_A_ROW = 3
ASK_AGAIN_S = 60.0
TICKET_CHARS = 200
# What several links in a row may multiply to.
FOUND_MOST = 100


@dataclass
class ResolveReport:
    """Counts of files; `failed`: a database did not answer, `left`: still due."""

    resolved: int = 0
    waiting: int = 0
    given_up: int = 0
    failed: int = 0
    left: int = 0
    trouble: str | None = None


@dataclass(frozen=True)
class _File:
    id: int
    path: bytes
    size_bytes: int | None
    sha256: str
    mtime_ns: int | None
    due_at: float
    attempts: int


def variables_of(
    source_path: str, path: bytes, size_bytes: int | None, sha256: str, mtime: float = 0.0, sha1: str = ""
) -> dict[str, Any]:
    """What a lookup may use: the named groups of the source's `path`, name, stem, dir, path, size, mtime, sha256, sha1.

    Bytes that are no UTF-8 become lone surrogates: patterns can read such a path, databases are not asked with it.
    """
    text = os.fsdecode(path)
    directory, _, name = text.rpartition("/")
    match = re.search(source_path, text)
    own = {"name": name, "stem": os.path.splitext(name)[0], "dir": directory, "path": text}
    content = {"size": size_bytes, "mtime": mtime, "sha256": sha256, "sha1": sha1}
    return {**(match.groupdict() if match else {}), **own, **content}


def find(chain: Sequence[Lookup], variables: Variables, lookups: Lookups | Place) -> list[str]:
    """The tickets of a file, in the order found; none is an empty list.

    What a link finds serves the next ones. Raises LookupFailed; NotText when somebody would have to be asked with a
    name that is no text, and nobody else knew.
    """
    place = lookups if isinstance(lookups, Place) else Place(lookups)
    open_questions, found, not_text = [variables], list[Any](), False
    for number, link in enumerate(chain):
        still_open: list[Variables] = []
        for known in open_questions:
            try:
                more = follow(number, link, known, place)
            except NotText:
                more, not_text = [], True
            for one in more or [{}]:
                (found if _has_ticket(one) else still_open).append({**known, **one})
        open_questions = still_open[:FOUND_MOST]
        if not open_questions:
            break
    tickets = _as_tickets([one["ticket"] for one in found])
    if not_text and not tickets:
        raise NotText
    return tickets


def uses_sha1(chain: Sequence[Lookup]) -> bool:
    """We keep no sha1 of a file, so it is read once more where a link asks for it."""
    return any("sha1" in link.model_dump_json() for link in chain)


def digest_of(root: Path, path: bytes, algorithm: str) -> str:
    """The digest of a file below the root, as hex; empty when it is gone. Raises LookupFailed."""
    try:
        with Tree(root) as tree, os.fdopen(tree.open_file(path), "rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except (FileNotFoundError, ParentGone):
        return ""
    except OSError as error:
        raise LookupFailed(f"{algorithm}: {error.strerror}") from None


def _has_ticket(found: Variables) -> bool:
    return found.get("ticket") not in (None, "")


def next_try(attempts: int, waits_s: Sequence[float], now: float) -> float | None:
    """When to ask again after `attempts` looks that found nothing; None: give up."""
    return now + waits_s[attempts - 1] if attempts <= len(waits_s) else None


def resolve(
    db: Database,
    sources: Mapping[str, Source],
    *,
    now: float,
    lookups: Lookups,
    endpoints: Mapping[str, Endpoint] | None = None,
    on_known: OnKnown | None = None,
    limit: int = 1000,
) -> ResolveReport:
    """Look up the tickets of files that are due, at most `limit` a source.

    `on_known(session, sha256, now)` is called in the transaction that writes a file's tickets, and for a source that
    needs none as soon as the file is staged: from then on its answer may be sent. `endpoints`: for links that ask the
    source's own ticket system.
    """
    report = ResolveReport()
    for name, source in sources.items():
        told = (endpoints or {}).get(source.endpoint)
        place = Place(lookups, db, name, source.root, source.endpoint, told, now)
        look_again(source.ticket, place)
        files = _due(db, source_row(db, name).id, now, limit)
        report.left += len(files) == limit
        _Round(db, source, Clock(now), place, on_known, report).run(files)
    return report


def _due(db: Database, source_id: int, now: float, limit: int) -> list[_File]:
    own: tuple[Any, ...] = (
        File.id,
        File.path,
        File.size_bytes,
        File.sha256,
        File.mtime_ns,
        File.resolve_due_at,
        File.resolve_attempts,
    )
    query = (
        select(*own)
        .where(File.source_id == source_id, File.state == "staged", File.resolve_due_at <= now)
        .order_by(File.resolve_due_at)
        .limit(limit)
    )
    with db.read() as session:
        return [_File(*row) for row in session.execute(query)]


@dataclass
class _Round:
    db: Database
    source: Source
    clock: Clock
    place: Place
    on_known: OnKnown | None
    report: ResolveReport
    failures: int = 0

    def run(self, files: list[_File]) -> None:
        for number, file in enumerate(files):
            if self.failures >= FAILURES_IN_A_ROW:
                self.report.left += len(files) - number
                log.warning("ticket lookup failed", extra={"reason": self.report.trouble})
                return
            self._one(file)

    def _one(self, file: _File) -> None:
        if not self.source.require_ticket:
            self._known(file, None)
            return
        try:
            sha1 = digest_of(self.source.root, file.path, "sha1") if uses_sha1(self.source.ticket) else ""
            mtime = (file.mtime_ns or 0) / 1e9
            variables = variables_of(self.source.path, file.path, file.size_bytes, file.sha256, mtime, sha1)
            tickets = find(self.source.ticket, variables, self.place)
        except NotText:
            self._not_found(file, NOT_TEXT)
            return
        except LookupFailed as error:
            self._failed(file, str(error))
            return
        self.failures = 0
        failpoint("resolve.asked")
        if tickets:
            self._known(file, tickets)
        else:
            self._not_found(file, NO_TICKET)

    def _known(self, file: _File, tickets: list[str] | None) -> None:
        now = self.clock()
        with self.db.write() as session:
            if not self._write(session, file, resolve_due_at=None, reason=None):
                return
            if tickets is not None:
                session.execute(delete(FileTicket).where(FileTicket.file_id == file.id))
                own = {"file_id": file.id, "endpoint": self.source.endpoint, "resolved_at": now}
                session.add_all([FileTicket(ticket=ticket, **own) for ticket in tickets])
                session.flush()
                failpoint("resolve.known")
            if self.on_known:
                self.on_known(session, file.sha256, now)
            failpoint("resolve.announced")
        self.report.resolved += 1
        log.info("ticket known", extra={"picture": file.sha256, "file": file.id, "tickets": tickets})

    def _not_found(self, file: _File, reason: str) -> None:
        attempts = file.attempts + 1
        due_at = next_try(attempts, self.source.ticket_retry_s, self.clock()) if reason == NO_TICKET else None
        with self.db.write() as session:
            self._write(session, file, resolve_due_at=due_at, resolve_attempts=attempts, reason=reason)
            failpoint("resolve.waiting")
        if due_at is None:
            self.report.given_up += 1
        else:
            self.report.waiting += 1

    def _failed(self, file: _File, trouble: str) -> None:
        self.failures += 1
        self.report.failed += 1
        self.report.trouble = trouble
        with self.db.write() as session:
            self._write(session, file, resolve_due_at=self.clock() + ASK_AGAIN_S, reason=LOOKUP_FAILED)

    @staticmethod
    def _write(session: Session, file: _File, **values: Any) -> bool:
        """False: another process was quicker, or the file changed; then nothing is ours to do."""
        mine = (File.id == file.id, File.resolve_due_at == file.due_at, File.sha256 == file.sha256)
        query = update(File).where(*mine).values(**values).execution_options(synchronize_session=False)
        return bool(rows(session.execute(query)))


def _as_tickets(found: Sequence[Any]) -> list[str]:
    """Each ticket once, as text; empty ones and what no text column can hold are left out."""
    tickets = dict.fromkeys(str(ticket).strip() for ticket in found if ticket is not None)
    return [ticket for ticket in tickets if ticket and is_text(ticket) and len(ticket) <= TICKET_CHARS]
