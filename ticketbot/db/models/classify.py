"""Which models are there, and what did they say?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from ticketbot.db.models.base import Base, Id, one_of, some


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
    # The picture has a label. Only so that the queue need not walk past all of them; the label itself decides.
    labelled: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[float]
    __table_args__ = (
        UniqueConstraint("sha256", "model_id"),
        one_of("state", ("done", "failed")),
        Index("ix_prediction_model", "model_id", "category", "margin"),
        # The review queue: where the champion hesitates most, of what nobody labelled yet.
        some("ix_prediction_to_label", "model_id", "margin", where="NOT labelled"),
    )
