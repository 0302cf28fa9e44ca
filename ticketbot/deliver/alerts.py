"""What should a person look at?

An alert is a row `alert.<endpoint>.<code>`: raised once, with one line in the log, gone when the reason is gone.

    refused      the receiver says no (400…422), or its address may not be called
    redirected   the receiver has moved; redirects are never followed
    disabled     switched off: it answered 410, or nothing succeeded for too long
    dead         an answer was given up after its last attempt
    no_secret    nothing to sign with, so nothing is sent
    clock_skew   its clock and ours differ by more than a minute: it will refuse our timestamps
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import Switch

log = logging.getLogger(__name__)

PREFIX = "alert."
WHO = "deliver"
# Gone by themselves after five minutes of nothing but success.
HEALED_BY_SUCCESS = ("refused", "redirected", "no_secret")


@dataclass(frozen=True)
class Alert:
    """`since` is when it was raised, not when it last happened."""

    endpoint: str
    code: str
    text: str
    since: float


def alert(session: Session, db: Database, endpoint: str, code: str, text: str, now: float) -> None:
    """Raise it, unless it is up already."""
    added = session.execute(
        db.insert(Switch)
        .values(name=f"{PREFIX}{endpoint}.{code}", value=text, who=WHO, at=now)
        .on_conflict_do_nothing()
        .returning(Switch.name)  # psycopg's rowcount of an INSERT that did nothing is -1
    ).first()
    if added:
        log.warning("alert %s at endpoint %s: %s", code, endpoint, text)


def clear(session: Session, endpoint: str, *codes: str) -> None:
    names = [f"{PREFIX}{endpoint}.{code}" for code in codes]
    session.execute(delete(Switch).where(Switch.name.in_(names)))


def current(session: Session) -> list[Alert]:
    """All alerts, the oldest first."""
    found = session.scalars(select(Switch).where(Switch.name.startswith(PREFIX, autoescape=True)).order_by(Switch.at))
    return [_read(row) for row in found]


def _read(row: Switch) -> Alert:
    endpoint, _, code = row.name.removeprefix(PREFIX).rpartition(".")
    return Alert(endpoint, code, row.value, row.at)
