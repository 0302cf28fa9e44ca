"""Should it try again? And when?

A number of the attempt and what came of it go in, a decision comes out. No clock, no random source, no database.

    2xx               delivered
    410               the endpoint is switched off; the answer waits for it to be switched on again
    429, 503          as below, but never before Retry-After, and the whole endpoint waits until then
    3xx               a failure, never followed: a redirect may lead anywhere
    400…422 and 3xx   the same schedule (the ticket system may be in the middle of a deploy), but said at once
    anything else     the next wait of the schedule; after the last one the answer is dead and a person decides
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

SCHEDULE_S = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
RETRY_AFTER_MAX_S = 86400.0
# Repeating will hardly help: a person should look now, not in three days.
SAID_AT_ONCE = frozenset({400, 401, 403, 404, 413, 422})
THROTTLED = frozenset({429, 503})


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt: an HTTP status, or an error code (fetch_timeout…) when there was no answer."""

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None  # the header as it came
    refused: bool = False  # a ticket system said no in an answer whose status says yes

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299


@dataclass(frozen=True)
class RetryDecision:
    """`state` of the answer: delivered, retry (at due_at), dead, or disabled (it waits with its whole endpoint)."""

    state: Literal["delivered", "retry", "dead", "disabled"]
    due_at: float | None = None
    pause_endpoint_until: float | None = None
    alert: str | None = None  # refused, redirected, disabled or dead: worth telling a person

    @property
    def throttled(self) -> bool:
        return self.pause_endpoint_until is not None


def decide(
    attempt_number: int,
    outcome: Outcome,
    now: float,
    schedule: Sequence[float] = SCHEDULE_S,
    *,
    jitter: float = 0.2,
    chance: float = 0.5,
    retry_after_max_s: float = RETRY_AFTER_MAX_S,
) -> RetryDecision:
    """What happens after attempt `attempt_number` (1 for the first).

    `schedule[n]` is the wait before attempt n + 1, so there are len(schedule) attempts. `chance` is a random number
    from 0 to 1; 0.5 means no jitter. Raises nothing.
    """
    status = outcome.status
    if outcome.ok:
        return RetryDecision("delivered")
    if status == 410:
        return RetryDecision("disabled", due_at=now, alert="disabled")
    pause_s = _pause_s(outcome, now, retry_after_max_s)
    until = None if pause_s is None else now + pause_s
    if attempt_number >= len(schedule):
        return RetryDecision("dead", pause_endpoint_until=until, alert="dead")
    wait_s = schedule[attempt_number] * (1 + jitter * (2 * chance - 1))
    if pause_s is not None:
        # Spread upwards only: never earlier than we were asked to come back.
        wait_s = max(wait_s, min(pause_s * (1 + jitter * chance), retry_after_max_s))
    return RetryDecision("retry", due_at=now + wait_s, pause_endpoint_until=until, alert=_alert(outcome))


def retry_after_s(header: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date); None when there is none or it is nonsense."""
    text = (header or "").strip()
    if not text or len(text) > 64:
        return None
    if re.fullmatch(r"[0-9]+", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


def _pause_s(outcome: Outcome, now: float, most_s: float) -> float | None:
    if outcome.status not in THROTTLED:
        return None
    asked_s = retry_after_s(outcome.retry_after, now)
    return None if asked_s is None else min(asked_s, most_s)


def _alert(outcome: Outcome) -> str | None:
    if outcome.refused or outcome.status in SAID_AT_ONCE or outcome.error == "address_refused":
        return "refused"
    if outcome.status is not None and 300 <= outcome.status <= 399:
        return "redirected"
    return None
