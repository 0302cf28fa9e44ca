"""Which trainings and cleanings were there, and what came of them?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from ticketbot.db.models.base import Base, Id, one_of


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


class Cleaning(Base):
    """A search for wrong labels, from its cause to its end. Its suspects stay until the next one has succeeded."""

    __tablename__ = "cleaning"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    state: Mapped[str] = mapped_column(String(10))
    # schedule, or who asked.
    cause: Mapped[str] = mapped_column(Text)
    started_at: Mapped[float]
    finished_at: Mapped[float | None]
    # The last label event it saw.
    labels_until: Mapped[int] = mapped_column(default=0)
    n_pictures: Mapped[int] = mapped_column(default=0)
    # As of a training.
    progress: Mapped[dict[str, Any] | None]
    message: Mapped[str] = mapped_column(Text, default="")
    __table_args__ = (
        one_of("state", ("running", "succeeded", "failed")),
        Index(
            "uq_cleaning_running",
            "state",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )


class Suspect(Base):
    """A row of suspects.csv: a label that may be wrong. Nothing is decided here; what people say are label events."""

    __tablename__ = "suspect"
    cleaning_id: Mapped[int] = mapped_column(ForeignKey("cleaning.id"), primary_key=True)
    # 1: look at this one first.
    rank: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("picture.sha256"))
    # What it was labelled when it was looked at, and what it looks like to a model that saw no picture like it.
    label: Mapped[str] = mapped_column(String(40))
    suggested: Mapped[str] = mapped_column(String(40))
    p_label: Mapped[float | None]
    p_suggested: Mapped[float | None]
    # Look-alikes share it.
    cluster: Mapped[int]
    # One of them has another label.
    conflict: Mapped[bool]
    __table_args__ = (
        Index("ix_suspect_cluster", "cleaning_id", "cluster"),
        Index("ix_suspect_sha256", "sha256"),
    )
