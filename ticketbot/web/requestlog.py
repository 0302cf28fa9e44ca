"""What was asked, how did it end, how long did it take? One line a request, without anything secret or forged."""

from __future__ import annotations

import logging
import re
import secrets
import time
from urllib.parse import quote

from flask import g, request
from werkzeug.wrappers import Response

from ticketbot import logs, measures

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds by whatever watches us.
QUIET = ("metrics.show", "health.alive", "health.ready")


def begin() -> None:
    """Before each request. An id that a proxy gave is kept, if it looks like one."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    g.started = time.perf_counter()
    logs.request_id.set(g.request_id)
    logs.picture.set("")


def end(response: Response) -> Response:
    level = logging.DEBUG if request.endpoint in QUIET or _is_static() else logging.INFO
    took_s = time.perf_counter() - g.get("started", time.perf_counter())
    took_ms = round(took_s * 1000)
    if level == logging.INFO:
        method = request.method if request.method in METHODS else "other"
        measures.count("ticketbot_http_requests_total", method, str(response.status_code))
        measures.observe("ticketbot_http_request_duration_seconds", took_s, method)
    log.log(
        level,
        "%s %s %d %d ms",
        request.method if request.method.isalpha() else "?",
        shown_path(),
        response.status_code,
        took_ms,
        extra={
            "request_id": g.get("request_id", ""),
            "method": request.method[:16],
            "path": shown_path(),
            "status": response.status_code,
            "took_ms": took_ms,
            "address": request.remote_addr,
        },
    )
    return response


def shown_path() -> str:
    """The path as one harmless word, secrets in it left out; of the query only which keys there were."""
    path = "/invite/…" if request.path.startswith("/invite/") else quote(request.path[:200], safe="/._-~:@+")
    keys = "&".join(f"{quote(key[:40], safe='')}=…" for key in list(request.args)[:10])
    return f"{path}?{keys}" if keys else path


def _is_static() -> bool:
    return request.endpoint is not None and request.endpoint.endswith("static")
