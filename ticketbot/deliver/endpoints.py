"""What do we know about an endpoint: is it allowed, is it well?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import EndpointState
from ticketbot.deliver.breaker import Health
from ticketbot.errors import AddressRefused, FetchError
from ticketbot.net import guard
from ticketbot.settings import Endpoint, Settings

FIELDS = [name for name in Health.__dataclass_fields__ if name != "recent"]


def check_url(endpoint: Endpoint, resolve: guard.Resolve | None = None) -> None:
    """May this endpoint be called? Raises AddressRefused, or FetchError when its name has no answer (now).

    Asked when the service starts and when somebody adds an endpoint; `net.fetch.post` asks again at every attempt.
    """
    guard.check(endpoint.url, resolve=resolve, allow=endpoint.allow, ports=None)


def refused(settings: Settings, resolve: guard.Resolve | None = None) -> dict[str, str]:
    """Endpoints that may not be called as they are set, each with its code: for the start and for `doctor`.

    A name that nobody knows right now is not refused: the network may come later.
    """
    found: dict[str, str] = {}
    for name, endpoint in settings.endpoints.items():
        try:
            check_url(endpoint, resolve)
        except AddressRefused as error:
            found[name] = error.code
        except FetchError:
            continue
    return found


def look(session: Session, endpoint: str) -> tuple[Health, list[Any]]:
    """Its health and its kept secrets, without a lock."""
    state = session.get(EndpointState, endpoint)
    return (Health(), []) if state is None else (health_of(state), state.secrets)


def state_of(session: Session, db: Database, endpoint: str) -> EndpointState:
    """The endpoint's row, made if need be, and locked until this transaction ends."""
    query = select(EndpointState).where(EndpointState.name == endpoint).with_for_update()
    found = session.execute(query).scalar_one_or_none()
    if found is None:
        healthy = {name: getattr(Health(), name) for name in FIELDS}
        values = {"name": endpoint, "recent": [], "secrets": [], **healthy}
        session.execute(db.insert(EndpointState).values(**values).on_conflict_do_nothing())
        found = session.execute(query).scalar_one()
    return found


def health_of(state: EndpointState) -> Health:
    """What the breaker looks at."""
    values = {name: getattr(state, name) for name in FIELDS}
    return Health(**values, recent=tuple((at, bool(ok)) for at, ok in state.recent))


def keep_health(state: EndpointState, health: Health) -> None:
    """Write the breaker's new values into the row."""
    for name in FIELDS:
        setattr(state, name, getattr(health, name))
    state.recent = [[at, int(ok)] for at, ok in health.recent]
