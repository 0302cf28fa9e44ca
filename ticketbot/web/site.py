"""How is the web app put together?

`create_app(services, blueprints)`: the stages bring their pages as blueprints, so this package knows none of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, current_app, request, url_for
from flask.json.provider import DefaultJSONProvider
from flask_wtf.csrf import CSRFError, CSRFProtect
from jinja2 import StrictUndefined
from werkzeug.exceptions import RequestEntityTooLarge, SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response

from ticketbot.settings import Settings
from ticketbot.web import access, headers, health, i18n, pages, problem, requestlog, setup, texts
from ticketbot.web.context import KEY, Services, services
from ticketbot.web.i18n import N_
from ticketbot.web.keys import secret_key

MB = 2**20
MAX_FORM_FIELD_BYTES = 100_000
MAX_FORM_PARTS = 50
# endpoint, title, the scope it needs: shown in this order, those whose stage brought a page.
MENU = (
    ("overview.show", N_("Overview"), "read"),
    ("label.page", N_("Label"), "label"),
    ("clean.page", N_("Clean"), "label"),
    ("tickets.show", N_("Tickets"), "read"),
    ("models.show", N_("Models"), "read"),
    ("try.show", N_("Try"), "classify"),
    ("setup.show", N_("Set-up"), "admin"),
)
csrf = CSRFProtect()


class Json(DefaultJSONProvider):
    """What nests too deep for Python, or holds lone surrogates, is bad JSON and no error of ours."""

    def loads(self, s: str | bytes, **options: Any) -> Any:
        try:
            found = super().loads(s, **options)
            json.dumps(found, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
        except RecursionError:
            raise ValueError("nested too deep") from None
        return found


def create_app(made: Services, blueprints: Iterable[Blueprint] = ()) -> Flask:
    """The WSGI app. Raises TypeError when a view does not say what it needs."""
    app = Flask(__name__)
    app.json = Json(app)
    app.url_map.merge_slashes = False  # "//" is another address: not found, and no redirect that nobody documented
    app.extensions[KEY] = made
    app.config.update(_config(made))
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters.update(texts.FILTERS)
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(i18n.gettext, i18n.ngettext, newstyle=True)  # type: ignore[attr-defined]
    csrf.init_app(app)
    app.before_request(_gate)
    app.after_request(lambda response: headers.add(response, secure=made.secure))
    app.after_request(requestlog.end)
    app.context_processor(_for_templates)
    problem.install(app)
    for blueprint in (health.blueprint, pages.blueprint, setup.blueprint, *blueprints):
        app.register_blueprint(blueprint)
    _check_views(app)
    if hops := made.settings.web.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _config(made: Services) -> dict[str, Any]:
    settings = made.settings
    return {
        "SECRET_KEY": secret_key(settings),
        "SESSION_COOKIE_NAME": "__Host-ticketbot" if made.secure else "ticketbot",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": made.secure,
        "MAX_CONTENT_LENGTH": settings.web.body_max_mb * MB,
        "MAX_FORM_MEMORY_SIZE": MAX_FORM_FIELD_BYTES,
        "MAX_FORM_PARTS": MAX_FORM_PARTS,
        "WTF_CSRF_CHECK_DEFAULT": False,  # _gate asks, after it knows who calls
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the session: people leave the label page open
        "WTF_CSRF_SSL_STRICT": False,  # we send no referrer; _gate looks at Sec-Fetch-Site instead
    }


def is_ours(host: str, settings: Settings) -> bool:
    """Is this Host header a name we answer to? Werkzeug's own check cannot match an IPv6 address."""
    name = re.sub(r":\d*$", "", host.lower())
    own = urlsplit(settings.general.base_url).hostname or ""
    known = ["localhost", "127.0.0.1", "::1", own, *settings.web.trusted_hosts]
    name = name.removeprefix("[").removesuffix("]")
    return "*" in known or any(name == each or (each[:1] == "." and f".{name}".endswith(each)) for each in known)


def _gate() -> Response | None:
    """Before each request, in this order: an id, the host, the size, is it forged, may they."""
    requestlog.begin()
    if not is_ours(request.host, services().settings):
        raise SecurityError("add the host name to web.trusted_hosts")
    _limit_size()
    changes = request.method not in ("GET", "HEAD", "OPTIONS") and request.routing_exception is None
    if changes and "token" not in request.args and access.needs_csrf():
        _refuse_forgery()
    return access.check()


def _limit_size() -> None:
    settings = services().settings
    if request.method == "POST" and request.path in ("/classify", "/try"):
        request.max_content_length = settings.web.upload_max_mb * MB
    elif request.mimetype == "application/x-www-form-urlencoded":
        request.max_content_length = MAX_FORM_FIELD_BYTES  # werkzeug limits fields of multipart forms only
    limit = request.max_content_length
    if limit is not None and (request.content_length or 0) > limit:
        raise RequestEntityTooLarge


def _refuse_forgery() -> None:
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise CSRFError("sent by another site")
    csrf.protect()


def _for_templates() -> dict[str, Any]:
    found = access.caller()
    menu = [
        {"url": url_for(endpoint), "title": i18n.gettext(title), "here": request.blueprint == endpoint.split(".")[0]}
        for endpoint, title, scope in MENU
        if found is not None and found.may(scope) and endpoint in current_app.view_functions
    ]
    shown = {"caller": found, "menu": menu, "asset": asset, "now": services().now(), "language": i18n.language()}
    return {**shown, "has_page": current_app.view_functions.__contains__}


_versions: dict[str, str] = {}


def asset(endpoint: str, filename: str) -> str:
    """The address of a static file, with a version, so that browsers may keep it."""
    holder = current_app.blueprints[endpoint.split(".")[0]] if "." in endpoint else current_app
    path = Path(str(holder.static_folder)) / filename
    if str(path) not in _versions:
        _versions[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return url_for(endpoint, filename=filename, v=_versions[str(path)])


def _check_views(app: Flask) -> None:
    for endpoint, view in app.view_functions.items():
        if endpoint != "static" and not endpoint.endswith(".static") and not hasattr(view, "need"):
            raise TypeError(f"the view {endpoint} does not say what it needs: add @needs(…) or @public")
