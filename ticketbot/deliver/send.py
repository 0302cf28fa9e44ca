"""Send what is due: sign, POST (or the steps of a preset), write down what came back.

`deliver_due` runs until nothing more can be sent now. Any number of processes may run it at once: the database decides
who sends what. A worker that dies in the middle leaves a lease that runs out; the answer is then sent again under the
same webhook-id, and a receiver that keeps ids sees one effect.

Threads send (senders.py); one thread alone claims and writes down, all that came back meanwhile in one transaction:
eight that write for themselves wait for each other's locks and syncs longer than for the receiver.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from sqlalchemy.exc import DBAPIError

from ticketbot import measures
from ticketbot.db import Database
from ticketbot.deliver import preset
from ticketbot.deliver.claim import Claim, claim, give_back
from ticketbot.deliver.finish import Report, finish
from ticketbot.deliver.retry import Outcome
from ticketbot.deliver.senders import Senders
from ticketbot.deliver.sign import sign
from ticketbot.errors import Refused
from ticketbot.failpoints import failpoint
from ticketbot.net import fetch
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

# The pictures an event speaks of, for the log: its body is ours, so this is quicker than reading it as JSON.
IN_BODY = re.compile(rb'"sha256":\s*"([0-9a-f]{64})"')

# How soon new answers are noticed while slow ones are on their way.
LOOK_AGAIN_S = 0.25

Post = Callable[..., fetch.Reply]


def deliver_due(
    db: Database,
    settings: Settings,
    now: Callable[[], float] = time.time,
    post: Post | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
    only: Sequence[str] | None = None,
) -> dict[str, int]:
    """Send until nothing is due (or `stop()`); counts by what came of the attempts.

    delivered, retry, dead, disabled, cancelled; fenced (somebody else took over meanwhile), unfinished (the database
    could not be written: sent again after the lease). `post` has the signature of net.fetch.post; by default the
    connections of webhooks are kept open until the end; `only`: of these ids.
    """
    counts: Counter[str] = Counter()
    turns: dict[str, int] = {}
    tick = count(1)
    with fetch.Kept() as kept, _senders(db, settings, now, post or kept.post, stop) as senders:
        while True:
            if unsent := senders.unsent():
                give_back(db, unsent)
            if not stop():
                claims = claim(db, settings, now(), senders.in_flight(), turns, only, senders.ahead())
                turns.update((one.endpoint, next(tick)) for one in claims.taken)
                senders.begin(claims)
            if senders.idle:
                return dict(counts)
            counts.update(_write_down(db, settings, senders.ended(LOOK_AGAIN_S)))


def _senders(
    db: Database, settings: Settings, now: Callable[[], float], post: Post, stop: Callable[[], bool]
) -> Senders:
    own = settings.deliver
    return Senders(lambda one: _send(db, settings, one, now, post), own.workers, own.lease_margin_s, stop)


def _send(db: Database, settings: Settings, one: Claim, now: Callable[[], float], post: Post) -> Report:
    if settings.endpoints[one.endpoint].preset:
        report = preset.attempt(db, settings, one, now, fetch.request)
    else:
        report = attempt(settings, one, now, post)
    failpoint("send.posted")
    return report


def _write_down(db: Database, settings: Settings, ended: Sequence[tuple[Claim, Report]]) -> list[str]:
    """What became of each; one transaction an endpoint."""
    states = []
    for endpoint in dict.fromkeys(one.endpoint for one, _ in ended):
        own = [(one, report) for one, report in ended if one.endpoint == endpoint]
        found = _finished(db, settings, own)
        failpoint("finish.committed")
        for (one, report), state in zip(own, found, strict=True):
            _tell(one, report, state)
        states += found
    return states


def _finished(db: Database, settings: Settings, ended: Sequence[tuple[Claim, Report]]) -> list[str]:
    try:
        return finish(db, settings, ended)
    except DBAPIError as error:
        if len(ended) > 1:  # what one of them brought may be at fault: the others must not be sent again for it
            return [state for one in ended for state in _finished(db, settings, [one])]
        ((one, report),) = ended
        log.warning("%s to %s: %s, not written down: %s", one.id, one.endpoint, report.what, type(error).__name__)
        return ["unfinished"]


def _tell(one: Claim, report: Report, state: str) -> None:
    if state == "unfinished":
        return
    measures.count("ticketbot_delivery_attempts_total", one.endpoint, state)
    measures.observe("ticketbot_delivery_duration_seconds", max(0.0, report.ended_at - report.at), one.endpoint)
    pictures = [found.decode() for found in IN_BODY.findall(one.body)]
    about = {"answer": one.id, "ticket": one.ticket, "endpoint": one.endpoint, "pictures": pictures}
    log.info("%s to %s, attempt %d: %s, %s", one.id, one.endpoint, one.attempts + 1, report.what, state, extra=about)


def attempt(settings: Settings, one: Claim, now: Callable[[], float], post: Post) -> Report:
    """One signed POST; whatever happens is in the report."""
    at = now()
    endpoint = settings.endpoints[one.endpoint]
    headers = {"Content-Type": "application/json", **sign(one.body, one.id, int(at), one.secrets)}
    try:
        failpoint("send.signed")
        reply = post(endpoint.url, one.body, headers, deadline_s=settings.deliver.timeout_s, allow=endpoint.allow)
    except Refused as error:
        return _report(Outcome(error=error.code), at, now(), {}, b"")
    except Exception:
        # Ours, not the receiver's. It counts as an attempt: a poisoned answer must die, not come back for ever.
        log.exception("%s to %s: the attempt failed in our own code", one.id, one.endpoint)
        return _report(Outcome(error="internal"), at, now(), {}, b"")
    names = {name.lower(): value for name, value in reply.headers.items()}
    outcome = Outcome(status=reply.status, retry_after=names.get("retry-after"))
    return _report(outcome, at, now(), names, reply.body)


def _report(outcome: Outcome, at: float, ended_at: float, headers: dict[str, Any], body: bytes) -> Report:
    return Report(outcome=outcome, at=at, ended_at=ended_at, headers=headers, body=body)
