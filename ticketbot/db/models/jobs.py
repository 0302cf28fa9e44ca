"""Who does what, and when?"""

from __future__ import annotations

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ticketbot.db.models.base import Base


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


class HandedOut(Base):
    """These ids are on their way to a worker through a broker; see engine/handout.py. Never many rows."""

    __tablename__ = "handed_out"
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[float]


class Switch(Base):
    """A setting that people change while the service runs: deliveries paused, an alert raised."""

    __tablename__ = "switch"
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    who: Mapped[str] = mapped_column(Text)
    at: Mapped[float]
