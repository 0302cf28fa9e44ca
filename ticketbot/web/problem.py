"""What does a caller see when something went wrong?

Programs get application/problem+json (RFC 9457) with our `code`; browsers get a page. An unexpected error shows an id
that is also in the log, and nothing else.
"""

from __future__ import annotations

import logging
import math
import secrets
from http import HTTPStatus
from typing import Any

from flask import Flask, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from ticketbot.errors import RETRYABLE_CODES, STATUS_BY_CODE, TicketbotError
from ticketbot.web import i18n
from ticketbot.web.access import need_of
from ticketbot.web.i18n import N_, _

log = logging.getLogger(__name__)

# Who is told 503 asks again after so many seconds, unless somebody knows better.
AGAIN_S = 10
CODE_BY_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    429: "rate_limited",
    503: "busy",
}
WHAT_NOW = {
    400: N_("The request was not understood."),
    404: N_("There is nothing at this address."),
    405: N_("This address cannot be used that way."),
    413: N_("That is more than we take at once."),
}
# What a page is headed with; programs get the standard's own phrase.
HEADINGS = {
    400: N_("That did not work"),
    401: N_("Sign in first"),
    403: N_("You may not do this"),
    404: N_("Not found"),
    405: N_("That did not work"),
    409: N_("Somebody was quicker"),
    413: N_("Too large"),
    422: N_("Not a picture"),
    429: N_("Too many requests"),
    500: N_("An error of ours"),
    503: N_("Not now"),
}


def install(app: Flask) -> None:
    app.register_error_handler(TicketbotError, _known)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _http)
    for lost in (OperationalError, InterfaceError, PoolExhausted):
        app.register_error_handler(lost, _database)
    app.register_error_handler(Exception, _unexpected)


def answer(code: str, detail: str, *, status: int | None = None, **more: Any) -> Response:
    """The refusal for this caller: problem+json, or a page. `more` are further members of the JSON."""
    status = status or STATUS_BY_CODE[code]
    title = HTTPStatus(status).phrase
    if wants_page():
        response = Response(
            render_template("error.html", status=status, title=heading(status), detail=detail, **more),
            mimetype="text/html",
        )
    else:
        about = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
        response = jsonify(**about, retryable=code in RETRYABLE_CODES, request_id=g.get("request_id", ""), **more)
        response.mimetype = "application/problem+json"
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif status == 503:
        response.headers["Retry-After"] = str(AGAIN_S)
    return response


def heading(status: int) -> str:
    """The page's title in the reader's language."""
    return i18n.gettext(HEADINGS[status]) if status in HEADINGS else HTTPStatus(status).phrase


def wants_page() -> bool:
    """Browsers name text/html; programs do not. An API answers JSON to both."""
    need = need_of(request.endpoint) if request.routing_exception is None else None
    if (need is not None and need.api) or request.is_json:
        return False
    return any(kind.lower() == "text/html" and quality > 0 for kind, quality in request.accept_mimetypes)


def _known(error: TicketbotError) -> Response:
    if error.status >= 500:
        log.warning("refused", extra={"code": error.code, "detail": str(error)})
    response = answer(error.code, str(error))
    wait_s = getattr(error, "wait_s", None)  # of those who know when it is worth trying again
    if wait_s is not None:
        response.headers["Retry-After"] = str(math.ceil(wait_s))
    return response


def _stale_form(_error: CSRFError) -> Response:
    return answer("csrf", _("This form is out of date. Load the page again and repeat what you did."))


def _http(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()
    code = CODE_BY_STATUS.get(error.code, "bad_request" if error.code < 500 else "internal")
    said = i18n.gettext(WHAT_NOW[error.code]) if error.code in WHAT_NOW else HTTPStatus(error.code).phrase + "."
    response = answer(code, said, status=error.code)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _database(error: Exception) -> Response:
    """Down, locked, full or restarting: it passes, so 503 and not 500. Nothing was changed: the transaction is gone."""
    return _ours("busy", error)


def _unexpected(error: Exception) -> Response:
    return _ours("internal", error)


def _ours(code: str, error: Exception) -> Response:
    g.setdefault("caller", None)  # the error page must not ask a database that may be down
    error_id = secrets.token_hex(6)
    log.error("unexpected error %s", error_id, exc_info=error, extra={"error_id": error_id})
    detail = _("Something went wrong on our side. The administrator finds it in the log by this id.")
    return answer(code, detail, error_id=error_id)
