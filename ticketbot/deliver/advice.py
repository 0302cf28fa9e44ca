"""What is to be done when a ticket system did not take an answer? One sentence for the person who set it up."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from ticketbot.deliver.preset import CONFLICTS, NO_JSON, WEB_PAGE, Run, Told
from ticketbot.systems.calls import System

REDIRECTS = frozenset({301, 302, 303, 307, 308})


def advice(system: System, run: Run, ticket: str) -> str:
    """For a run that failed; empty for one that went well."""
    if run.outcome.ok or not run.told:
        return ""
    last = run.told[-1]
    return _unanswered(system, run) if last.status is None else _answered(system, run, last, ticket)


def _unanswered(system: System, run: Run) -> str:
    """Nothing came back: `error` is a code of errors.STATUS_BY_CODE."""
    key, host = f"endpoints.{system.name}", _host(system.base)
    match run.outcome.error:
        case "address_refused" | "port_refused":
            return f"{host} is inside your network or not a web port, so it must be named: {key}.allow = [{host!r}]"
        case "tls_failed":
            return (
                f"the certificate of {host} is not one this machine trusts (self-signed, expired, or another name's): "
                "add its authority to the system's trust store, or name it in SSL_CERT_FILE"
            )
        case "fetch_failed":
            return f"nothing answers at {host}: is {key}.url right (http or https, port), and does the system run?"
        case "fetch_timeout":
            return (
                f"{host} did not answer in time: is it reachable from here? If it is just slow, raise deliver.timeout_s"
            )
        case _:
            return f"{key}.url is no address that can be called: it should look like https://desk.example.com"


def _answered(system: System, run: Run, last: Told, ticket: str) -> str:
    key, about = f"endpoints.{system.name}", f"`ticketbot preset show {system.endpoint.preset}`"
    status = last.status or 0
    if status in REDIRECTS:
        to = urljoin(last.url, run.headers.get("location", ""))
        return f"it sends us on to {system.hide(to)}, and no redirect is followed: {_new_address(last.url, to, key)}"
    if status == 401:
        return f"it does not accept our login: look at {_login(system, key)}; {about} says what it needs"
    if status == 403:
        return (
            f"our user may not do this: compare its rights with {about}. Or its login is wrong: {_login(system, key)}"
        )
    if status in (404, 410):
        if _is_about_ticket(system, last):
            return _no_ticket(ticket, key, about)
        return f"there is no such API at this address: compare {key}.url with what {about} says of it"
    if status in CONFLICTS:
        return "somebody or something changes this ticket all the time: try again, or take another ticket"
    if status in (429, 503):
        return f"it asks us to come back later{_when(run)}: try again then"
    if status >= 500:
        return f"it failed, and its answer above or its own log says why: a wrong name in {key}.values can be the cause"
    if 200 <= status < 300:
        return _said_yes(system, last, ticket, key, about)
    return f"it does not take what was sent, and says why above: compare {key}'s values, names and secrets with {about}"


def _said_yes(system: System, last: Told, ticket: str, key: str, about: str) -> str:
    if last.why in (WEB_PAGE, NO_JSON):
        return (
            f"a page for people answers where the API should: is {key}.url as {about} says, and is the API switched on?"
        )
    if last.why.startswith("the answer says"):
        return f"its answer says why: compare {_login(system, key)}, the ticket and our user's rights with {about}"
    if any(last.step == step.name for step in system.preset.reads):
        return _no_ticket(ticket, key, about)
    return f"compare {key}.values, {key}.names and our user's rights with {about}"


def _no_ticket(ticket: str, key: str, about: str) -> str:
    return (
        f"there is no ticket {ticket!r} that our user may see (many systems want the id of the address, not "
        f"the number people see), or {key}.url is not the address that {about} asks for"
    )


def _new_address(asked: str, to: str, key: str) -> str:
    before, after = urlsplit(asked), urlsplit(to)
    if before.path == after.path and before.query == after.query:
        return f"put {after.scheme}://{after.netloc} into {key}.url"
    return (
        f"if that is a page to log in, our login was not accepted or the API is off; else {key}.url should begin there"
    )


def _login(system: System, key: str) -> str:
    names = [f"{key}.secrets.{name}" for name in system.preset.secrets if system.endpoint.secrets.get(name)]
    names += [f"{key}.values.user"] if system.values.get("user") else []
    return " and ".join(names) or f"{key}.secrets"


def _is_about_ticket(system: System, last: Told) -> bool:
    return any("{ticket" in step.path for step in system.preset.steps if step.name == last.step)


def _when(run: Run) -> str:
    return f" (in {run.outcome.retry_after} s)" if (run.outcome.retry_after or "").isdigit() else ""


def _host(url: str) -> str:
    return urlsplit(url).netloc
