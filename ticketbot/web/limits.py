"""How often may somebody try?

Failed sign-ins count in the database, so that all processes count together. Everything else counts in memory, per
process: a write for each request would keep the database's write lock busy.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import LoginBucket


@dataclass(frozen=True)
class Rate:
    """`burst` tries at once, and as many again over `per_s` seconds."""

    burst: float
    per_s: float = 60.0

    @property
    def refill_per_s(self) -> float:
        return self.burst / self.per_s


# An address gets 10 at once and 10 a minute, so the 20th bad sign-in of a minute is always refused; a name a few more,
# because the one who guesses must not lock out the owner too easily.
LOGIN_BY_ADDRESS = Rate(10)
LOGIN_BY_NAME = Rate(20)
# A bucket nobody touched for so long is full again, and its row can go.
FORGET_S = 600.0


def refilled(tokens: float, idle_s: float, rate: Rate) -> float:
    """Tokens in a bucket that held `tokens` `idle_s` ago. A clock that jumped back adds nothing."""
    return min(rate.burst, tokens + max(0.0, idle_s) * rate.refill_per_s)


def wait_s(tokens: float, rate: Rate) -> float:
    """Seconds until one token is there; 0 when it is."""
    return 0.0 if tokens >= 1 else (1 - tokens) / rate.refill_per_s


def login_keys(name: str, address: str) -> list[tuple[str, Rate]]:
    return [(f"name:{name.lower()[:80]}", LOGIN_BY_NAME), (f"address:{address[:64]}", LOGIN_BY_ADDRESS)]


def take_login(db: Database, name: str, address: str, now: float) -> float:
    """Pay for one try to sign in. -> 0.0, or the seconds to wait (nothing was paid then).

    Paid before the password is looked at, so that guesses in parallel count too; a success gives it back.
    """
    with db.write() as session:
        session.execute(delete(LoginBucket).where(LoginBucket.at < now - FORGET_S))
        buckets = [_filled(db, session, key, rate, now) for key, rate in login_keys(name, address)]
        waits = [wait_s(bucket.tokens, rate) for bucket, rate in buckets]
        if max(waits) > 0:
            return max(waits)
        for bucket, _rate in buckets:
            bucket.tokens -= 1
        return 0.0


def give_back_login(db: Database, name: str, address: str, now: float) -> None:
    with db.write() as session:
        for key, rate in login_keys(name, address):
            bucket, _rate = _filled(db, session, key, rate, now)
            bucket.tokens = min(rate.burst, bucket.tokens + 1)


def _filled(db: Database, session: Session, key: str, rate: Rate, now: float) -> tuple[LoginBucket, Rate]:
    session.execute(db.insert(LoginBucket).values(key=key, tokens=rate.burst, at=now).on_conflict_do_nothing())
    bucket = session.get_one(LoginBucket, key, with_for_update=True)
    bucket.tokens = refilled(bucket.tokens, now - bucket.at, rate)
    bucket.at = now
    return bucket, rate


class Buckets:
    """Token buckets in memory, at most `max_keys`; when full, the ones longest untouched are forgotten."""

    def __init__(self, max_keys: int = 10_000) -> None:
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._held: dict[str, tuple[float, float]] = {}

    def take(self, key: str, rate: Rate, now: float) -> float:
        """Pay for one request. -> 0.0, or the seconds to wait."""
        with self._lock:
            tokens, at = self._held.pop(key, (rate.burst, now))
            tokens = refilled(tokens, now - at, rate)
            wait = wait_s(tokens, rate)
            self._held[key] = (tokens if wait else tokens - 1, now)
            while len(self._held) > self._max_keys:
                del self._held[next(iter(self._held))]
            return wait
