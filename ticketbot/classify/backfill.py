"""Which pictures of the past does the model look at, and when?

History (see source.history) is staged and known, but no model has looked at it until somebody asks: `ticketbot
backfill start`. Then every worker takes small batches of it, at the pace and in the hours of [backfill], and only while
nothing new waits. What is left to do is what the rows say, so a stop, a kill or a restart loses nothing but a lease.
Answers about history stay here: the tickets are closed (source.history = "deliver" says otherwise).
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ticketbot.classify.bulk import Claim, is_champion, to_do
from ticketbot.db import Database
from ticketbot.db.leases import is_over
from ticketbot.db.models import Audit, Model, Picture, Switch
from ticketbot.errors import NotReady, UsageError
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

SWITCH = "backfill"
# Until when the pace is used up, in Unix seconds: all workers take from the one row.
PACE = "backfill.pace"
# What was not used is kept for so long: a tick that comes late catches up, an idle hour is not made up for.
CREDIT_S = 2.0


@dataclass(frozen=True)
class Standing:
    """How far a backfill is. `total`: what there was to do at its start; `again`: also what an older model answered."""

    running: bool
    again: bool
    total: int
    left: int
    who: str
    started_at: float

    @property
    def done(self) -> int:
        return max(0, self.total - self.left)


def start(db: Database, who: str, now: float, *, again: bool = False) -> Standing:
    """Begin; one that is there is begun anew. Raises NotReady without a model, UsageError with nothing to do."""
    with db.write() as session:
        champion = _champion(session)
        if champion is None:
            raise NotReady("there is no model yet: label pictures and train one, or import a bundle")
        left = _left(session, champion, again)
        if not left:
            raise UsageError("there is nothing to do: the model has answered every picture of the past that is here")
        session.execute(delete(Switch).where(Switch.name.in_((SWITCH, PACE))))
        value = json.dumps({"running": True, "again": again, "total": left})
        session.add(Switch(name=SWITCH, value=value, who=who, at=now))
        session.add(Switch(name=PACE, value=repr(now), who="", at=now))
        session.add(Audit(at=now, who=who, what="backfill.start", detail={"pictures": left, "again": again}))
    log.info("backfill begins", extra={"pictures": left, "who": who})
    return Standing(True, again, left, left, who, now)


def stop(db: Database, who: str, now: float) -> None:
    """No more batches; those in work end. Raises UsageError when there is none."""
    _turn(db, who, now, running=False)


def resume(db: Database, who: str, now: float) -> None:
    """Go on where it was stopped. Raises UsageError when there is none."""
    _turn(db, who, now, running=True)


def standing(db: Database) -> Standing | None:
    """None when nobody asked for one, or it is done."""
    with db.read() as session:
        row = session.get(Switch, SWITCH)
        champion = _champion(session)
        if row is None or champion is None:
            return None
        said = json.loads(row.value)
        left = _left(session, champion, said["again"])
        return Standing(said["running"], said["again"], said["total"], left, row.who, row.at)


def is_due(db: Database, settings: Settings, now: float) -> bool:
    """Is there one that may work now?"""
    if not in_hours(settings.backfill.hours, time.localtime(now).tm_hour):
        return False
    with db.read() as session:
        return _running(session) is not None


def in_hours(hours: str, hour: int) -> bool:
    """Does "20-6" hold at this hour of the day? "" always does."""
    if not hours:
        return True
    begin, end = (int(part) for part in hours.split("-"))
    return begin <= hour < end if begin < end else hour >= begin or hour < end


def claim(db: Database, settings: Settings, model_id: str, now: float) -> list[Claim]:
    """Take the next few pictures of the past; [] while something new waits, the pace is used up, or it is stopped."""
    over = is_over(Picture.lease_until, now, settings.classify.lease_s)
    with db.write() as session:
        said = _running(session)
        if said is None or not is_champion(session, model_id) or _news_waits(session, model_id, over):
            return []
        most = min(settings.backfill.batch, settings.classify.batch)
        pace = session.execute(db.for_claim(select(Switch).where(Switch.name == PACE))).scalar_one_or_none()
        if pace is None or _used_until(pace, now) > now:
            return []
        found: list[Any] = []
        for some in to_do(model_id, said["again"]):
            query = (
                select(Picture.sha256, Picture.token)
                .where(Picture.state == "staged", Picture.wanted.is_(False), some, over)
                .order_by(Picture.model_id, Picture.staged_at)
                .limit(most - len(found))
            )
            found += session.execute(db.for_claim(query)).all()
        if not found:
            _end_if_done(session, model_id, said)
            return []
        lease_until = now + settings.classify.lease_s
        session.execute(
            update(Picture)
            .where(Picture.sha256.in_([sha256 for sha256, _ in found]))
            .values(lease_until=lease_until, token=Picture.token + 1)
        )
        if settings.backfill.per_s:
            pace.value = repr(_used_until(pace, now) + len(found) / settings.backfill.per_s)
    return [Claim(sha256, token + 1) for sha256, token in found]


def _used_until(pace: Switch, now: float) -> float:
    """Until when the pace is used up. One far ahead was written by a clock that has been set back since."""
    until = float(pace.value)
    return now - CREDIT_S if until < now - CREDIT_S or until > now + 3600 else until


def _turn(db: Database, who: str, now: float, *, running: bool) -> None:
    with db.write() as session:
        row = session.get(Switch, SWITCH)
        if row is None:
            raise UsageError("there is no backfill; begin one with: ticketbot backfill start")
        row.value = json.dumps({**json.loads(row.value), "running": running})
        what = "backfill.resume" if running else "backfill.stop"
        session.add(Audit(at=now, who=who, what=what, detail={}))


def _running(session: Session) -> dict[str, Any] | None:
    value = session.scalar(select(Switch.value).where(Switch.name == SWITCH))
    said: dict[str, Any] | None = json.loads(value) if value else None
    return said if said and said["running"] else None


def _champion(session: Session) -> str | None:
    return session.scalar(select(Model.id).where(Model.state == "champion"))


def _left(session: Session, model_id: str, again: bool) -> int:
    past = (Picture.state == "staged", Picture.wanted.is_(False))
    pieces = to_do(model_id, again)
    return sum(session.scalar(select(func.count()).select_from(Picture).where(*past, one)) or 0 for one in pieces)


def _news_waits(session: Session, model_id: str, over: Any) -> bool:
    """Is there a new picture that nobody works on?"""
    new = select(Picture.sha256).where(Picture.state == "staged", Picture.wanted, over).limit(1)
    return any(session.scalar(new.where(some)) is not None for some in to_do(model_id, True))


def _end_if_done(session: Session, model_id: str, said: dict[str, Any]) -> None:
    """Nothing is free; when nothing is in other hands either, it is done."""
    if not _left(session, model_id, said["again"]):
        session.execute(delete(Switch).where(Switch.name.in_((SWITCH, PACE))))
        log.info("backfill done", extra={"pictures": said["total"]})
