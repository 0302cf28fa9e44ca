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
from ticketbot.web.i18n import N_, _

ASK_S = 10.0
WORDS = {
    "fetch_timeout": N_("%(url)s does not answer in time"),
    "tls_failed": N_("%(url)s has a certificate that this machine does not trust"),
    "fetch_failed": N_("%(url)s does not answer"),
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
        do = _("name its host in %(key)s when it is your own system", key=f"endpoints.{name}.allow")
        yield fault(check, _("%(url)s may not be called (%(code)s)", url=url, code=error.code), do)
        return
    except FetchError as error:
        said = _(WORDS[error.code], url=url) if error.code in WORDS else f"{url} {error.code}"
        do = _("is it running, and does the firewall let us through? %(key)s", key=f"endpoints.{name}")
        yield fault(check, said, do)
        return
    skew_s = clock_skew_s(reply.headers, patient.now())
    if skew_s is not None and abs(skew_s) > SKEW_S:
        do = _("set both by NTP: signatures older or newer than 300 s are refused")
        yield fault(check, _("its clock is %(s)s s away from ours", s=f"{skew_s:+.0f}"), do)
    elif reply.status in (301, 302, 303, 307, 308) and not endpoint.preset:
        to = reply.headers.get("location", "somewhere")[:200]
        said = _("%(url)s redirects to %(to)s, and redirects are never followed", url=url, to=to)
        yield fault(check, said, _("correct %(key)s", key=f"endpoints.{name}.url"))
    elif reply.status in (404, 410, 502, 503, 504):
        said = _("%(url)s answers %(status)s to a GET", url=url, status=reply.status)
        yield note(check, said, _("right if it takes POST only; else look at its url"))
    else:
        yield ok(check, _("%(url)s answers (status %(status)s to a GET)", url=url, status=reply.status))


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
        do = _("%(command)s, and give it to the receiver", command=f"ticketbot endpoints secret {name}")
        yield fault(check, _("there is no secret to sign with, so nothing is sent"), do)


def _kept(session: Session, name: str) -> list[object]:
    state = session.get(EndpointState, name)
    return [] if state is None else list(state.secrets)
