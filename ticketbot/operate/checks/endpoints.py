"""The ticket systems: may we call them, do they answer, do they know the time, and do we have a secret for them?

Asked with a GET, which no receiver takes for an event; whatever it answers, it is there. Only a person's test
(`tested`) is sent as an event is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy.orm import Session

from ticketbot.db import migrate
from ticketbot.db.models import EndpointState
from ticketbot.deliver import keys
from ticketbot.deliver.finish import SKEW_S, Report, clock_skew_s
from ticketbot.errors import AddressRefused, FetchError, SettingsError
from ticketbot.net import fetch
from ticketbot.operate import plainly
from ticketbot.operate.checks.finding import Finding, Patient, fault, note, ok
from ticketbot.settings import Endpoint
from ticketbot.web.i18n import N_, _

ASK_S = 10.0
# What the guard says of an address it does not let us call.
NOT_CALLED = ("address_refused", "port_refused", "scheme_refused", "userinfo_refused", "url_malformed", "url_missing")
REDIRECTS = (301, 302, 303, 307, 308)
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
    except (AddressRefused, FetchError) as error:
        yield _unreached(name, url, error.code)
        return
    skew_s = clock_skew_s(reply.headers, patient.now())
    if skew_s is not None and abs(skew_s) > SKEW_S:
        yield _skewed(name, skew_s)
    elif reply.status in REDIRECTS and not endpoint.preset:
        yield _redirected(name, url, reply.headers)
    elif reply.status in (404, 410, 502, 503, 504):
        said = _("%(url)s answers %(status)s to a GET", url=url, status=reply.status)
        yield note(check, said, _("right if it takes POST only; else look at its url"))
    else:
        yield ok(check, _("%(url)s answers (status %(status)s to a GET)", url=url, status=reply.status))


def tested(name: str, endpoint: Endpoint, report: Report | None, now: float) -> list[Finding]:
    """What became of a test that was sent as an event is; None: there is no secret to sign with."""
    check, url = f"endpoint {name}", plainly.without_password(endpoint.url)
    if report is None:
        return [_no_secret(name)]
    status = report.outcome.status
    if status is None:
        return [_unreached(name, url, str(report.outcome.error))]
    skew_s = clock_skew_s(report.headers, now)
    found = [_skewed(name, skew_s)] if skew_s is not None and abs(skew_s) > SKEW_S else []
    if 200 <= status < 300:
        ms = round((report.ended_at - report.at) * 1000)
        return [
            ok(check, _("it took a signed test event (status %(status)s, %(ms)s ms)", status=status, ms=ms)),
            *found,
        ]
    if status in REDIRECTS:
        return [_redirected(name, url, report.headers), *found]
    said = _("it refused a signed test event with status %(status)s", status=status)
    if status in (401, 403):
        do = _("does it know the newest secret, and does it check the bytes as they came?")
    elif status == 410:
        do = _("an event answered so switches the endpoint off")
    else:
        do = _("an event answered so is tried again")
    return [fault(check, said, do), *found]


def _unreached(name: str, url: str, code: str) -> Finding:
    """`code`: why we may not call it, or what went wrong when we did."""
    check = f"endpoint {name}"
    if code in NOT_CALLED:
        do = _("name its host in %(key)s when it is your own system", key=f"endpoints.{name}.allow")
        return fault(check, _("%(url)s may not be called (%(code)s)", url=url, code=code), do)
    said = _(WORDS[code], url=url) if code in WORDS else f"{url} {code}"
    do = _("is it running, and does the firewall let us through? %(key)s", key=f"endpoints.{name}")
    return fault(check, said, do)


def _skewed(name: str, skew_s: float) -> Finding:
    do = _("set both by NTP: signatures older or newer than 300 s are refused")
    return fault(f"endpoint {name}", _("its clock is %(s)s s away from ours", s=f"{skew_s:+.0f}"), do)


def _redirected(name: str, url: str, headers: Mapping[str, str]) -> Finding:
    to = headers.get("location", "somewhere")[:200]
    said = _("%(url)s redirects to %(to)s, and redirects are never followed", url=url, to=to)
    return fault(f"endpoint {name}", said, _("correct %(key)s", key=f"endpoints.{name}.url"))


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
        yield _no_secret(name)


def _no_secret(name: str) -> Finding:
    do = _("%(command)s, and give it to the receiver", command=f"ticketbot endpoints secret {name}")
    return fault(f"endpoint {name}", _("there is no secret to sign with, so nothing is sent"), do)


def _kept(session: Session, name: str) -> list[object]:
    state = session.get(EndpointState, name)
    return [] if state is None else list(state.secrets)
