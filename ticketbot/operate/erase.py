"""How does a person's data leave, wherever it got to?

    find    which files, and which contents nobody else holds
    mark    the contents are erased from now on: nobody stages, shows, classifies or learns from them
    bytes   staged pictures, renderings, copies, caches, snapshots, reports (erase_files.py)
    rows    names, hashes, predictions, labels and answers' bodies go; what stays says nothing of them

In this order, so that a run that was killed is finished by the next one. A content that another user's file holds too
stays, only the erased user's names go. What stays: that somebody said something at some time (label events, under a
pseudonym), that answers were sent (without their bodies), and a tombstone, so that nothing comes back.
Nothing here looks into the watched trees: a missing mount is never taken for a deletion.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, String, and_, cast, delete, func, literal, or_, select, tuple_, update
from sqlalchemy.orm import Session

from ticketbot.collect import inbound
from ticketbot.contracts.events import shown_path
from ticketbot.db import Database, tombstones
from ticketbot.db.models import (
    Answer,
    Attempt,
    Audit,
    Directory,
    File,
    FileTicket,
    InboundEvent,
    Label,
    LabelEvent,
    Picture,
    Prediction,
    Said,
    SecondOpinion,
    SortedCopy,
    Source,
    Suspect,
    Ticket,
    TicketIndex,
    Tombstone,
    Training,
)
from ticketbot.deliver.outbox import FILE_KEY
from ticketbot.errors import UsageError
from ticketbot.operate import erase_files
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

AT_ONCE = 100
INDEX_PAGE_ROWS = 5000
DAY_S = 86_400.0
T = TypeVar("T")


class Wanted(NamedTuple):
    """What to erase: a user's files (of one source, or of all), or what was first seen before a time."""

    user: str | None = None
    source: str | None = None
    before: float | None = None


class Found(NamedTuple):
    """A file to erase."""

    id: int
    source_id: int
    path: bytes
    folder: bytes
    user: str | None
    sha256: str | None
    look: tuple[int | None, int | None, int | None]


@dataclass
class Report:
    """Counts of what was erased (or would be). `shared`: contents kept, because another user's file holds them."""

    dry_run: bool = False
    files: int = 0
    pictures: int = 0
    shared: int = 0
    labels: int = 0
    predictions: int = 0
    answers_emptied: int = 0
    answers_cancelled: int = 0
    # Copies in to-label and labelled, renderings and caches, snapshots, reports.
    copies: int = 0
    cached: int = 0
    trainings: int = 0
    other_files: int = 0
    # Copies that were fetched from a ticket system, and entries of big lookups that name the files.
    fetched: int = 0
    indexed: int = 0
    # Models that learned from an erased picture: what they learned cannot be taken out; train again.
    models: list[str] = field(default_factory=list)
    # Backups in data_dir/backups: they still hold it.
    backups: list[str] = field(default_factory=list)


def erase(db: Database, settings: Settings, wanted: Wanted, *, who: str, now: float, dry_run: bool = False) -> Report:
    """Erase, and say what went. Running it again finishes what a killed run began. Raises UsageError."""
    if (wanted.user is None) == (wanted.before is None) or (wanted.source and wanted.user is None):
        raise UsageError("say whose files (user, and if you like the source), or how old; not both")
    report = Report(dry_run=dry_run)
    files, pictures, shared = _find(db, wanted)
    report.files, report.pictures, report.shared = len(files), len(pictures), len(shared)
    if dry_run:
        return report
    _forget_events(db, settings, files, wanted)
    if not (files or pictures):
        return report
    pictures = _mark(db, pictures, {one.id for one in files})
    shared |= {one.sha256 for one in files if one.sha256} - pictures
    report.pictures, report.shared = len(pictures), len(shared)
    erase_files.erase(settings, _sizes(db, pictures), shared, report)
    report.models = _models(db, erase_files.trainings_of(report))
    _rows(db, files, pictures, report, now)
    report.indexed = _forget_index(db, files, wanted)
    _note(db, wanted, who, now, report)
    log.info("erased", extra={"files": report.files, "pictures": report.pictures, "shared": report.shared})
    return report


def compact(db: Database) -> None:
    """Let no copy of an erased row be left in SQLite's free pages. Everybody else waits meanwhile."""
    if not db.is_sqlite:
        return
    try:
        with db.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            connection.rollback()
            raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        log.warning("the database could not be compacted now; erased rows may be in its free pages until it is")


def too_old(settings: Settings, now: float) -> Wanted | None:
    """What the setting staging.keep_days wants erased; None: keep everything."""
    days = settings.staging.keep_days
    return Wanted(before=now - days * DAY_S) if days else None


# --- find and mark ---


def _find(db: Database, wanted: Wanted) -> tuple[list[Found], set[str], set[str]]:
    """The files; the contents that only they hold (and what a killed run left); the contents others hold too."""
    look = (File.ino, File.size_bytes, File.mtime_ns)
    own = (File.id, File.source_id, File.path, File.folder, File.user, File.sha256)
    with db.read() as session:
        files = [
            Found(*row[:6], (row[6], row[7], row[8])) for row in session.execute(select(*own, *look).where(_of(wanted)))
        ]
        held = {one.sha256 for one in files if one.sha256}
        shared = _held_by_others(session, held, {one.id for one in files})
        begun = (Picture.state == "erased", Picture.size_bytes > 0)
        pictures = held - shared | set(session.scalars(select(Picture.sha256).where(*begun)))
        if wanted.before is not None:
            without_file = ~select(File.id).where(File.sha256 == Picture.sha256).exists()
            old = select(Picture.sha256).where(
                Picture.staged_at < wanted.before, Picture.state != "erased", without_file
            )
            pictures |= set(session.scalars(old))
    return files, pictures, shared


def _of(wanted: Wanted) -> ColumnElement[bool]:
    if wanted.before is not None:
        return File.first_seen_at < wanted.before
    conditions = [File.user == wanted.user]
    if wanted.source:
        conditions.append(File.source_id.in_(select(Source.id).where(Source.name == wanted.source)))
    return and_(*conditions)


def _held_by_others(session: Session, pictures: Iterable[str], ids: set[int]) -> set[str]:
    found: set[str] = set()
    for some in _parts(sorted(pictures)):
        rows = session.execute(select(File.id, File.sha256).where(File.sha256.in_(some)))
        found.update(str(sha256) for file_id, sha256 in rows if file_id not in ids)
    return found


def _mark(db: Database, pictures: set[str], ids: set[int]) -> set[str]:
    """From here on nobody stages, shows, classifies or learns from them; returns those that are still nobody else's."""
    marked: set[str] = set()
    for some in _parts(sorted(pictures)):
        with db.write() as session:
            session.execute(select(Picture.sha256).where(Picture.sha256.in_(some)).with_for_update())
            free = set(some) - _held_by_others(session, some, ids)
            change = update(Picture).where(Picture.sha256.in_(free))
            session.execute(change.values(state="erased", lease_until=0.0, token=Picture.token + 1))
            marked |= free
    return marked


def _sizes(db: Database, pictures: set[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _parts(sorted(pictures)):
        with db.read() as session:
            query = select(Picture.sha256, Picture.size_bytes).where(Picture.sha256.in_(some))
            found.update((sha256, size) for sha256, size in session.execute(query))
    return found


def _models(db: Database, trainings: Sequence[int]) -> list[str]:
    with db.read() as session:
        query = select(Training.model_id).where(Training.id.in_(trainings), Training.model_id.is_not(None))
        return sorted({str(model_id) for model_id in session.scalars(query)})


# --- rows ---


def _rows(db: Database, files: list[Found], pictures: set[str], report: Report, now: float) -> None:
    for some in _parts(files):
        with _writing(db) as session:
            _forget_what_was_told(session, some, report, now)
    for names in _parts(sorted(pictures)):
        with _writing(db) as session:
            salt = tombstones.make_salt(session, db, now)
            told = select(Said.ticket).where(Said.sha256.in_(names))
            _forget_answers(session, or_(Answer.sha256.in_(names), Answer.ticket.in_(told)), names, report, now)
            for sha256 in names:
                _forget_picture(session, db, sha256, tombstones.pseudonym(salt, sha256), report)
    for some in _parts(files):
        with _writing(db) as session:
            salt = tombstones.make_salt(session, db, now)
            digests = [tombstones.of_file(salt, one.source_id, one.path, one.look) for one in some]
            rows = [{"digest": digest, "at": now} for digest in digests]
            session.execute(db.insert(Tombstone).on_conflict_do_nothing(), rows)
            session.execute(delete(File).where(File.id.in_([one.id for one in some])))
    with _writing(db) as session:
        _forget_folders(session, files)
        _forget_messages(session, files, pictures)


def _writing(db: Database) -> Any:
    return _Secure(db)


class _Secure:
    """A write session in which SQLite overwrites what it deletes."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._session = db.write()

    def __enter__(self) -> Session:
        session = self._session.__enter__()
        if self._db.is_sqlite:
            session.connection().exec_driver_sql("PRAGMA secure_delete=ON")
        return session

    def __exit__(self, *error: Any) -> None:
        self._session.__exit__(*error)


def _forget_what_was_told(session: Session, files: Sequence[Found], report: Report, now: float) -> None:
    """Answers on the tickets of these files, and what they were made from."""
    ids = [one.id for one in files]
    tickets = set(session.scalars(select(FileTicket.ticket).where(FileTicket.file_id.in_(ids))))
    tickets |= set(session.scalars(select(Said.ticket).where(Said.file_id.in_(ids))))
    tickets |= {f"{FILE_KEY}{file_id}" for file_id in ids}
    needles = [one.sha256 for one in files if one.sha256]
    session.execute(delete(Said).where(Said.file_id.in_(ids)))
    _forget_answers(session, Answer.ticket.in_(tickets), needles, report, now)


def _forget_answers(
    session: Session, places: ColumnElement[bool], pictures: Sequence[str], report: Report, now: float
) -> None:
    """Empty the bodies there that name these pictures; what was still to be sent is not sent."""
    query = select(Answer.id, Answer.body, Answer.state, Answer.endpoint, Answer.ticket)
    named = [row for row in session.execute(query.where(places, Answer.body != b"")) if _names(row.body, pictures)]
    waiting = [row for row in named if row.state in ("pending", "held")]
    ids = [row.id for row in named]
    session.execute(update(Answer).where(Answer.id.in_(ids)).values(body=b"", sha256=None, token=Answer.token + 1))
    gone = update(Answer).where(Answer.id.in_([row.id for row in waiting]))
    session.execute(gone.values(state="cancelled", lease_until=0.0))
    session.execute(update(Attempt).where(Attempt.answer_id.in_(ids)).values(response=None))
    session.execute(delete(Said).where(Said.sha256.in_(pictures), Said.ticket.in_([row.ticket for row in named])))
    for row in waiting:
        _decide_again(session, row.endpoint, row.ticket, now)
    report.answers_emptied += len(named)
    report.answers_cancelled += len(waiting)


def _names(body: bytes, pictures: Sequence[str]) -> bool:
    return any(sha256.encode() in body for sha256 in pictures)


def _decide_again(session: Session, endpoint: str, ticket: str, now: float) -> None:
    """The ticket's other pictures still deserve an answer."""
    mine = (Ticket.endpoint == endpoint, Ticket.ticket == ticket)
    others = select(Said.sha256).where(Said.endpoint == endpoint, Said.ticket == ticket).exists()
    session.execute(update(Ticket).where(*mine, others).values(category=None, due_at=now))


def _forget_picture(session: Session, db: Database, sha256: str, stands_for: str, report: Report) -> None:
    new = {"sha256": stands_for, "state": "erased", "size_bytes": 0, "staged_at": 0.0, "wanted": False}
    defaults = {"lease_until": 0.0, "token": 0, "review_until": 0.0}
    session.execute(db.insert(Picture.__table__).values(**new, **defaults).on_conflict_do_nothing())
    session.execute(delete(SecondOpinion).where(SecondOpinion.sha256 == sha256))
    session.execute(delete(Suspect).where(Suspect.sha256 == sha256))
    report.labels += session.execute(delete(Label).where(Label.sha256 == sha256)).rowcount  # type: ignore[attr-defined]
    done = session.execute(delete(Prediction).where(Prediction.sha256 == sha256))
    report.predictions += done.rowcount  # type: ignore[attr-defined]
    key = literal("erased:").concat(cast(LabelEvent.id, String))
    said = update(LabelEvent).where(LabelEvent.sha256 == sha256).execution_options(synchronize_session=False)
    session.execute(said.values(sha256=stands_for, key=key))
    session.execute(delete(SortedCopy).where(SortedCopy.sha256 == sha256))
    session.execute(delete(Said).where(Said.sha256 == sha256))
    session.execute(update(File).where(File.sha256 == sha256).values(sha256=None))
    session.execute(delete(Picture).where(Picture.sha256 == sha256))


def _forget_folders(session: Session, files: Sequence[Found]) -> None:
    """Folders that hold nothing we know any more; their parents are listed again by the next scan."""
    folders: defaultdict[int, set[bytes]] = defaultdict(set)
    for one in files:
        folder = one.folder
        while folder:
            folders[one.source_id].add(folder)
            folder = folder.rpartition(b"/")[0]
    for source_id, paths in folders.items():
        for path in sorted(paths, key=len, reverse=True):
            below = or_(File.folder == path, and_(File.folder >= path + b"/", File.folder < path + b"0"))
            if session.scalar(select(File.id).where(File.source_id == source_id, below).limit(1)) is None:
                own = (Directory.source_id == source_id, Directory.path)
                session.execute(delete(Directory).where(own[0], own[1] == path))
                session.execute(update(Directory).where(own[0], own[1] == path.rpartition(b"/")[0]).values(clean=False))


def _forget_events(db: Database, settings: Settings, files: Sequence[Found], wanted: Wanted) -> None:
    """What ticket systems told us of these tickets, this user or these files, and is not worked off yet."""
    tickets: set[str] = set()
    with db.read() as session:
        for some in _parts(files):
            ids = [one.id for one in some]
            tickets |= set(session.scalars(select(FileTicket.ticket).where(FileTicket.file_id.in_(ids))))
        query = select(InboundEvent.id, InboundEvent.source, InboundEvent.body)
        waiting = list(session.execute(query.where(InboundEvent.body.is_not(None))))
    paths = {shown_path(one.path) for one in files}
    words = {*paths, *(path.rpartition("/")[2] for path in paths), *([wanted.user] if wanted.user else [])}
    about = [id_ for id_, source, body in waiting if inbound.is_about(settings, source, body or b"", tickets, words)]
    for some_ids in _parts(about):
        with _writing(db) as session:
            mine = update(InboundEvent).where(InboundEvent.id.in_(some_ids))
            session.execute(mine.values(body=None, due_at=None, outcome="erased"))


def _forget_index(db: Database, files: Sequence[Found], wanted: Wanted) -> int:
    """What a big lookup's own index says of these files, and of the user at all. Read once from end to end."""
    paths = {shown_path(one.path) for one in files}
    named = {(str(one.user), shown_path(one.path).rpartition("/")[2]) for one in files}
    count = 0
    last = ("", "", "")
    columns = (TicketIndex.name, TicketIndex.key, TicketIndex.ticket)
    while True:
        with db.read() as session:
            after = tuple_(*columns) > tuple_(*(literal(value) for value in last))
            page = list(session.execute(select(*columns).where(after).order_by(*columns).limit(INDEX_PAGE_ROWS)))
        if not page:
            return count
        last = (page[-1].name, page[-1].key, page[-1].ticket)
        gone = [tuple(row) for row in page if _is_of(row.name, set(json.loads(row.key)), wanted, paths, named)]
        for some in _parts(gone):
            with _writing(db) as session:
                session.execute(delete(TicketIndex).where(tuple_(*columns).in_(some)))
        count += len(gone)


def _is_of(name: str, parts: set[str], wanted: Wanted, paths: set[str], named: set[tuple[str, str]]) -> bool:
    """Is an entry of the index `name` ("erp.0") with these parts in its key about what is erased?"""
    if wanted.source and name.rpartition(".")[0] != wanted.source:
        return False
    if wanted.user is not None and wanted.user in parts:
        return True
    return bool(parts & paths) or any((user, file) in named for user in parts for file in parts)


def _forget_messages(session: Session, files: Sequence[Found], pictures: set[str]) -> None:
    """Sentences for people that name what was erased: a trainer's last words, why a scan was not complete."""
    marks = {sha256[: erase_files.MARK_DIGITS] for sha256 in pictures}
    for training in session.scalars(select(Training).where(func.length(Training.message) > erase_files.MARK_DIGITS)):
        words = erase_files.TOKEN.findall(training.message.encode())
        for word in {word.decode() for word in words if word[: erase_files.MARK_DIGITS].decode() in marks}:
            training.message = training.message.replace(word, "(erased)")
    names = {name for one in files for name in (shown_path(one.path), shown_path(one.folder)) if name}
    for source in session.scalars(select(Source).where(Source.incomplete.is_not(None))):
        if any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", source.incomplete or "") for name in names):
            source.incomplete = "trouble at a path that was erased; the next scan says more"


def _note(db: Database, wanted: Wanted, who: str, now: float, report: Report) -> None:
    """Who erased how much; of whom, only as a pseudonym."""
    with db.write() as session:
        salt = tombstones.make_salt(session, db, now)
        whose = None if wanted.user is None else tombstones.pseudonym(salt, f"user {wanted.user}")[:16]
        counts = {"files": report.files, "pictures": report.pictures, "shared": report.shared}
        detail = {"user": whose, "before": wanted.before, **counts}
        session.add(Audit(at=now, who=who, what="erased", detail={k: v for k, v in detail.items() if v is not None}))


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))
