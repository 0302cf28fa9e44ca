"""Is this endpoint well enough to be sent to?

    closed ──(10 failures in a row, or 70 % of the last 50 in 5 minutes)──► open
    open ──(30 s, then doubling to 15 min)──► one probe ──► 3 successes in a row ──► closed
                                                    └────► a failure: open for longer

While it is open nothing is sent, so no answer uses up an attempt; a probe is an ordinary attempt of the oldest answer
that is due. An endpoint that had no success for 120 h is switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

WINDOW_S = 300.0
WINDOW_MOST = 50
WINDOW_LEAST = 10
WINDOW_SHARE = 0.7
CLOSES_AFTER = 3
# After being switched on again a backlog goes out slowly: as many a second.
SLOW_PER_S = 10.0


@dataclass(frozen=True)
class Limits:
    """The settings of section [deliver] that matter here."""

    failures: int = 10
    probe_s: Sequence[float] = (30, 60, 120, 240, 480, 900)
    disable_after_s: float = 432_000


@dataclass(frozen=True)
class Health:
    """What the endpoint's row remembers. `recent`: (time, success) of the last attempts, oldest first."""

    failures: int = 0
    recent: tuple[tuple[float, bool], ...] = ()
    opened_at: float | None = None
    probes: int = 0
    probe_at: float | None = None
    successes: int = 0
    last_success_at: float | None = None
    failing_since: float | None = None
    disabled_at: float | None = None
    paused_until: float = 0.0
    slow_since: float | None = None
    slow_claimed: int = 0


@dataclass(frozen=True)
class Allowance:
    """How many answers may be started now; `probe`: it is the one that tries whether the endpoint is back."""

    n: int
    probe: bool = False


def allowance(health: Health, now: float, free: int) -> Allowance:
    """How many of `free` idle workers this endpoint may have."""
    if health.disabled_at is not None or now < health.paused_until:
        return Allowance(0)
    if health.opened_at is not None:
        due = health.probe_at is not None and now >= health.probe_at
        return Allowance(min(1, free) if due else 0, probe=due)
    if health.slow_since is not None:
        earned = int((now - health.slow_since) * SLOW_PER_S) + 1 - health.slow_claimed
        return Allowance(max(0, min(free, earned)))
    return Allowance(free)


def started(health: Health, n: int, lease_until: float, *, probe: bool, drained: bool) -> Health:
    """The endpoint once `n` answers were claimed; `drained`: nothing else is waiting for it."""
    if probe:
        # Nobody else probes until this one has ended, or its sender has died.
        return replace(health, probe_at=lease_until) if n else health
    if health.slow_since is None:
        return health
    if drained:
        return replace(health, slow_since=None, slow_claimed=0)
    return replace(health, slow_claimed=health.slow_claimed + n)


def after(health: Health, ok: bool, now: float, limits: Limits, *, probe: bool, throttled: bool = False) -> Health:
    """The endpoint after one more attempt.

    A late failure of an attempt that began before the breaker opened changes nothing about the probes. Being asked to
    wait (`throttled`) is no sign of illness, but no success either: it does not open the breaker.
    """
    if ok:
        return _after_success(health, now)
    failing_since = now if health.failing_since is None else health.failing_since
    health = replace(health, failing_since=failing_since)
    if health.opened_at is not None:
        return _probe_failed(health, now, limits) if probe else health
    if throttled:
        return health
    health = replace(health, failures=health.failures + 1, recent=_remember(health, False, now))
    return _opened(health, now, limits) if _is_ill(health, limits) else health


def gave_up(health: Health, now: float, limits: Limits) -> bool:
    """Has there been no success for so long that it should be switched off?"""
    return health.failing_since is not None and now - health.failing_since >= limits.disable_after_s


def enabled(health: Health, now: float) -> Health:
    """A person switched it on again: a clean start, slowly."""
    return Health(last_success_at=health.last_success_at, slow_since=now)


def _after_success(health: Health, now: float) -> Health:
    health = replace(health, failures=0, failing_since=None, last_success_at=now)
    if health.opened_at is None:
        return replace(health, recent=_remember(health, True, now))
    if health.successes + 1 >= CLOSES_AFTER:
        return replace(health, opened_at=None, probe_at=None, probes=0, successes=0, recent=())
    return replace(health, successes=health.successes + 1, probe_at=now)


def _probe_failed(health: Health, now: float, limits: Limits) -> Health:
    probes = health.probes + 1
    wait_s = limits.probe_s[min(probes, len(limits.probe_s) - 1)]
    return replace(health, probes=probes, successes=0, probe_at=now + wait_s)


def _opened(health: Health, now: float, limits: Limits) -> Health:
    return replace(health, opened_at=now, probes=0, successes=0, probe_at=now + limits.probe_s[0], recent=())


def _remember(health: Health, ok: bool, now: float) -> tuple[tuple[float, bool], ...]:
    kept = [one for one in health.recent if one[0] > now - WINDOW_S]
    return tuple([*kept, (now, ok)][-WINDOW_MOST:])


def _is_ill(health: Health, limits: Limits) -> bool:
    if health.failures >= limits.failures:
        return True
    failed = sum(not ok for _, ok in health.recent)
    return len(health.recent) >= WINDOW_LEAST and failed >= WINDOW_SHARE * len(health.recent)
