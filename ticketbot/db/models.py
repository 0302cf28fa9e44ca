"""Which facts do we keep, and which states can they be in?

Every hand-off between stages is a row changing state here; files and workers only carry. Four small charts:

    file (a path in a source)               picture (a content, by sha256)
      seen ──► settling ──► staged            staged ◄──► archived (nothing archives yet)
        │         │           │                  │            │
        └────►  refused  ◄────┘ (changed)        └──► erased ◄┘  (tombstone: never collected again)
        any ──► gone (a complete scan did not see it) ──► seen

    prediction (picture x model)            answer (ticket x endpoint, the outbox)
      (none) ──► done                         pending ──► delivered
             └─► failed (its code says why)      │ ├────► dead ──► pending (redelivered by a person)
                                                 │ └────► cancelled (a newer answer replaced it)
                                                 └─ held ──► pending (dry run ended, or the quiet time is over)

Labels are events: `label_event` is append-only, `label` is what they add up to.
Times are Unix seconds (float, UTC). Paths are bytes: a file name need not be text.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Alembic needs stable names to change constraints later, on SQLite above all.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite gives rowids only to INTEGER PRIMARY KEY; PostgreSQL wants 64 bits.
Id = BigInteger().with_variant(Integer, "sqlite")

FILE_STATES = ("seen", "settling", "staged", "refused", "gone")
PICTURE_STATES = ("staged", "archived", "erased")
ANSWER_STATES = ("held", "pending", "delivered", "dead", "cancelled")


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


def _some(name: str, *columns: str, where: str) -> Index:
    """An index of the rows `where` only. A query must spell the condition out for SQLite to use it."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        dict[str, Any]: JSON,
        list[Any]: JSON,
        float: Float(53),
        bytes: LargeBinary,
        str: Text,
    }


# --- collect ---------------------------------------------------------------------------------------------------------


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
        _some("ix_file_unsettled", "source_id", "history", "id", "observed_at", where="state IN ('seen', 'settling')"),
        _some("ix_file_refused", "source_id", "reason", "observed_at", where="state = 'refused'"),
        _some("ix_file_resolve", "resolve_due_at", where="resolve_due_at IS NOT NULL"),
        _some("ix_file_sha256", "sha256", where="sha256 IS NOT NULL"),
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


# --- classify --------------------------------------------------------------------------------------------------------


class Model(Base):
    """A bundle on the shelf: challenger, champion, previous, refused or retired."""

    __tablename__ = "model"
    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    state: Mapped[str] = mapped_column(String(12))
    created_at: Mapped[float]
    promoted_at: Mapped[float | None]
    # Who or what decided, and why, in one sentence.
    reason: Mapped[str] = mapped_column(Text, default="")
    manifest: Mapped[dict[str, Any]]
    __table_args__ = (
        one_of("state", ("challenger", "champion", "previous", "refused", "retired")),
        # The database knows at most one champion.
        Index(
            "uq_model_champion",
            "state",
            unique=True,
            sqlite_where=text("state = 'champion'"),
            postgresql_where=text("state = 'champion'"),
        ),
    )


class Prediction(Base):
    """What a model said about a picture. `category` is NULL when it is unsure."""

    __tablename__ = "prediction"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("picture.sha256"))
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"))
    state: Mapped[str] = mapped_column(String(8), default="done")
    category: Mapped[str | None] = mapped_column(String(40))
    best: Mapped[str | None] = mapped_column(String(40))
    confidence: Mapped[float | None]
    # Best minus second best: the review queue takes the smallest first.
    margin: Mapped[float | None]
    probabilities: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[float]
    __table_args__ = (
        UniqueConstraint("sha256", "model_id"),
        one_of("state", ("done", "failed")),
        Index("ix_prediction_model", "model_id", "category", "margin"),
        # The review queue: where the champion hesitates most.
        Index("ix_prediction_margin", "model_id", "margin"),
    )


# --- review ----------------------------------------------------------------------------------------------------------


class LabelEvent(Base):
    """A person said something about a picture. Append-only."""

    __tablename__ = "label_event"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    # Chosen by the client, so that a repeated post is one event.
    key: Mapped[str] = mapped_column(String(128), unique=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("picture.sha256"))
    old: Mapped[str | None] = mapped_column(String(40))
    # A category, "junk", "skip", "unsure", "keep" (a suspect that is right), or NULL for no label.
    new: Mapped[str | None] = mapped_column(String(40))
    who: Mapped[str] = mapped_column(Text)
    at: Mapped[float]
    # page, folder, import, ticket, propagated (one key for a page of look-alikes), clean
    how: Mapped[str] = mapped_column(String(12))
    suggested: Mapped[str | None] = mapped_column(String(40))
    suggested_by: Mapped[str | None] = mapped_column(String(80))
    blind: Mapped[bool] = mapped_column(default=False)
    took_ms: Mapped[int | None]
    undo_of: Mapped[int | None] = mapped_column(ForeignKey("label_event.id"))
    __table_args__ = (Index("ix_label_event_sha256", "sha256", "id"), Index("ix_label_event_who", "who", "id"))


class Label(Base):
    """The label events of a picture, added up. `version` is the last event's id, for optimistic locking."""

    __tablename__ = "label"
    sha256: Mapped[str] = mapped_column(ForeignKey("picture.sha256"), primary_key=True)
    # A category or "junk".
    category: Mapped[str] = mapped_column(String(40))
    version: Mapped[int] = mapped_column(ForeignKey("label_event.id"))
    who: Mapped[str] = mapped_column(Text)
    at: Mapped[float]
    # Said without seeing a suggestion: may be measured on.
    blind: Mapped[bool] = mapped_column(default=False)
    __table_args__ = (Index("ix_label_category", "category"), Index("ix_label_at", "at"))


class SecondOpinion(Base):
    """A picture that two people label without seeing a suggestion or each other's word: how far do people agree?"""

    __tablename__ = "second_opinion"
    sha256: Mapped[str] = mapped_column(ForeignKey("picture.sha256"), primary_key=True)
    first: Mapped[str] = mapped_column(String(40))
    first_who: Mapped[str] = mapped_column(Text)
    first_event: Mapped[int] = mapped_column(ForeignKey("label_event.id"))
    # NULL: it waits for a second person.
    second: Mapped[str | None] = mapped_column(String(40))
    second_who: Mapped[str | None] = mapped_column(Text)
    second_event: Mapped[int | None] = mapped_column(ForeignKey("label_event.id"))
    __table_args__ = (Index("ix_second_opinion_second_event", "second_event"),)


class SortedCopy(Base):
    """A copy in labelled/<category>/ whose content we know, so that an untouched one is not read again."""

    __tablename__ = "sorted_copy"
    # <category>/<name>, as bytes.
    path: Mapped[bytes] = mapped_column(primary_key=True)
    ino: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    # False: a picture that was never staged.
    known: Mapped[bool]


# --- retrain ---------------------------------------------------------------------------------------------------------


class Training(Base):
    """A training from its cause to its end."""

    __tablename__ = "training"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    state: Mapped[str] = mapped_column(String(10))
    # schedule, labels or command, and who.
    cause: Mapped[str] = mapped_column(Text)
    started_at: Mapped[float]
    finished_at: Mapped[float | None]
    labels_until: Mapped[int] = mapped_column(default=0)
    n_pictures: Mapped[int] = mapped_column(default=0)
    pid: Mapped[int | None]
    # The trainer's last progress line, {"stage": …, "done": 3, "total": 12}, and "beat_at": its keeper lived then.
    progress: Mapped[dict[str, Any] | None]
    model_id: Mapped[str | None] = mapped_column(String(80))
    message: Mapped[str] = mapped_column(Text, default="")
    __table_args__ = (
        one_of("state", ("running", "succeeded", "refused", "failed")),
        # The database knows at most one running training.
        Index(
            "uq_training_running",
            "state",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )


# --- deliver ---------------------------------------------------------------------------------------------------------


class Ticket(Base):
    """What we know and last said about a ticket at an endpoint."""

    __tablename__ = "ticket"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(40))
    ticket: Mapped[str] = mapped_column(Text)
    # A decision is due then (the quiet time after the last picture); NULL: nothing to decide.
    due_at: Mapped[float | None]
    # What was last put into the outbox for it; several categories, joined by commas, under the rule "all".
    category: Mapped[str | None] = mapped_column(Text)
    confidence: Mapped[float | None]
    by: Mapped[str | None] = mapped_column(Text)
    answered_at: Mapped[float | None]
    seq: Mapped[int] = mapped_column(default=0)
    # When to read what agents made of its category; NULL: not any more.
    look_at: Mapped[float | None]
    __table_args__ = (
        UniqueConstraint("endpoint", "ticket"),
        Index("ix_ticket_due", "due_at"),
        Index("ix_ticket_look", "look_at"),
        Index("ix_ticket_category", "category", "id"),
    )


class Said(Base):
    """What we last said about a picture on a ticket at an endpoint; the ticket's answer is chosen from these."""

    __tablename__ = "said"
    endpoint: Mapped[str] = mapped_column(String(40), primary_key=True)
    ticket: Mapped[str] = mapped_column(Text, primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("picture.sha256"), primary_key=True)
    # The file it came as: its user and path are told along.
    file_id: Mapped[int | None] = mapped_column(ForeignKey("file.id", ondelete="SET NULL"))
    # NULL: a person said meanwhile that it is nothing to speak about (junk).
    category: Mapped[str | None] = mapped_column(String(40))
    confidence: Mapped[float | None]
    # "person" or a model id.
    by: Mapped[str] = mapped_column(Text)
    at: Mapped[float]
    __table_args__ = (Index("ix_said_sha256", "sha256"),)


class Answer(Base):
    """The outbox: one event to one endpoint. `body` is signed and sent as these very bytes."""

    __tablename__ = "answer"
    # msg_<ULID>: the webhook-id, the same on every repeat.
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(40))
    # The order key: a ticket, or "file:<id>" when there is none. Delivered one after the other.
    ticket: Mapped[str] = mapped_column(Text)
    seq: Mapped[int]
    type: Mapped[str] = mapped_column(String(40))
    # The picture it is about; NULL for the answer on the ticket.
    sha256: Mapped[str | None] = mapped_column(String(64))
    body: Mapped[bytes]
    state: Mapped[str] = mapped_column(String(10), default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[float]
    lease_until: Mapped[float] = mapped_column(default=0.0)
    token: Mapped[int] = mapped_column(default=0)
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    delivered_at: Mapped[float | None]
    __table_args__ = (
        UniqueConstraint("endpoint", "ticket", "seq"),
        one_of("state", ANSWER_STATES),
        Index(
            "ix_answer_due",
            "endpoint",
            "due_at",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
        Index(
            "ix_answer_fifo",
            "endpoint",
            "ticket",
            "seq",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_answer_created_at", "created_at"),
        # The overview counts by state; without it every body is read.
        Index("ix_answer_state", "state", "delivered_at"),
        # The tickets page: the newest in a state.
        Index("ix_answer_state_id", "state", "id"),
    )


class Redelivery(Base):
    """A person asked to send answers again. The same key again, at whatever time, does nothing."""

    __tablename__ = "redelivery"
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    who: Mapped[str] = mapped_column(Text)
    at: Mapped[float]


class Attempt(Base):
    """One try to deliver an answer, and what came back (at most 4 KB of it)."""

    __tablename__ = "attempt"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answer.id", ondelete="CASCADE"))
    number: Mapped[int]
    at: Mapped[float]
    took_ms: Mapped[int]
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    response: Mapped[bytes | None]
    __table_args__ = (Index("ix_attempt_answer_id", "answer_id"),)


class EndpointState(Base):
    """What we learnt about an endpoint: paused until, broken, disabled; its secrets (encrypted)."""

    __tablename__ = "endpoint_state"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    paused_until: Mapped[float] = mapped_column(default=0.0)
    # The breaker: closed while opened_at is NULL; probes counts half-open tries.
    failures: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[float | None]
    probes: Mapped[int] = mapped_column(default=0)
    successes: Mapped[int] = mapped_column(default=0)
    probe_at: Mapped[float | None]
    # Outcomes of the last five minutes, at most 50: [[at, 1 for success], …], oldest first.
    recent: Mapped[list[Any]] = mapped_column(default=list)
    # Switched on again with a backlog: answers claimed since then, to stay under the rate. NULL: no backlog.
    slow_since: Mapped[float | None]
    slow_claimed: Mapped[int] = mapped_column(default=0)
    last_success_at: Mapped[float | None]
    # Since when there have been only failures; NULL after a success.
    failing_since: Mapped[float | None]
    disabled_at: Mapped[float | None]
    disabled_why: Mapped[str | None] = mapped_column(Text)
    # [{"secret": <encrypted>, "until": null | time}], newest first. A secret of the settings that was rotated away is
    # known by {"sha256": …, "until": time}, so that it stops signing although it is still in the settings.
    secrets: Mapped[list[Any]] = mapped_column(default=list)
    clock_skew_s: Mapped[float | None]


# --- who does what, when ---------------------------------------------------------------------------------------------


class Lease(Base):
    """Held by one process until a time; `token` grows with every new holder and fences the old one."""

    __tablename__ = "lease"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    holder: Mapped[str] = mapped_column(Text)
    until: Mapped[float]
    token: Mapped[int] = mapped_column(default=0)


class JobSlot(Base):
    """This job ran (or runs) for this slot: the primary key makes a second scheduler do nothing."""

    __tablename__ = "job_slot"
    job: Mapped[str] = mapped_column(String(40), primary_key=True)
    slot: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    started_at: Mapped[float]
    finished_at: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)


class Switch(Base):
    """A setting that people change while the service runs: deliveries paused, an alert raised."""

    __tablename__ = "switch"
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    who: Mapped[str] = mapped_column(Text)
    at: Mapped[float]


# --- people ----------------------------------------------------------------------------------------------------------


class Account(Base):
    """Somebody who may sign in. `password` is an argon2 hash, NULL until the invitation is used."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    password: Mapped[str | None] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[float]
    disabled_at: Mapped[float | None]
    # sha256 of a one-time link's secret, and how long it works.
    invite_hash: Mapped[str | None] = mapped_column(String(64))
    invite_until: Mapped[float | None]
    language: Mapped[str | None] = mapped_column(String(8))
    # {"reports": "r", …}: remapped keys of the label page.
    keys: Mapped[dict[str, Any] | None]
    __table_args__ = (one_of("role", ("viewer", "reviewer", "admin")),)


class WebSession(Base):
    """A signed-in browser; the cookie holds the secret, the row its sha256."""

    __tablename__ = "web_session"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    created_at: Mapped[float]
    seen_at: Mapped[float]
    expires_at: Mapped[float]


class ApiToken(Base):
    """tb_<id>_<secret>: shown once, kept as sha256."""

    __tablename__ = "api_token"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    # Space separated: classify read label admin
    scopes: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class LoginBucket(Base):
    """Failed sign-ins of a name or an address; in the database so that all processes count together."""

    __tablename__ = "login_bucket"
    key: Mapped[str] = mapped_column(String(120), primary_key=True)
    tokens: Mapped[float]
    at: Mapped[float]


class Audit(Base):
    """Who did what."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[float]
    who: Mapped[str] = mapped_column(Text)
    what: Mapped[str] = mapped_column(String(60))
    detail: Mapped[dict[str, Any] | None]
    __table_args__ = (Index("ix_audit_at", "at"),)
