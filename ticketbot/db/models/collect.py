"""Which files, tickets and pictures are there, and how far is each?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ticketbot.db.models.base import Base, Id, one_of, some

FILE_STATES = ("seen", "settling", "staged", "refused", "gone")
PICTURE_STATES = ("staged", "archived", "erased")


class Source(Base):
    """A watched tree. The row exists from its first scan on."""

    __tablename__ = "source"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    # What the first complete scan found is history; NULL until that scan is complete.
    history_until: Mapped[float | None]
    scanned_at: Mapped[float | None]
    swept_at: Mapped[float | None]
    scan_no: Mapped[int] = mapped_column(default=0)
    # Why the last scan was not complete; NULL when it was. An incomplete scan never means 'gone'.
    incomplete: Mapped[str | None]
    # "device:inode" of the root in the last complete scan: another folder without anything we know is a missing mount.
    root_id: Mapped[str | None] = mapped_column(String(48))


class Directory(Base):
    """A folder as last listed: an unchanged mtime, seen in two listings, saves listing it again."""

    __tablename__ = "directory"
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    path: Mapped[bytes] = mapped_column(primary_key=True)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    # When a listing first saw this mtime; clean once another one saw it again, 2 s or more after.
    listed_at: Mapped[float] = mapped_column(default=0.0)
    clean: Mapped[bool] = mapped_column(Boolean, default=False)
    # Names in it that are no pictures: counted, not kept.
    others: Mapped[int] = mapped_column(default=0)


def _folder(context: Any) -> bytes:
    path: bytes = context.get_current_parameters()["path"]
    return path.rpartition(b"/")[0]


class File(Base):
    """A path in a source: seen, settling, staged, refused or gone."""

    __tablename__ = "file"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    path: Mapped[bytes]
    # The folder of `path`: a listing is compared with the rows of its folder.
    folder: Mapped[bytes] = mapped_column(default=_folder)
    user: Mapped[str | None] = mapped_column("user_name", Text)
    state: Mapped[str] = mapped_column(String(10), default="seen")
    # Why it was refused: a skip reason of the walk (extension, empty, too_large, not_regular…) or a decode code.
    reason: Mapped[str | None] = mapped_column(String(40))
    history: Mapped[bool] = mapped_column(default=False)
    # The observation two looks must agree on.
    dev: Mapped[int | None] = mapped_column(BigInteger)
    ino: Mapped[int | None] = mapped_column(BigInteger)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    mtime_ns: Mapped[int | None] = mapped_column(BigInteger)
    ctime_ns: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(ForeignKey("picture.sha256"))
    first_seen_at: Mapped[float]
    # When this observation was first made; settled once a later look agrees, settle_s after.
    observed_at: Mapped[float]
    staged_at: Mapped[float | None]
    # Ticket lookup: NULL = nothing to look up (resolved, given up, or not asked for).
    resolve_due_at: Mapped[float | None]
    resolve_attempts: Mapped[int] = mapped_column(default=0)
    __table_args__ = (
        UniqueConstraint("source_id", "path"),
        one_of("state", FILE_STATES),
        Index("ix_file_folder", "source_id", "folder"),
        # Of what waits only, so that neither its size nor its cost grows with what is done; see conditions.py.
        some("ix_file_unsettled", "source_id", "history", "id", "observed_at", where="state IN ('seen', 'settling')"),
        some("ix_file_refused", "source_id", "reason", "observed_at", where="state = 'refused'"),
        some("ix_file_resolve", "resolve_due_at", where="resolve_due_at IS NOT NULL"),
        some("ix_file_sha256", "sha256", where="sha256 IS NOT NULL"),
        Index("ix_file_user", "source_id", "user_name"),
    )


class FileTicket(Base):
    """This file belongs to that ticket. One file may belong to many."""

    __tablename__ = "file_ticket"
    file_id: Mapped[int] = mapped_column(ForeignKey("file.id", ondelete="CASCADE"), primary_key=True)
    ticket: Mapped[str] = mapped_column(Text, primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(40), default="")
    resolved_at: Mapped[float]
    __table_args__ = (Index("ix_file_ticket_ticket", "ticket"),)


class TicketIndex(Base):
    """What a big lookup brought: this key (a path, or several columns as JSON) belongs to that ticket."""

    __tablename__ = "ticket_index"
    # Source and place in its chain: "erp.0".
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    ticket: Mapped[str] = mapped_column(Text, primary_key=True)


class IndexCursor(Base):
    """How far a big lookup has read. `cursors`: [[when, the cursor then], …], so that late rows are read again."""

    __tablename__ = "index_cursor"
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    read_at: Mapped[float]
    cursors: Mapped[list[Any]]


class InboundEvent(Base):
    """A ticket system called us: verified, not worked on yet (due_at set), done or given up (NULL)."""

    __tablename__ = "inbound_event"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    source: Mapped[str] = mapped_column(String(40))
    # Its delivery id, or the hash of its body: a second one is the same event.
    key: Mapped[str] = mapped_column(String(128))
    received_at: Mapped[float]
    due_at: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(default=0)
    # NULL once it is done: bodies hold what people wrote.
    body: Mapped[bytes | None]
    # What came of it, in a few words.
    outcome: Mapped[str | None] = mapped_column(Text)
    __table_args__ = (UniqueConstraint("source", "key"), Index("ix_inbound_event_due", "due_at"))


class Tombstone(Base):
    """A file that was erased, as an HMAC (tombstones.py): not collected again, and nobody can read what it was."""

    __tablename__ = "tombstone"
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    at: Mapped[float]


class Picture(Base):
    """A content: staged once, however many files hold it."""

    __tablename__ = "picture"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(10), default="staged")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    staged_at: Mapped[float]
    # NULL until decoded once.
    width: Mapped[int | None]
    height: Mapped[int | None]
    format: Mapped[str | None] = mapped_column(String(8))
    phash: Mapped[bytes | None]
    # False: history that nobody asked for. True: the classifier takes it.
    wanted: Mapped[bool] = mapped_column(default=True)
    # The model that answered last; compared with the champion to find what is still to do.
    model_id: Mapped[str | None] = mapped_column(String(80))
    # Claim of a classify worker; `token` fences a late one.
    lease_until: Mapped[float] = mapped_column(default=0.0)
    token: Mapped[int] = mapped_column(default=0)
    # "holdout" or "train", given once and for ever at the first snapshot.
    split: Mapped[str | None] = mapped_column(String(8))
    # Reviewer's page lease and order.
    review_holder: Mapped[str | None] = mapped_column(String(80))
    review_until: Mapped[float] = mapped_column(default=0.0)
    __table_args__ = (
        one_of("state", PICTURE_STATES),
        Index("ix_picture_classify", "state", "wanted", "model_id", "staged_at"),
        Index("ix_picture_staged_at", "staged_at"),
    )
