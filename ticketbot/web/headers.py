"""Which headers keep a page harmless?"""

from __future__ import annotations

from flask import g, request
from werkzeug.wrappers import Response

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# For what came from outside, even re-encoded: nothing runs, nothing loads.
PICTURE_CSP = "sandbox; default-src 'none'"
PERMISSIONS = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()"


def add(response: Response, *, secure: bool) -> Response:
    """Add to a response what every response has; what a view set itself stays."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", PAGE_CSP)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = PERMISSIONS
    headers["X-Request-Id"] = g.get("request_id", "")
    if secure:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    if not _is_static() and "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    return response


def _is_static() -> bool:
    return request.endpoint is not None and (request.endpoint == "static" or request.endpoint.endswith(".static"))
