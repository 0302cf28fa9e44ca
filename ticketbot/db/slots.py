"""Has this job run in this slot? (job, slot) is the primary key: whoever inserts it runs, everybody else does not."""

from __future__ import annotations

from sqlalchemy import delete, update

from ticketbot.db.models import JobSlot
from ticketbot.db.session import Database

KEPT_S = 7 * 86400
# A slot taken so far in the future was taken before the clock was set back.
SKEW_S = 5.0


def take_slot(db: Database, job: str, slot: int, now: float) -> bool:
    """True when nobody has run this job in this slot; it is ours now."""
    with db.write() as session:
        # Without this a job would not run again until the clock is where it was.
        session.execute(delete(JobSlot).where(JobSlot.job == job, JobSlot.started_at > now + SKEW_S))
        new = db.insert(JobSlot).values(job=job, slot=slot, started_at=now).on_conflict_do_nothing()
        # RETURNING, not rowcount: psycopg gives -1 for an INSERT that did nothing.
        return session.execute(new.returning(JobSlot.slot)).first() is not None


def finish_slot(db: Database, job: str, slot: int, now: float, error: str | None) -> None:
    with db.write() as session:
        here = update(JobSlot).where(JobSlot.job == job, JobSlot.slot == slot)
        session.execute(here.values(finished_at=now, error=error))


def forget_old_slots(db: Database, now: float) -> None:
    with db.write() as session:
        session.execute(delete(JobSlot).where(JobSlot.started_at < now - KEPT_S))
