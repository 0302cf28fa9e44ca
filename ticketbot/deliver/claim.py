"""Which answers may go now, and who holds them?

An answer may go when it is the first one waiting for its ticket, its time has come, nobody holds it, and its endpoint
is live, well, not paused and not switched off. It is looked for without any lock, then claimed by a conditional UPDATE
that also counts its token up: whoever claimed it earlier can no longer write its end.

Locks, here and in `finish`, always in this order: the endpoint's row, then answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, update
from sqlalchemy.orm import Session, aliased

from ticketbot.db import Database
from ticketbot.db.leases import is_over
from ticketbot.db.models import Answer, Switch
from ticketbot.deliver import alerts, breaker, endpoints, keys
from ticketbot.errors import SettingsError
from ticketbot.failpoints import failpoint
from ticketbot.settings import Settings

PAUSED = "deliver.paused"
# Written out, not bound: SQLite uses a partial index only when it can read the condition in the statement.
PENDING: ColumnElement[str] = literal_column("'pending'")
# So many are claimed ahead for each worker an endpoint may have.
AHEAD = 2


@dataclass(frozen=True)
class Claim:
    """An answer in our hands until its lease ends."""

    id: str
    endpoint: str
    ticket: str
    seq: int
    body: bytes = field(repr=False)
    token: int
    attempts: int
    probe: bool
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Wish:
    """What we would like to claim at an endpoint: these ids; `drained`: there is nothing more behind them."""

    ids: Sequence[str]
    secrets: tuple[str, ...]
    drained: bool


@dataclass
class Claims:
    """What was claimed, and how many each endpoint may start now; the rest is claimed ahead."""

    taken: list[Claim] = field(default_factory=list)
    room: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.taken)


def claim(
    db: Database,
    settings: Settings,
    now: float,
    in_flight: Mapping[str, int],
    turns: Mapping[str, int],
    only: Sequence[str] | None = None,
    ahead: Mapping[str, int] | None = None,
) -> Claims:
    """Claim what idle workers can start at once, and what they will start next; empty when there is nothing to do.

    `in_flight`: how many answers this process is sending, by endpoint; `turns`: when each had its last turn; `only`: of
    these answers; `ahead`: how many it holds beyond those in flight, of the endpoints for which it may.
    """
    mine = () if only is None else (Answer.id.in_(only),)
    claimed = Claims()
    with db.read() as session:
        if is_paused(session):
            return claimed
        signers = _ready(session, settings, now)
        ready, workers = sorted(signers, key=lambda name: turns.get(name, 0)), settings.deliver.workers
        free = claimed.room = shares(ready, in_flight, workers)
        wanted = Counter(free) + Counter(beyond(ready, in_flight, ahead or {}, workers))
        wishes = {name: _wish(session, settings, name, now, n, signers[name], *mine) for name, n in wanted.items()}
    for name, wish in wishes.items():
        if not wish.secrets and not settings.endpoints[name].preset:
            _say_no_secret(db, name, now)
        elif wish.ids:
            with db.write() as session:
                claimed.taken += _take(session, db, settings, name, wish, free.get(name, 0), now)
                failpoint("claim.taken")
            failpoint("claim.committed")
    return claimed


def due(
    session: Session, settings: Settings, now: float, most: int, but: Callable[[Any], ColumnElement[bool]]
) -> list[str]:
    """Which answers would `claim` take, an endpoint after the other? but: a further condition on their id."""
    if is_paused(session):
        return []
    found: list[str] = []
    signers = _ready(session, settings, now)
    each = max(1, most // max(1, len(signers)))
    for name, secrets in signers.items():
        allowed = breaker.allowance(endpoints.look(session, name)[0], now, min(each, most - len(found))).n
        if allowed and (secrets or settings.endpoints[name].preset):
            found += _wish(session, settings, name, now, allowed, secrets, but(Answer.id)).ids
    return found


def give_back(db: Database, claims: Sequence[Claim]) -> None:
    """End our leases now: these were claimed ahead and not sent."""
    for name in dict.fromkeys(one.endpoint for one in claims):
        with db.write() as session:
            endpoints.state_of(session, db, name)
            for one in claims:
                ours = (Answer.id == one.id, Answer.token == one.token, Answer.state == PENDING)
                if one.endpoint == name:
                    session.execute(update(Answer).where(*ours).values(lease_until=0.0))


def shares(ready: Sequence[str], in_flight: Mapping[str, int], workers: int) -> dict[str, int]:
    """How many more answers each endpoint may start, so that one that hangs never holds every worker."""
    idle = workers - sum(in_flight.values())
    most = _share(ready, workers)
    found: dict[str, int] = {}
    for name in ready:
        n = min(idle, most - in_flight.get(name, 0))
        if n > 0:
            found[name] = n
            idle -= n
    return found


def beyond(
    ready: Sequence[str], in_flight: Mapping[str, int], ahead: Mapping[str, int], workers: int
) -> dict[str, int]:
    """How many more each endpoint may hold ahead; nothing while half of them are there, so that a claim pays.

    One that has more workers than its share gets none: they are to become idle for others.
    """
    most = _share(ready, workers)
    full = AHEAD * most
    own = {name: ahead[name] for name in ready if name in ahead and in_flight.get(name, 0) <= most}
    return {name: full - n for name, n in own.items() if n <= full // 2}


def _share(ready: Sequence[str], workers: int) -> int:
    return max(1, workers // max(1, len(ready)))


def is_paused(session: Session, endpoint: str = "") -> bool:
    """Did a person stop all deliveries (or those to this endpoint)?"""
    name = f"{PAUSED}.{endpoint}" if endpoint else PAUSED
    return session.execute(select(Switch.name).where(Switch.name == name)).first() is not None


def _ready(session: Session, settings: Settings, now: float) -> dict[str, tuple[str, ...]]:
    """The endpoints that may be sent to, with what signs for them."""
    found: dict[str, tuple[str, ...]] = {}
    for name, endpoint in settings.endpoints.items():
        if endpoint.mode != "live" or is_paused(session, name):
            continue
        health, kept = endpoints.look(session, name)
        if not breaker.allowance(health, now, 1).n:
            continue
        if endpoint.preset:
            found[name] = ()  # its own secrets are in the settings
        else:
            try:
                found[name] = tuple(keys.signing(settings, name, kept, now))
            except SettingsError:
                found[name] = ()
    return found


def _say_no_secret(db: Database, endpoint: str, now: float) -> None:
    text = "it has no secret that can be read; set one in the settings, or make one, and start again"
    with db.read() as session:
        if any(one.endpoint == endpoint and one.code == "no_secret" for one in alerts.current(session)):
            return
    with db.write() as session:
        alerts.alert(session, db, endpoint, "no_secret", text, now)


def _wish(
    session: Session,
    settings: Settings,
    endpoint: str,
    now: float,
    most: int,
    secrets: tuple[str, ...],
    *mine: ColumnElement[bool],
) -> Wish:
    """Answers that could go, the longest due first; `mine`: further conditions."""
    # A scalar subquery, not NOT EXISTS: PostgreSQL made an anti join of that, which without statistics ran for minutes.
    waiting = aliased(Answer)
    first_in_line = (
        select(func.min(waiting.seq))
        .where(waiting.endpoint == Answer.endpoint, waiting.ticket == Answer.ticket, waiting.state == PENDING)
        .scalar_subquery()
    )
    query = (
        select(Answer.id)
        .where(Answer.endpoint == endpoint, Answer.state == PENDING)
        .where(Answer.due_at <= now, is_over(Answer.lease_until, now, lease_s(settings)), Answer.seq == first_in_line)
        .where(*mine)
        .order_by(Answer.due_at)
        .limit(most + 1)
    )
    ids = session.scalars(query).all()
    return Wish(ids[:most], secrets, drained=len(ids) <= most)


def _take(
    session: Session, db: Database, settings: Settings, endpoint: str, wish: Wish, at_once: int, now: float
) -> list[Claim]:
    state = endpoints.state_of(session, db, endpoint)
    health = endpoints.health_of(state)
    # A probe is started, not claimed ahead: nobody else tries until it has ended.
    allowed = breaker.allowance(health, now, len(wish.ids) if health.opened_at is None else at_once)
    rows = _take_all(session, wish.ids[: allowed.n], now, lease_s(settings))
    taken = [Claim(**row, probe=allowed.probe, secrets=wish.secrets) for row in rows]
    drained = wish.drained and allowed.n >= len(wish.ids)
    lease_until = now + lease_s(settings)
    changed = breaker.started(health, len(taken), lease_until, probe=allowed.probe, drained=drained)
    if changed != health:
        endpoints.keep_health(state, changed)
    return taken


def lease_s(settings: Settings) -> float:
    """How long a claim is held."""
    return settings.deliver.timeout_s + settings.deliver.lease_margin_s


def _take_all(session: Session, ids: Sequence[str], now: float, lease_s: float) -> list[dict[str, Any]]:
    """Those of the ids that are still free, ours now, in the same order."""
    columns = (Answer.id, Answer.endpoint, Answer.ticket, Answer.seq, Answer.body, Answer.token, Answer.attempts)
    taken = session.execute(
        update(Answer)
        .where(Answer.id.in_(ids), Answer.state == PENDING, Answer.due_at <= now)
        .where(is_over(Answer.lease_until, now, lease_s))
        .values(token=Answer.token + 1, lease_until=now + lease_s)
        .returning(*columns)
    )
    by_id = {row.id: dict(row._mapping) for row in taken}
    return [by_id[id_] for id_ in ids if id_ in by_id]
