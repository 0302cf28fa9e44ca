"""What was asked, how did it end, how long did it take? One line a request, without anything secret or forged."""

from __future__ import annotations

import logging
import re
import secrets
import time
from urllib.parse import quote

from flask import g, request
from werkzeug.wrappers import Response

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
# Asked every few seconds by whatever watches us.
QUIET = ("health.alive", "health.ready")


def begin() -> None:
    """Before each request. An id that a proxy gave is kept, if it looks like one."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    g.started = time.perf_counter()


def end(response: Response) -> Response:
    level = logging.DEBUG if request.endpoint in QUIET or _is_static() else logging.INFO
    took_ms = round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000)
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
