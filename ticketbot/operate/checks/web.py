"""The page: who listens on its port, and does a proxy in front hand through what we need?"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from ticketbot.db import migrate
from ticketbot.errors import AddressRefused, FetchError
from ticketbot.net import fetch
from ticketbot.operate.checks.finding import Finding, Patient, fault, note, ok
from ticketbot.web import tokens

ASK_S = 5.0
TOKEN_S = 60.0
LOCAL = ("127.0.0.1", "localhost", "::1")


def listening(patient: Patient) -> Iterator[Finding]:
    web = patient.settings.web
    host = "127.0.0.1" if web.host in ("0.0.0.0", "::") else web.host  # noqa: S104 - asked, not bound
    shown = f"http://{f'[{host}]' if ':' in host else host}:{web.port}"
    if web.port == 0:
        yield note("page", "web.port is 0: a port is chosen at each start")
        return
    try:
        socket.create_connection((host, web.port), timeout=ASK_S).close()
    except OSError:
        yield note(
            "page",
            f"nothing listens at {shown}: the service does not run",
            "systemctl start ticketbot-web ticketbot-worker, or ticketbot serve",
        )
        return
    answer = _ask(f"{shown}/readyz") or {}
    checks = answer.get("checks")
    if not isinstance(checks, dict):
        yield fault("page", f"another program listens at {shown}", "choose another web.port")
    elif not answer.get("ready"):
        missing = [name for name, how in checks.items() if how != "ok"]
        do = "look at these checks above, and at its log"
        if missing == ["worker"]:
            do = "nobody collects, classifies or delivers: systemctl start ticketbot-worker, or ticketbot serve"
        yield fault("page", f"the service at {shown} cannot work: {', '.join(missing)}", do)
    else:
        yield ok("page", f"the service answers at {shown}")


def proxy(patient: Patient) -> Iterator[Finding]:
    """Ask ourselves by base_url what we saw of that request."""
    settings = patient.settings
    base = urlsplit(settings.general.base_url)
    direct = base.hostname in (*LOCAL, settings.web.host) and settings.web.port in (0, base.port or 80)
    if direct:
        if settings.web.proxies:
            do = "set web.proxies = 0, or general.base_url to the address of the proxy"
            yield fault("proxy", "web.proxies says there is one, but base_url leads straight to us", do)
        return
    if base.scheme == "https" and not settings.web.proxies:
        yield fault(
            "proxy", "base_url is https, so a proxy stands in front, but web.proxies is 0", "set web.proxies = 1"
        )
        return
    seen = _seen(patient)
    if seen is None:
        do = "is the proxy running, and does its certificate hold here? (deploy/nginx.conf is an example)"
        yield note("proxy", f"{settings.general.base_url} could not be asked from this machine", do)
        return
    wrong = []
    if seen.get("scheme") != base.scheme:
        wrong.append(f"X-Forwarded-Proto ({seen.get('scheme')} arrives instead of {base.scheme})")
    if str(seen.get("host", "")).partition(":")[0] != base.hostname:
        wrong.append(f"X-Forwarded-Host or Host ({seen.get('host')} arrives instead of {base.hostname})")
    if not settings.web.proxies and seen.get("forwarded"):
        wrong.append("it sends X-Forwarded-For, but web.proxies is 0: all callers look like one")
    if wrong:
        yield fault("proxy", "; ".join(wrong), "see deploy/nginx.conf")
    else:
        yield ok("proxy", f"{settings.general.base_url} hands through scheme, host and caller")


def _seen(patient: Patient) -> dict[str, object] | None:
    """What /api/v1/me says about a request of ours that came by base_url, with a token that lives a minute."""
    db, now = patient.db, patient.now()
    if db is None or migrate.current(db) != migrate.head(db):
        return None
    with db.write() as session:
        token = tokens.make(session, "doctor", ["read"], now, now + TOKEN_S)
    try:
        answer = _ask(f"{patient.settings.general.base_url.rstrip('/')}/api/v1/me", token)
    finally:
        with db.write() as session:
            tokens.revoke(session, token.split("_")[1], now)
    seen = answer.get("seen") if answer else None
    return seen if isinstance(seen, dict) else None


def _ask(url: str, token: str = "") -> dict[str, object] | None:
    """The JSON object at an address of our own; None when there is none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        reply = fetch.request("GET", url, headers=headers, deadline_s=ASK_S, allow=[urlsplit(url).netloc])
        value = json.loads(reply.body)
    except (AddressRefused, FetchError, ValueError):
        return None
    return value if isinstance(value, dict) else None
