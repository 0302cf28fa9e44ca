"""How does a person get in, choose a password, and get out?"""

from __future__ import annotations

import logging
import math

from flask import Blueprint, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select, update

from ticketbot.db.models import Account, WebSession
from ticketbot.errors import Refused
from ticketbot.web import accounts, i18n, limits, passwords
from ticketbot.web.access import SESSION_KEY, known_caller, needs, public, safe_next
from ticketbot.web.audit import note
from ticketbot.web.context import services
from ticketbot.web.i18n import _

log = logging.getLogger(__name__)
blueprint = Blueprint("account", __name__)


@blueprint.get("/login")
@public
def login() -> ResponseReturnValue:
    with services().db.read() as reading:
        nobody = not reading.scalar(select(func.count()).where(Account.password.is_not(None)))
    return render_template("login.html", next=safe_next(request.args.get("next")), nobody=nobody)


@blueprint.post("/login")
@public
def sign_in() -> ResponseReturnValue:
    name, password = request.form.get("name", ""), request.form.get("password", "")
    target = safe_next(request.form.get("next"))
    made = services()
    address = request.remote_addr or ""
    wait = limits.take_login(made.db, name, address, made.now())
    if wait:
        return _too_often(wait, target)
    account = _who(name, password)
    if account is None:
        log.warning("sign-in failed", extra={"address": address})
        return render_template("login.html", next=target, nobody=False, problem=_("Name or password is wrong.")), 401
    limits.give_back_login(made.db, name, address, made.now())
    _start_session(account.id, account.name)
    return redirect(target)


def _too_often(wait: float, target: str) -> ResponseReturnValue:
    wait_s = math.ceil(wait)
    log.warning("sign-in refused: too many tries", extra={"address": request.remote_addr})
    said = _("Too many tries. Try again in %(wait_s)s s.", wait_s=wait_s)
    response = make_response(render_template("login.html", next=target, nobody=False, problem=said), 429)
    response.headers["Retry-After"] = str(wait_s)
    return response


def _who(name: str, password: str) -> Account | None:
    """The account, when name and password are right. The slow hash runs outside any transaction."""
    with services().db.read() as reading:
        account = accounts.find(reading, name) if accounts.NAME.fullmatch(name) else None
    good = passwords.matches(account.password if account else None, password)
    return account if good and account is not None and account.disabled_at is None else None


def _start_session(account_id: int, name: str) -> None:
    """Sign in with a new secret and a new CSRF token; whatever the cookie held before is worth nothing."""
    made = services()
    lifetime_s = made.settings.web.session_h * 3600
    with made.db.write() as writing:
        accounts.close_session(writing, session.get(SESSION_KEY, ""))
        secret = accounts.open_session(writing, account_id, made.now(), lifetime_s)
        note(writing, made.now(), name, "signed in", address=request.remote_addr)
    session.clear()
    session[SESSION_KEY] = secret


@blueprint.post("/logout")
@public
def logout() -> ResponseReturnValue:
    with services().db.write() as writing:
        accounts.close_session(writing, session.get(SESSION_KEY, ""))
    session.clear()
    return redirect(url_for("account.login"))


@blueprint.route("/invite/<secret>", methods=["GET", "POST"])
@public
def invite(secret: str) -> ResponseReturnValue:
    made = services()
    with made.db.read() as reading:
        account = accounts.invited(reading, secret, made.now())
    if account is None:
        return render_template("invite.html", account=None), 404
    if request.method == "GET":
        return render_template("invite.html", account=account)
    try:
        hashed = _chosen(account.name)
    except Refused as refused:
        return render_template("invite.html", account=account, problem=str(refused)), 400
    with made.db.write() as writing:
        accounts.set_password(writing, account.id, hashed, secret)
        note(writing, made.now(), account.name, "password set by invitation")
    _start_session(account.id, account.name)
    return redirect("/")


def _chosen(name: str) -> str:
    """The hash of the password chosen in this form. Raises Refused."""
    password = request.form.get("password", "")
    passwords.check(password, name)
    if password != request.form.get("again", ""):
        raise Refused("bad_request", _("The two passwords differ."))
    return passwords.hashed(password)


@blueprint.get("/account")
@needs("read")
def show() -> ResponseReturnValue:
    return _account_page()


def _account_page(problem: str | None = None, status: int = 200) -> ResponseReturnValue:
    me = known_caller()
    with services().db.read() as reading:
        rows = select(WebSession).where(WebSession.account_id == me.account_id).order_by(WebSession.seen_at.desc())
        sessions = list(reading.scalars(rows))
    mine = accounts.digest(session.get(SESSION_KEY, ""))
    shown = {"sessions": sessions, "mine": mine, "languages": i18n.languages(), "problem": problem}
    return render_template("account.html", **shown), status


@blueprint.post("/account/language")
@needs("read")
def choose_language() -> ResponseReturnValue:
    """In which language this person wants the pages; "" for the browser's."""
    me, made, code = known_caller(), services(), request.form.get("language", "")
    if code and code not in i18n.codes():
        raise Refused("bad_request", _("There is no such language."))
    with made.db.write() as writing:
        writing.execute(update(Account).where(Account.id == me.account_id).values(language=code or None))
    return redirect(url_for("account.show"))


@blueprint.post("/account/password")
@needs("read")
def change_password() -> ResponseReturnValue:
    """Ask for the old one too (a browser left open must not be enough), then end every session and start one."""
    me, made = known_caller(), services()
    address = request.remote_addr or ""
    if wait := limits.take_login(made.db, me.name, address, made.now()):
        return _account_page(_("Too many tries. Try again in %(wait_s)s s.", wait_s=math.ceil(wait)), 429)
    account = _who(me.name, request.form.get("old", ""))
    if account is None:
        return _account_page(_("The present password is wrong."), 400)
    limits.give_back_login(made.db, me.name, address, made.now())
    try:
        hashed = _chosen(me.name)
    except Refused as refused:
        return _account_page(str(refused), 400)
    with made.db.write() as writing:
        accounts.set_password(writing, account.id, hashed)
        note(writing, made.now(), me.name, "password changed")
    _start_session(account.id, account.name)
    return redirect(url_for("account.show"))


@blueprint.post("/account/sign-out-everywhere")
@needs("read")
def sign_out_everywhere() -> ResponseReturnValue:
    me, made = known_caller(), services()
    with made.db.write() as writing:
        accounts.sign_out_everywhere(writing, me.account_id)
        note(writing, made.now(), me.name, "signed out everywhere")
    session.clear()
    return redirect(url_for("account.login"))
