"""What can people ask from the chat? `/ticketbot classify URL`, `status`, `ticket ID`, `help`, in Slack and Mattermost.

The request is verified (Slack: HMAC over time and body; Mattermost: its token), answered within three seconds, and what
takes longer is posted to the address the chat gave for that.
"""

from __future__ import annotations

import hmac
import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Blueprint, Flask, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from ticketbot.classify import api
from ticketbot.db.models import Ticket
from ticketbot.errors import Refused, SignatureRefused, TicketbotError
from ticketbot.net import fetch
from ticketbot.operate import pending
from ticketbot.systems import signature
from ticketbot.systems.preset import Inbound
from ticketbot.web.access import signed
from ticketbot.web.context import Services, services

log = logging.getLogger(__name__)

blueprint = Blueprint("chat", __name__)
# The chat waits for three; the rest is for the way.
AT_ONCE_S = 2.0
TOLERANCE_S = 300.0
SLACK = Inbound(
    scheme="hmac_sha256",
    header="X-Slack-Signature",
    prefix="v0=",
    signed="v0:{timestamp}:{body}",
    timestamp_header="X-Slack-Request-Timestamp",
)
HELP = """`/ticketbot classify URL` – what is the picture at this address?
`/ticketbot ticket ID` – what did we say about this ticket?
`/ticketbot status` – what waits, is anything stuck?"""
_workers = ThreadPoolExecutor(4, thread_name_prefix="chat")


@blueprint.post("/chat/slack")
@signed
def slack() -> ResponseReturnValue:
    secret = services().settings.chat.slack_secret
    if not secret:
        raise Refused("not_found", "chat.slack_secret is not set.")
    body = request.get_data(cache=False)
    now = services().now()
    rules: dict[str, Any] = {"address": "", "callers": (), "now": now, "tolerance_s": TOLERANCE_S}
    signature.verify(SLACK, secret, body, dict(request.headers), **rules)
    return _answer(_form(body))


@blueprint.post("/chat/mattermost")
@signed
def mattermost() -> ResponseReturnValue:
    token = services().settings.chat.mattermost_token
    if not token:
        raise Refused("not_found", "chat.mattermost_token is not set.")
    form = _form(request.get_data(cache=False))
    if not hmac.compare_digest(form.get("token", "").encode(), token.encode()):
        raise SignatureRefused("the token is not ours")
    return _answer(form)


def _form(body: bytes) -> dict[str, str]:
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=50)
    return {name: values[0] for name, values in fields.items()}


def _answer(form: dict[str, str]) -> ResponseReturnValue:
    """At once, or 'a moment' and the rest later."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    work = _workers.submit(_in_context, app, form.get("text", ""))
    try:
        return jsonify(response_type="ephemeral", text=work.result(AT_ONCE_S))
    except TooSlow:
        later = form.get("response_url", "")
        allow = services().settings.chat.allow
        work.add_done_callback(lambda done: _post(later, done, allow))
        return jsonify(response_type="ephemeral", text="A moment…")


def _in_context(app: Flask, text: str) -> str:
    with app.app_context():
        return said(services(), text)


def said(made: Services, text: str) -> str:
    """What we answer to the words after /ticketbot."""
    word, _, rest = text.strip().partition(" ")
    rest = rest.strip().strip("<>")  # Slack writes addresses like <https://…>
    try:
        if word == "classify" and rest:
            return _classified(rest)
        if word == "ticket" and rest:
            return _ticket(made, rest)
        if word == "status":
            return _status(made)
    except TicketbotError as error:
        return f"That did not work: {error}"
    return HELP


def _classified(url: str) -> str:
    found = api.of_url(url)
    best = ", ".join(f"{name} {share:.0%}" for name, share in found["predictions"][:3])
    return f"*{found['category'] or 'unsure, a person should look'}* ({best})"


def _ticket(made: Services, ticket: str) -> str:
    query = select(Ticket).where(Ticket.ticket == ticket, Ticket.category.is_not(None)).limit(10)
    with made.db.read() as session:
        rows = list(session.scalars(query))
    lines = []
    for row in rows:
        sure = "" if row.confidence is None else f", {row.confidence:.0%}"
        who = "a person" if row.by == "person" else f"model {row.by}"
        lines.append(f"{row.endpoint}: *{row.category}*{sure} ({who})")
    return "\n".join(lines) or "We said nothing about this ticket."


def _status(made: Services) -> str:
    with made.db.read() as session:
        found = pending.look(session, made.settings, made.now())
    waits = [
        f"{count} {name.replace('_', ' ')}" for name, count in vars(found).items() if isinstance(count, int) and count
    ]
    return "\n".join([", ".join(waits) or "Nothing waits.", *(f"stuck: {text}" for text in found.stuck)])


def _post(url: str, work: Future[str], allow: tuple[str, ...]) -> None:
    """To the chat's own address for late answers; through the guard, because it came with the request."""
    error = work.exception()
    if error is not None:
        log.error("a chat command failed", exc_info=error)
    text = "That did not work; the log says why." if error is not None else work.result()
    if urlsplit(url).scheme not in ("https", "http"):
        return
    body = json.dumps({"response_type": "ephemeral", "text": text}).encode()
    try:
        fetch.post(url, body, {"Content-Type": "application/json"}, deadline_s=10.0, allow=allow)
    except Refused as refused:
        log.warning("a late answer could not be posted to the chat", extra={"code": refused.code})
