"""Where do answers go? The endpoints in Set-up: how each is, a test, a new secret, pause and resume.

    GET  /setup/endpoints
    POST /setup/endpoints/<name>/<deed>     test, secret, pause, resume, enable, release, dismiss

The deeds are those of the command line and the API (deliver/admin.py). A test is a signed event of a type of its own
(deliver/trial.py); a ticket system answered with its own API is only asked whether it is there, as the doctor does.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.db.models import EndpointState
from ticketbot.deliver import admin, alerts, claim, trial
from ticketbot.errors import Conflict, Refused, SettingsError
from ticketbot.operate import overview
from ticketbot.operate.checks.endpoints import look_at, tested
from ticketbot.operate.checks.finding import Patient, fault
from ticketbot.operate.tickets import lines
from ticketbot.settings import Settings
from ticketbot.web.access import known_caller, needs
from ticketbot.web.context import services
from ticketbot.web.i18n import _

blueprint = Blueprint("endpoints", __name__, url_prefix="/setup/endpoints", template_folder="templates")
# Of what a receiver answered to a test.
SHOWN_BYTES = 4096


@blueprint.get("")
@needs("admin")
def show() -> ResponseReturnValue:
    return _page()


def _page(status: int = 200, **shown: Any) -> ResponseReturnValue:
    """The page; `shown` once: a `problem`, a `secret`, or `findings` and `reply` of a test; `of` which endpoint."""
    made = services()
    with made.db.read() as session:
        rows = listed(session, made.settings, made.now())
        paused = claim.is_paused(session)
    return render_template("setup/endpoints.html", rows=rows, paused=paused, words=overview.WORDS, **shown), status


def listed(session: Session, settings: Settings, now: float) -> list[dict[str, Any]]:
    """Each configured endpoint with its health, its alerts, and which of our secrets sign for it."""
    states = {row.name: row for row in session.scalars(select(EndpointState))}
    raised = alerts.current(session)
    return [
        {
            "name": name,
            "endpoint": endpoint,
            "row": states.get(name),
            "health": overview.health(states.get(name), now),
            "paused": claim.is_paused(session, name),
            "alerts": [one for one in raised if one.endpoint == name],
            "until": ending(states.get(name), now),
            "has_secret": bool(endpoint.secret or (name in states and states[name].secrets)),
        }
        for name, endpoint in settings.endpoints.items()
    ]


def ending(state: EndpointState | None, now: float) -> float | None:
    """Until when an older secret signs beside the newest (Unix seconds); None when only one does."""
    ends = [one["until"] for one in (state.secrets if state else []) if one["until"] is not None and one["until"] > now]
    return max(ends, default=None)


@blueprint.post("/<name>/<deed>")
@needs("admin")
def do(name: str, deed: str) -> ResponseReturnValue:
    made, who = services(), known_caller().name
    db, settings, now = made.db, made.settings, made.now()
    if name not in settings.endpoints:
        raise Refused("not_found", _("There is no such endpoint."))
    if deed == "test":
        return _test(name)
    if deed == "secret":
        return _page(of=name, secret=admin.rotate_secret(db, settings, name, who, now))
    if deed == "pause":
        admin.pause(db, who, now, name)
    elif deed == "resume":
        admin.resume(db, who, now, name)
    elif deed == "enable":
        admin.enable(db, name, who, now)
    elif deed == "dismiss":
        admin.dismiss(db, name, request.form.get("code", ""), who, now)
    elif deed == "release":
        try:
            admin.release(db, settings, name, who, now)
        except Conflict:
            return _page(409, problem=_("It is still in dry run: set its mode to live in the settings first."))
    else:
        raise Refused("not_found", _("There is nothing at this address."))
    return redirect(url_for("endpoints.show"), 303)


def _test(name: str) -> ResponseReturnValue:
    """Is it there, does it take our signature, and what did it answer?"""
    made = services()
    endpoint = made.settings.endpoints[name]
    if endpoint.preset:
        return _page(of=name, findings=look_at(name, endpoint, Patient(made.settings, None, made.now, made.db)))
    try:
        report = trial.send_test(made.db, made.settings, name, known_caller().name, made.now)
    except SettingsError as error:
        return _page(of=name, findings=[fault(f"endpoint {name}", str(error))])
    reply = lines(report.body[:SHOWN_BYTES]) if report else ""
    return _page(of=name, findings=tested(name, endpoint, report, made.now()), reply=reply)


@blueprint.post("/<deed>")
@needs("admin")
def do_for_all(deed: str) -> ResponseReturnValue:
    """Pause or resume everything."""
    made, who = services(), known_caller().name
    if deed not in ("pause", "resume"):
        raise Refused("not_found", _("There is nothing at this address."))
    (admin.pause if deed == "pause" else admin.resume)(made.db, who, made.now())
    return redirect(url_for("endpoints.show"), 303)
