"""What did people say?"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ticketbot.db.models.base import Base, Id


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
