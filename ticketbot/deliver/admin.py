"""What may a person do about deliveries? Pause, resume, send again, let go, switch on, change the secret.

Everything here is written down in the audit, with who asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session, aliased

from ticketbot.db import Database
from ticketbot.db.models import Answer, Audit, EndpointState, Redelivery, Switch
from ticketbot.db.rows import rows
from ticketbot.deliver import alerts, breaker, endpoints, keys
from ticketbot.deliver.claim import PAUSED
from ticketbot.errors import Conflict, UsageError
from ticketbot.settings import Settings


def pause(db: Database, who: str, now: float, endpoint: str = "") -> None:
    """Send nothing more, to anybody or to one endpoint; attempts that are on their way end as they do."""
    with db.write() as session:
        name = f"{PAUSED}.{endpoint}" if endpoint else PAUSED
        session.execute(db.insert(Switch).values(name=name, value="paused", who=who, at=now).on_conflict_do_nothing())
        _note(session, now, who, "deliveries paused", endpoint=endpoint)


def resume(db: Database, who: str, now: float, endpoint: str = "") -> None:
    """Undo `pause`: what waited goes out in order."""
    with db.write() as session:
        session.execute(delete(Switch).where(Switch.name == (f"{PAUSED}.{endpoint}" if endpoint else PAUSED)))
        _note(session, now, who, "deliveries resumed", endpoint=endpoint)


def redeliver(
    db: Database,
    key: str,
    who: str,
    now: float,
    *,
    ids: Sequence[str] = (),
    since: float | None = None,
    endpoint: str = "",
    states: Sequence[str] = ("dead",),
) -> int:
    """Send these answers again (by id, or all that were made since then) under their old webhook-id. Returns how many.

    Idempotent: the same `key` twice, or a second press while the first is still waiting, changes nothing. `states` may
    name delivered, dead and cancelled; given ids are also taken when they were delivered. Raises UsageError.
    """
    if not key or len(key) > 128 or (not ids and since is None):
        raise UsageError("redeliver needs a request key of 1 to 128 characters, and ids or a time")
    wanted = {"delivered", "dead"} if ids else set(states) & {"delivered", "dead", "cancelled"}
    # A body that was erased is empty: there is nothing left to send.
    conditions: list[Any] = [Answer.state.in_(wanted), Answer.body != b""]
    if ids:
        conditions.append(Answer.id.in_(ids))
    if since is not None:
        conditions.append(Answer.created_at >= since)
    if endpoint:
        conditions.append(Answer.endpoint == endpoint)
    again = {"state": "pending", "attempts": 0, "due_at": now, "lease_until": 0.0, "delivered_at": None}
    with db.write() as session:
        wish = db.insert(Redelivery).values(key=key, who=who, at=now).on_conflict_do_nothing()
        if session.execute(wish.returning(Redelivery.key)).first() is None:
            return 0
        changed = session.execute(update(Answer).where(*conditions).values(**again, token=Answer.token + 1))
        if n := rows(changed):
            detail = {"key": key, "ids": list(ids)[:100], "since": since, "endpoint": endpoint, "n": n}
            _note(session, now, who, "answers sent again", **detail)
    return n


def release(db: Database, settings: Settings, endpoint: str, who: str, now: float) -> dict[str, int]:
    """Let go what was held while the endpoint was in dry run; counts: released, cancelled.

    Held words that newer ones have replaced meanwhile are cancelled. Raises Conflict while it is still in dry run.
    """
    found = settings.endpoints.get(endpoint)
    if found is None or found.mode != "live":
        raise Conflict(f'endpoint {endpoint!r} is not live; set endpoints.{endpoint}.mode = "live" first')
    newer = aliased(Answer)
    replaced = (
        select(newer.id)
        .where(newer.endpoint == Answer.endpoint, newer.ticket == Answer.ticket, newer.seq > Answer.seq)
        .where(func.coalesce(newer.sha256, "") == func.coalesce(Answer.sha256, ""), newer.state != "held")
        .exists()
    )
    held = (Answer.endpoint == endpoint, Answer.state == "held")
    with db.write() as session:
        state = endpoints.state_of(session, db, endpoint)
        cancelled = rows(session.execute(update(Answer).where(*held, replaced).values(state="cancelled")))
        released = rows(session.execute(update(Answer).where(*held).values(state="pending", due_at=now)))
        if released:
            state.slow_since, state.slow_claimed = now, 0
        _note(session, now, who, "held answers released", endpoint=endpoint, released=released, cancelled=cancelled)
    return {"released": released, "cancelled": cancelled}


def enable(db: Database, endpoint: str, who: str, now: float) -> None:
    """Switch a disabled endpoint on again: what waited goes out, oldest first, at most ten a second."""
    with db.write() as session:
        state = endpoints.state_of(session, db, endpoint)
        endpoints.keep_health(state, breaker.enabled(endpoints.health_of(state), now))
        state.disabled_why = None
        alerts.clear(session, endpoint, "disabled", *alerts.HEALED_BY_SUCCESS)
        _note(session, now, who, "endpoint enabled", endpoint=endpoint)


def rotate_secret(db: Database, settings: Settings, endpoint: str, who: str, now: float) -> str:
    """A new secret, returned this once and never again; the old one signs too for 24 hours. Raises UsageError."""
    if endpoint not in settings.endpoints:
        raise UsageError(f"there is no endpoint {endpoint!r}; endpoints: {', '.join(sorted(settings.endpoints))}")
    with db.write() as session:
        state = endpoints.state_of(session, db, endpoint)
        secret, state.secrets = keys.rotated(settings, endpoint, state.secrets, now)
        alerts.clear(session, endpoint, "no_secret")
        _note(session, now, who, "endpoint secret rotated", endpoint=endpoint)
    return secret


def dismiss(db: Database, endpoint: str, code: str, who: str, now: float) -> None:
    """A person has seen this alert."""
    with db.write() as session:
        alerts.clear(session, endpoint, code)
        _note(session, now, who, "alert dismissed", endpoint=endpoint, code=code)


def overview(session: Session, settings: Settings, now: float) -> dict[str, dict[str, Any]]:
    """By endpoint: how many answers are in each state, how late the oldest is, and how the endpoint is."""
    found: dict[str, dict[str, Any]] = {name: {"mode": one.mode} for name, one in settings.endpoints.items()}
    counts = select(Answer.endpoint, Answer.state, func.count()).group_by(Answer.endpoint, Answer.state)
    for name, state, n in session.execute(counts):
        found.setdefault(name, {"mode": "removed"})[state] = n
    oldest = select(Answer.endpoint, func.min(Answer.due_at)).where(Answer.state == "pending").group_by(Answer.endpoint)
    for name, due_at in session.execute(oldest):
        found[name]["late_s"] = max(0.0, now - due_at)
    for row in session.scalars(select(EndpointState)):
        if row.name in found:
            found[row.name] |= {
                "disabled": row.disabled_why,
                "breaker_open": row.opened_at is not None,
                "paused_until": row.paused_until if row.paused_until > now else None,
                "last_success_at": row.last_success_at,
                "clock_skew_s": row.clock_skew_s,
            }
    return found


def _note(session: Session, now: float, who: str, what: str, **detail: Any) -> None:
    session.add(Audit(at=now, who=who, what=what, detail={name: value for name, value in detail.items() if value}))
