"""Who may do what here: people and programs. For administrators."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.db.models import Account, Audit
from ticketbot.errors import Refused
from ticketbot.web import accounts, tokens
from ticketbot.web.access import known_caller, needs
from ticketbot.web.audit import note
from ticketbot.web.context import services
from ticketbot.web.i18n import _

blueprint = Blueprint("setup", __name__, url_prefix="/setup")
DAY_S = 86400.0
# Days a token may live; 0: until it is revoked.
TOKEN_DAYS = (30, 90, 365, 0)
AUDIT_PAGE = 100


@blueprint.get("")
@needs("admin")
def show() -> ResponseReturnValue:
    return _page()


def _page(status: int = 200, **shown: Any) -> ResponseReturnValue:
    """The page; `shown` is what is seen once: `link` of an invitation, `token`, or a `problem`."""
    with services().db.read() as reading:
        people = list(reading.scalars(select(Account).order_by(Account.disabled_at.is_not(None), Account.name)))
        programs = tokens.listed(reading)
    choices = {"roles": accounts.ROLES, "scopes": tokens.SCOPES, "days": TOKEN_DAYS}
    return render_template("setup.html", people=people, programs=programs, **choices, **shown), status


@blueprint.get("/audit")
@needs("admin")
def audit() -> ResponseReturnValue:
    """Who did what, newest first, a page at a time."""
    before, who = request.args.get("before", ""), request.args.get("who", "").strip()
    query = select(Audit).order_by(Audit.id.desc()).limit(AUDIT_PAGE + 1)
    if before.isdecimal() and len(before) < 19:
        query = query.where(Audit.id < int(before))
    if who:
        query = query.where(Audit.who == who)
    with services().db.read() as reading:
        rows = list(reading.scalars(query))
    more = rows[AUDIT_PAGE - 1].id if len(rows) > AUDIT_PAGE else None
    return render_template("audit.html", rows=rows[:AUDIT_PAGE], more=more, who=who)


@blueprint.post("/people")
@needs("admin")
def invite() -> ResponseReturnValue:
    """Invite somebody, or give somebody a new link."""
    made, name = services(), request.form.get("name", "").strip()
    try:
        with made.db.write() as writing:
            secret = accounts.make_invite(writing, name, request.form.get("role", ""), made.now())
            note(writing, made.now(), known_caller().name, "invited", name=name)
    except Refused as refused:
        return _page(400, problem=str(refused))
    return _page(link=accounts.invite_link(made.settings.general.base_url, secret), link_for=name)


@blueprint.post("/people/<int:account_id>")
@needs("admin")
def change(account_id: int) -> ResponseReturnValue:
    """Give a person another role, or switch the account off or on."""
    made, deed = services(), request.form.get("do", "")
    try:
        with made.db.write() as writing:
            account = writing.get(Account, account_id)
            if account is None:
                raise Refused("not_found", _("There is no such account."))
            _do(writing, account, deed)
            note(writing, made.now(), known_caller().name, f"account {deed}", name=account.name, role=account.role)
    except Refused as refused:
        return _page(refused.status, problem=str(refused))
    return redirect(url_for("setup.show"))


def _do(writing: Session, account: Account, deed: str) -> None:
    if deed == "role":
        accounts.set_role(writing, account, request.form.get("role", ""))
    elif deed == "disable":
        accounts.disable(writing, account, services().now())
    elif deed == "enable":
        account.disabled_at = None
    elif deed == "sign-out":
        accounts.sign_out_everywhere(writing, account.id)
    else:
        raise Refused("bad_request", _("Choose what to do with the account."))


@blueprint.post("/tokens")
@needs("admin")
def make_token() -> ResponseReturnValue:
    made, name = services(), request.form.get("name", "")
    try:
        with made.db.write() as writing:
            text = tokens.make(writing, name, request.form.getlist("scope"), made.now(), _expiry(made.now()))
            note(writing, made.now(), known_caller().name, "token made", name=name, id=text.split("_")[1])
    except Refused as refused:
        return _page(400, problem=str(refused))
    return _page(token=text, token_for=name)


def _expiry(now: float) -> float | None:
    """When a token made now with this form ends; None: never. Raises Refused."""
    days = request.form.get("days", "")
    if days not in {str(choice) for choice in TOKEN_DAYS}:
        raise Refused("bad_request", _("Choose how long the token works."))
    return now + int(days) * DAY_S if days != "0" else None


@blueprint.post("/tokens/<token_id>/revoke")
@needs("admin")
def revoke_token(token_id: str) -> ResponseReturnValue:
    made = services()
    with made.db.write() as writing:
        if tokens.revoke(writing, token_id, made.now()):
            note(writing, made.now(), known_caller().name, "token revoked", id=token_id)
    return redirect(url_for("setup.show"))
