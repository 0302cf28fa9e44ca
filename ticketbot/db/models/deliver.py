"""What are the ticket systems to be told, and what came of it?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from ticketbot.db.models.base import Base, Id, one_of

ANSWER_STATES = ("held", "pending", "delivered", "dead", "cancelled")


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
        # Whoever looks for a ticket need not know the endpoint.
        Index("ix_ticket_ticket", "ticket"),
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
