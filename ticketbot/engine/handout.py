"""Which ids go to the broker now, and which did not come back?

The rows are the truth: what is due is asked of them, as a worker without a broker would (classify.bulk, deliver.claim).
`hand_out` notes what it sends in `handed_out`, a small table, and sends no more than engine.in_flight at once, so that
new work never stands behind a long queue. A worker that gets ids takes their notes away first, then claims the rows;
ids that nobody may claim any more are nobody's loss. A note that grows old was lost on the way (a flushed broker, a
killed worker, a leader that died between note and sending): it goes, and what is still due is sent again.

How old? Longer than the queue takes, or copies would flood the broker: engine.resend_s, or three times the wait that
workers saw last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ticketbot.classify import bulk
from ticketbot.db import Database
from ticketbot.db.models import HandedOut, Model, Switch
from ticketbot.deliver import claim as delivery
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

CLASSIFY, DELIVER = "classify", "deliver"
KINDS = (CLASSIFY, DELIVER)
LAGS = 3.0
# What workers saw longer ago says nothing about the queue of now.
LAG_KEPT_S = 900.0
ROWS_AT_ONCE = 500

# send(kind, batches of ids)
Send = Callable[[str, Sequence[Sequence[str]]], None]


def hand_out(db: Database, settings: Settings, now: float, send: Send) -> dict[str, int]:
    """Send what is due and not on its way; counts a kind, and "again": how many notes had grown old."""
    counts = {"again": 0}
    for kind in KINDS:
        ids, again = _note(db, settings, kind, now)
        counts[kind], counts["again"] = len(ids), counts["again"] + again
        if not ids:
            continue
        size = settings.classify.batch if kind == CLASSIFY else settings.deliver.workers
        try:
            send(kind, [ids[at : at + size] for at in range(0, len(ids), size)])
        except BaseException:
            forget(db, kind, ids)
            raise
    if counts["again"]:
        log.warning("some work was lost on its way and is sent again if it is still due", extra=counts)
    return counts


def received(db: Database, kind: str, ids: Sequence[str], now: float) -> None:
    """A worker has these ids in its hands: they are not on their way any more, and it took so long."""
    with db.write() as session:
        gone = delete(HandedOut).where(HandedOut.kind == kind, HandedOut.id.in_(ids)).returning(HandedOut.at)
        sent = session.scalars(gone).all()
        if not sent:
            return
        lag = {"value": repr(max(0.0, now - min(sent))), "at": now}
        note = db.insert(Switch).values(name=_lag_name(kind), who="", **lag)
        session.execute(note.on_conflict_do_update(index_elements=[Switch.name], set_=lag))


def forget(db: Database, kind: str, ids: Sequence[str]) -> None:
    """These were not sent after all."""
    with db.write() as session:
        for at in range(0, len(ids), ROWS_AT_ONCE):
            some = ids[at : at + ROWS_AT_ONCE]
            session.execute(delete(HandedOut).where(HandedOut.kind == kind, HandedOut.id.in_(some)))


def resend_s(session: Session, settings: Settings, kind: str, now: float) -> float:
    """After how long a note counts as lost."""
    row = session.get(Switch, _lag_name(kind))
    lag = float(row.value) if row is not None and now - row.at < LAG_KEPT_S else 0.0
    return max(settings.engine.resend_s, LAGS * lag)


def _note(db: Database, settings: Settings, kind: str, now: float) -> tuple[list[str], int]:
    """(ids that are ours to send now, how many notes had grown old)"""
    with db.write() as session:
        lost_before = now - resend_s(session, settings, kind, now)
        old = (HandedOut.at < lost_before) | (HandedOut.at > now + settings.engine.resend_s)
        gone = session.scalars(delete(HandedOut).where(HandedOut.kind == kind, old).returning(HandedOut.id)).all()
        on_the_way = session.scalar(select(func.count()).where(HandedOut.kind == kind)) or 0
        room = settings.engine.in_flight - on_the_way
        ids = _due(session, settings, kind, now, room) if room > 0 else []
        rows: list[dict[str, Any]] = [{"kind": kind, "id": one, "at": now} for one in ids]
        for at in range(0, len(rows), ROWS_AT_ONCE):
            session.execute(db.insert(HandedOut).values(rows[at : at + ROWS_AT_ONCE]).on_conflict_do_nothing())
    return ids, len(gone)


def _due(session: Session, settings: Settings, kind: str, now: float, most: int) -> list[str]:
    if kind == DELIVER:
        return delivery.due(session, settings, now, most, lambda column: ~_noted(kind, column))
    champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    if champion is None:
        return []
    return bulk.due(session, settings, champion, now, most, lambda column: ~_noted(kind, column))


def _noted(kind: str, column: Any) -> Any:
    return select(HandedOut.id).where(HandedOut.kind == kind, HandedOut.id == column).exists()


def _lag_name(kind: str) -> str:
    return f"engine.lag.{kind}"
