"""Which trainings were there, and what came of them?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, String, Text, text
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
