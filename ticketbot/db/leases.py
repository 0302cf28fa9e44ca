"""Does anybody hold this?

A lease is a time until which a row is somebody's. One that reaches further than any lease can was written by a clock
that has been set back since: nobody holds it either, and nobody waits an hour for it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from ticketbot.db.models import Lease

# Held by the one worker that runs the schedule; see schedule.py.
LEADER = "leader"
# The clocks of several hosts, and small corrections of one, may differ by so much.
SKEW_S = 60.0


def is_over(until: Any, now: float, lease_s: float) -> ColumnElement[bool]:
    """A where-clause: the lease in column `until` has ended, or cannot be true."""
    return or_(until < now, until > now + lease_s + SKEW_S)


def is_held(session: Session, name: str, now: float, lease_s: float) -> bool:
    """Does anybody hold the lease of this name now?"""
    held = select(Lease.name).where(Lease.name == name, ~is_over(Lease.until, now, lease_s))
    return session.scalar(held) is not None
