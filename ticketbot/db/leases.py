"""Does anybody hold this?

A lease is a time until which a row is somebody's. One that reaches further than any lease can was written by a clock
that has been set back since: nobody holds it either, and nobody waits an hour for it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_

# The clocks of several hosts, and small corrections of one, may differ by so much.
SKEW_S = 60.0


def is_over(until: Any, now: float, lease_s: float) -> ColumnElement[bool]:
    """A where-clause: the lease in column `until` has ended, or cannot be true."""
    return or_(until < now, until > now + lease_s + SKEW_S)
