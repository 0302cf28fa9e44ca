"""Does the receiver take what we send? A signed event of the type endpoint.test, once, when a person asks.

Signed and posted as every other event (send.attempt), through the same guard. It is about no ticket and is not kept,
and what comes of it says nothing about the endpoint's health: a test may be made while nothing else is sent.
"""

from __future__ import annotations

from collections.abc import Callable

from ticketbot.contracts import events
from ticketbot.db import Database
from ticketbot.db.models import Audit, EndpointState
from ticketbot.deliver import keys
from ticketbot.deliver.claim import Claim
from ticketbot.deliver.finish import Report
from ticketbot.deliver.send import attempt
from ticketbot.deliver.ulid import message_id
from ticketbot.net import fetch
from ticketbot.settings import Settings


def send_test(db: Database, settings: Settings, endpoint: str, who: str, now: Callable[[], float]) -> Report | None:
    """Send it and say what came back; None: there is no secret to sign with. Raises SettingsError for a broken one."""
    at = now()
    with db.read() as session:
        state = session.get(EndpointState, endpoint)
        secrets = tuple(keys.signing(settings, endpoint, list(state.secrets) if state else [], at))
    if not secrets:
        return None
    body = events.test_body(at)
    one = Claim(message_id(at), endpoint, "", 0, body, token=0, attempts=0, probe=False, secrets=secrets)
    report = attempt(settings, one, now, fetch.post)
    with db.write() as session:
        detail = {"endpoint": endpoint, "id": one.id, "what": report.what}
        session.add(Audit(at=report.ended_at, who=who, what="endpoint tested", detail=detail))
    return report
