"""What came of an attempt, and what does that change?

One short transaction for those of an endpoint that ended together: the answer (only if it is still ours: id, token and
state must be what we claimed), the attempt, the endpoint's health, alerts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, exists, select, update
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import Answer, Attempt, Audit, EndpointState
from ticketbot.db.rows import rows
from ticketbot.deliver import alerts, breaker, endpoints, retry
from ticketbot.deliver.claim import PENDING, Claim
from ticketbot.deliver.retry import Outcome, RetryDecision
from ticketbot.failpoints import failpoint
from ticketbot.settings import Settings

KEPT_BYTES = 4096
# Their names would say that there is something worth stealing; their values are kept of no header at all.
UNNAMED_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
SKEW_S = 60.0
_CHANCE = random.SystemRandom()

# Made once, and of the table, not of the class: spelling it out anew took longer than the database takes to do it.
_ANSWER = cast("Table", Answer.__table__)
_END = (
    update(_ANSWER)
    .where(_ANSWER.c.id == bindparam("ours"), _ANSWER.c.token == bindparam("our_token"), _ANSWER.c.state == PENDING)
    .values(
        attempts=_ANSWER.c.attempts + 1,
        lease_until=0.0,
        **{name: bindparam(name) for name in ("state", "due_at", "last_status", "last_error", "delivered_at")},
    )
)

TEXTS = {
    "refused": "it refuses what we send ({what}); look at its settings, then at the waiting answers",
    "redirected": "it answered {what}: it has moved, and redirects are never followed; set its new address",
    "dead": "an answer was given up after its last attempt ({what}); it can be sent again by hand",
    "disabled": "switched off: {what}",
}


@dataclass(frozen=True)
class Report:
    """What an attempt brought home, from `at` to `ended_at`. `headers` have lower-case names."""

    outcome: Outcome
    at: float
    ended_at: float
    headers: dict[str, str]
    body: bytes

    @property
    def what(self) -> str:
        return f"status {self.outcome.status}" if self.outcome.status is not None else str(self.outcome.error)


def finish(db: Database, settings: Settings, ended: Sequence[tuple[Claim, Report]]) -> list[str]:
    """Write attempts at one endpoint down, in the order in which they ended.

    Returns delivered, retry, dead, disabled or cancelled for each; "fenced" when it was no longer ours.
    """
    states = []
    with db.write() as session:
        endpoint = endpoints.state_of(session, db, ended[0][0].endpoint)
        for claim, report in ended:
            states.append(_finish_one(session, db, settings, endpoint, claim, report))
        noted = [(state, report) for (_, report), state in zip(ended, states, strict=True) if state != "fenced"]
        if noted:
            last_state, last_report = noted[-1]
            if last_state == "delivered" and all(fine for _, fine in endpoint.recent):
                alerts.clear(session, endpoint.name, *alerts.HEALED_BY_SUCCESS)
            _note_clock(session, db, endpoint, last_report)
        session.flush()
        failpoint("finish.noted")
    return states


def _finish_one(
    session: Session, db: Database, settings: Settings, endpoint: EndpointState, claim: Claim, report: Report
) -> str:
    decision = retry.decide(
        claim.attempts + 1,
        report.outcome,
        report.ended_at,
        settings.deliver.schedule_s,
        jitter=settings.deliver.jitter,
        chance=_CHANCE.random(),
        retry_after_max_s=settings.deliver.retry_after_max_s,
    )
    state = _settle(session, settings, claim, decision, report)
    if state == "fenced":
        return state
    failpoint("finish.settled")
    session.add(_attempt(claim, report))
    _note_health(session, db, settings, endpoint, claim, decision, report)
    return state


def _settle(session: Session, settings: Settings, claim: Claim, decision: RetryDecision, report: Report) -> str:
    state: str = decision.state
    if state == "retry" and _is_outdated(session, settings, claim):
        state = "cancelled"
    values = {
        "ours": claim.id,
        "our_token": claim.token,
        "state": "pending" if state in ("retry", "disabled") else state,
        "due_at": report.ended_at if decision.due_at is None else decision.due_at,
        "last_status": report.outcome.status,
        "last_error": report.outcome.error,
        "delivered_at": report.ended_at if state == "delivered" else None,
    }
    changed = session.execute(_END, values)
    return state if rows(changed) else "fenced"


def _is_outdated(session: Session, settings: Settings, claim: Claim) -> bool:
    """ordering = "latest": a failed answer for the ticket gives way when a newer one waits behind it."""
    if settings.endpoints[claim.endpoint].ordering != "latest":
        return False
    newer = exists().where(
        Answer.endpoint == claim.endpoint,
        Answer.ticket == claim.ticket,
        Answer.state == PENDING,
        Answer.sha256.is_(None),
        Answer.seq > claim.seq,
    )
    about_ticket = exists().where(Answer.id == claim.id, Answer.sha256.is_(None))
    return bool(session.execute(select(newer & about_ticket)).scalar())


def _attempt(claim: Claim, report: Report) -> Attempt:
    return Attempt(
        answer_id=claim.id,
        number=claim.attempts + 1,
        at=report.at,
        took_ms=max(0, round((report.ended_at - report.at) * 1000)),
        status=report.outcome.status,
        error=report.outcome.error,
        response=_kept(report),
    )


def _kept(report: Report) -> bytes | None:
    """The names of the answer's headers and the beginning of its body, 4 KB in all."""
    if report.outcome.status is None:
        return None
    names = ", ".join(sorted(name for name in report.headers if name not in UNNAMED_HEADERS))
    return (f"headers: {names}"[: KEPT_BYTES // 2].encode("utf-8", "replace") + b"\n\n" + report.body)[:KEPT_BYTES]


def _note_health(
    session: Session,
    db: Database,
    settings: Settings,
    state: EndpointState,
    claim: Claim,
    decision: RetryDecision,
    report: Report,
) -> None:
    now, ok = report.ended_at, decision.state == "delivered"
    limits = breaker.Limits(
        settings.deliver.breaker_failures, settings.deliver.breaker_probe_s, settings.deliver.disable_after_s
    )
    health = endpoints.health_of(state)
    health = breaker.after(health, ok, now, limits, probe=claim.probe, throttled=decision.throttled)
    if decision.pause_endpoint_until is not None:
        health = replace(health, paused_until=max(health.paused_until, decision.pause_endpoint_until))
    endpoints.keep_health(state, health)
    if decision.alert in ("refused", "redirected", "dead"):
        text = TEXTS[decision.alert].format(what=report.what)
        alerts.alert(session, db, claim.endpoint, decision.alert, text, now)
    if health.disabled_at is None:
        _maybe_disable(session, db, state, decision, now, breaker.gave_up(health, now, limits))


def _maybe_disable(
    session: Session, db: Database, state: EndpointState, decision: RetryDecision, now: float, gave_up: bool
) -> None:
    if decision.state == "disabled":
        why = "it answered 410 Gone"
    elif gave_up:
        why = f"no success since {state.failing_since:.0f} (Unix time)"
    else:
        return
    state.disabled_at, state.disabled_why = now, why
    session.add(Audit(at=now, who=alerts.WHO, what="endpoint disabled", detail={"endpoint": state.name, "why": why}))
    alerts.alert(session, db, state.name, "disabled", TEXTS["disabled"].format(what=why), now)


def _note_clock(session: Session, db: Database, state: EndpointState, report: Report) -> None:
    skew_s = clock_skew_s(report.headers, report.ended_at)
    if skew_s is None:
        return
    state.clock_skew_s = skew_s
    if abs(skew_s) > SKEW_S:
        text = f"its clock is {skew_s:+.0f} s from ours; webhooks older or newer than 300 s are refused"
        alerts.alert(session, db, state.name, "clock_skew", text, report.ended_at)
    else:
        alerts.clear(session, state.name, "clock_skew")


def clock_skew_s(headers: dict[str, Any], now: float) -> float | None:
    """How far the receiver's Date is ahead of our clock (negative: behind); None when it says nothing sensible."""
    try:
        date = parsedate_to_datetime(str(headers.get("date", ""))[:64])
    except (ValueError, TypeError, OverflowError):
        return None
    return round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now, 1)
