"""The ticket systems: may we call them, do they answer, do they know the time, and do we have a secret for them?

Asked with a GET, which no receiver takes for an event; whatever it answers, it is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from ticketbot.db import migrate
from ticketbot.db.models import EndpointState
from ticketbot.deliver import keys
from ticketbot.deliver.finish import SKEW_S, clock_skew_s
from ticketbot.errors import AddressRefused, FetchError, SettingsError
from ticketbot.net import fetch
from ticketbot.operate import plainly
from ticketbot.operate.checks.finding import Finding, Patient, fault, note, ok
from ticketbot.settings import Endpoint

ASK_S = 10.0
WORDS = {
    "fetch_timeout": "does not answer in time",
    "tls_failed": "has a certificate that this machine does not trust",
    "fetch_failed": "does not answer",
}


def answering(patient: Patient) -> Iterator[Finding]:
    if not patient.settings.endpoints:
        yield note("endpoint", "none: nobody is told", "add a section [endpoints.desk] with its url")
    for name, endpoint in patient.settings.endpoints.items():
        found = look_at(name, endpoint, patient)
        yield from found
        if endpoint.mode == "dry_run" and all(one.level != "fault" for one in found):
            do = f'look at `ticketbot answers`; then mode = "live", and: ticketbot endpoints release {name}'
            yield note(f"endpoint {name}", "dry run: answers are written down, not sent", do)


def look_at(name: str, endpoint: Endpoint, patient: Patient) -> list[Finding]:
    """One endpoint: is it there, and could we sign for it? A preset brings secrets of its own."""
    return [*_reachable(name, endpoint, patient), *([] if endpoint.preset else _secret(name, patient))]


def _reachable(name: str, endpoint: Endpoint, patient: Patient) -> Iterator[Finding]:
    check = f"endpoint {name}"
    url = plainly.without_password(endpoint.url)
    try:
        reply = fetch.request("GET", endpoint.url, deadline_s=ASK_S, allow=endpoint.allow)
    except AddressRefused as error:
        do = f"name its host in endpoints.{name}.allow when it is your own system"
        yield fault(check, f"{url} may not be called ({error.code})", do)
        return
    except FetchError as error:
        word = WORDS.get(error.code, error.code)
        yield fault(check, f"{url} {word}", "is it running, and does the firewall let us through? endpoints." + name)
        return
    skew_s = clock_skew_s(reply.headers, patient.now())
    if skew_s is not None and abs(skew_s) > SKEW_S:
        do = "set both by NTP: signatures older or newer than 300 s are refused"
        yield fault(check, f"its clock is {skew_s:+.0f} s away from ours", do)
    elif reply.status in (301, 302, 303, 307, 308) and not endpoint.preset:
        to = reply.headers.get("location", "somewhere")[:200]
        yield fault(
            check, f"{url} redirects to {to}, and redirects are never followed", f"correct endpoints.{name}.url"
        )
    elif reply.status in (404, 410, 502, 503, 504):
        yield note(check, f"{url} answers {reply.status} to a GET", "right if it takes POST only; else look at its url")
    else:
        yield ok(check, f"{url} answers (status {reply.status} to a GET)")


def _secret(name: str, patient: Patient) -> Iterator[Finding]:
    check = f"endpoint {name}"
    kept = []
    if patient.db is not None and migrate.current(patient.db) == migrate.head(patient.db):
        with patient.db.read() as session:
            kept = _kept(session, name)
    try:
        secrets = keys.signing(patient.settings, name, kept, patient.now())
    except SettingsError as error:
        yield fault(check, str(error), f"ticketbot endpoints secret {name}")
        return
    if not secrets:
        do = f"ticketbot endpoints secret {name}, and give it to the receiver"
        yield fault(check, "there is no secret to sign with, so nothing is sent", do)


def _kept(session: Session, name: str) -> list[object]:
    state = session.get(EndpointState, name)
    return [] if state is None else list(state.secrets)
