"""Who is calling, and may they?

A signed-in browser and an API token are the same kind of caller here: a name and scopes. Every view says what it needs
(`@needs("read")`, `@needs("classify", api=True)`, `@public` or
`@signed`); the app refuses to start with one that does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

from flask import current_app, g, redirect, request, session, url_for
from werkzeug.wrappers import Response

from ticketbot.errors import Refused
from ticketbot.web import accounts, tokens
from ticketbot.web.context import services
from ticketbot.web.i18n import _
from ticketbot.web.limits import Rate

View = TypeVar("View", bound=Callable[..., Any])
SESSION_KEY = "sid"


@dataclass(frozen=True)
class Need:
    """What a view needs. `scope` None: nothing. `api`: programs call it, so refusals are always JSON."""

    scope: str | None
    api: bool = False


@dataclass(frozen=True)
class Caller:
    """Somebody known. `name` goes into label events and the audit trail."""

    name: str
    scopes: frozenset[str]
    kind: Literal["browser", "token"]
    role: str = ""
    account_id: int = 0
    # Code of the language this person chose; "": as the browser asks.
    language: str = ""

    def may(self, scope: str) -> bool:
        return scope in self.scopes


class TooMany(Refused):
    """Somebody tries too often; `wait_s` becomes Retry-After."""

    def __init__(self, wait_s: float, detail: str = "") -> None:
        super().__init__("rate_limited", detail or _("Too many requests; wait a little."))
        self.wait_s = wait_s


def needs(scope: str, *, api: bool = False) -> Callable[[View], View]:
    """The view needs a caller with this scope: classify, read, label or admin."""
    return _marked(Need(scope, api))


def public(view: View) -> View:
    """The view is for everybody."""
    return _marked(Need(None))(view)


def signed(view: View) -> View:
    """The view is for programs that have no token of ours: it checks a signature itself, before anything else."""
    return _marked(Need(None, api=True))(view)


def _marked(need: Need) -> Callable[[View], View]:
    def mark(view: View) -> View:
        cast(Any, view).need = need
        return view

    return mark


def need_of(endpoint: str | None) -> Need | None:
    """What the view of an endpoint needs; None for static files and where no view was found."""
    if endpoint is None or endpoint == "static" or endpoint.endswith(".static"):
        return None
    return getattr(current_app.view_functions[endpoint], "need", None)


def caller() -> Caller | None:
    """Who calls, looked up once a request. Raises Refused for a token that is not good."""
    if "caller" not in g:
        g.caller = _by_token() if "Authorization" in request.headers else _by_session()
    found: Caller | None = g.caller
    return found


def known_caller() -> Caller:
    """The caller of a view that needs one."""
    found = caller()
    if found is None:
        raise Refused("unauthorized", _("Sign in first."))
    return found


def _by_token() -> Caller:
    g.caller = None  # an error page asks again
    kind, _space, text = request.headers["Authorization"].partition(" ")
    made = services()
    now = made.now()
    with made.db.read() as reading:
        token = tokens.find(reading, text.strip(), now) if kind.lower() == "bearer" else None
    if token is None:
        raise Refused("unauthorized", _("This token is unknown, expired or revoked."))
    if now - (token.used_at or 0) >= tokens.USED_EVERY_S:
        with made.db.write() as writing:
            tokens.touch(writing, token.id, now)
    return Caller(f"token:{token.name}", frozenset(token.scopes.split()), "token")


def _by_session() -> Caller | None:
    secret = session.get(SESSION_KEY)
    if not secret:
        return None
    made = services()
    now = made.now()
    with made.db.read() as reading:
        found = accounts.signed_in(reading, secret, now)
    if found is None:
        return None
    account, web_session = found
    if now - web_session.seen_at >= accounts.SEEN_EVERY_S:
        with made.db.write() as writing:
            accounts.touch(writing, web_session.hash, now)
    scopes = accounts.SCOPES_OF_ROLE[account.role]
    return Caller(account.name, scopes, "browser", account.role, account.id, account.language or "")


def check() -> Response | None:
    """Before each request: let the caller through (None), send a browser to the sign-in page, or raise Refused."""
    if "token" in request.args:
        raise Refused("unauthorized", "A token belongs in the header 'Authorization: Bearer …', never in the address.")
    need = need_of(request.endpoint)
    if need is None or need.scope is None:
        return None
    found = caller()
    if need.scope == "classify":
        _pay(found)
        if found is None and need.api and not services().settings.classify.token_required:
            return None
    if found is not None and found.may(need.scope):
        return None
    if found is not None:
        raise Refused("forbidden", _("This needs the permission '%(scope)s'.", scope=need.scope))
    if need.api or request.method not in ("GET", "HEAD"):
        raise Refused("unauthorized", "Sign in, or send a token as 'Authorization: Bearer …'.")
    return redirect(url_for("account.login", next=request.full_path.rstrip("?")))


def _pay(found: Caller | None) -> None:
    made = services()
    key = f"{found.kind}:{found.name}" if found else f"address:{request.remote_addr}"
    wait = made.buckets.take(key, Rate(made.settings.classify.rate_per_minute), made.now())
    if wait:
        raise TooMany(wait)


def needs_csrf() -> bool:
    """A request with a good token is not sent by a browser on its own, and neither is an API call without a session."""
    need = need_of(request.endpoint)
    if need is None:
        return False
    if need.scope is None and need.api:
        return False  # verifies its callers itself; an Authorization header there is not one of our tokens
    found = caller()
    if found is None:
        return not need.api
    return found.kind == "browser"


def safe_next(target: str | None) -> str:
    """Where to go after signing in: a path on this site, or /."""
    if (
        not target
        or not target.startswith("/")
        or target.startswith("//")
        or "\\" in target
        or not target.isprintable()
    ):
        return "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc else target
