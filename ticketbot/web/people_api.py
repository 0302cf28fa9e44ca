"""Who am I, who may sign in, which programs may call, who did what: /api/v1/me, /users, /tokens, /audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from flask import request
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.db.models import Account, Audit
from ticketbot.errors import Refused
from ticketbot.web import accounts, tokens
from ticketbot.web.access import known_caller
from ticketbot.web.api import Api, Model, Page, Paging, cut, place_of
from ticketbot.web.audit import note
from ticketbot.web.context import services

api = Api("people")
DAY_S = 86400.0
Role = Literal["viewer", "reviewer", "admin"]
Scope = Literal["classify", "read", "label", "admin"]


class Seen(Model):
    """How this request arrived here: what a proxy in front changed. `forwarded`: entries of X-Forwarded-For."""

    address: str | None
    scheme: str
    host: str
    forwarded: int


class Me(Model):
    name: str
    kind: str
    scopes: list[str]
    seen: Seen


class UserOut(Model):
    name: str
    role: str
    state: Literal["active", "invited", "disabled"]
    created_at: float


class Users(Model):
    items: list[UserOut]


class Invitation(Model):
    name: str = Field(max_length=80)
    role: Role = "reviewer"


class Invited(Model):
    link: str = Field(description="Works once, for a day; its owner chooses the password.")


class NewRole(Model):
    role: Role


class AuditQuery(Paging):
    who: str | None = Field(None, max_length=200, description="Only what this person or program did.")


class AuditOut(Model):
    """`what` was done, and `detail` about it; never a secret."""

    id: int
    at: float
    who: str
    what: str
    detail: dict[str, Any] | None


class TokenOut(Model):
    """Its secret nobody can show."""

    id: str
    name: str
    scopes: list[str]
    created_at: float
    expires_at: float | None
    used_at: float | None
    revoked_at: float | None


class Tokens(Model):
    items: list[TokenOut]


class NewToken(Model):
    name: str = Field(max_length=80)
    scopes: list[Scope] = Field(["classify"])
    days: int | None = Field(None, ge=1, le=3650, description="It ends after so many days; null: never.")


class MadeToken(Model):
    token: str = Field(description="Shown this once.")


@api.get("/me", "read")
def get_me() -> Me:
    """Who is calling, and how the call arrived."""
    caller = known_caller()
    forwarded = [one for one in request.headers.get("X-Forwarded-For", "").split(",") if one.strip()]
    seen = Seen(address=request.remote_addr, scheme=request.scheme, host=request.host, forwarded=len(forwarded))
    return Me(name=caller.name, kind=caller.kind, scopes=sorted(caller.scopes), seen=seen)


@api.get("/users", "admin")
def list_users() -> Users:
    """Who may sign in, in which role."""
    with services().db.read() as session:
        found = list(session.scalars(select(Account).order_by(Account.name)))
    return Users(items=[_user(one) for one in found])


@api.post("/users", "admin", status=201)
def invite_user(body: Invitation) -> Invited:
    """Invite somebody, or give somebody who forgot the password a new link."""
    made = services()
    with made.db.write() as session:
        secret = accounts.make_invite(session, body.name, body.role, made.now())
        note(session, made.now(), known_caller().name, "invited", name=body.name)
    return Invited(link=accounts.invite_link(made.settings.general.base_url, secret))


@api.post("/users/<name>/role", "admin")
def set_user_role(name: str, body: NewRole) -> None:
    """Give somebody another role. The last administrator stays one."""
    _change(name, "role", lambda session, account: accounts.set_role(session, account, body.role))


@api.post("/users/<name>/disable", "admin")
def disable_user(name: str) -> None:
    """Sign somebody out everywhere and let them in no more."""
    _change(name, "disable", lambda session, account: accounts.disable(session, account, services().now()))


@api.post("/users/<name>/enable", "admin")
def enable_user(name: str) -> None:
    """Let somebody in again."""
    _change(name, "enable", lambda session, account: setattr(account, "disabled_at", None))


@api.post("/users/<name>/sign-out", "admin")
def sign_out_user(name: str) -> None:
    """End all of somebody's sign-ins."""
    _change(name, "sign-out", lambda session, account: accounts.sign_out_everywhere(session, account.id))


@api.get("/audit", "admin")
def list_audit(query: AuditQuery) -> Page[AuditOut]:
    """Who did what, the latest first."""
    rows = select(Audit).order_by(Audit.id.desc()).limit(query.limit + 1)
    if query.who is not None:
        rows = rows.where(Audit.who == query.who)
    if (place := place_of(query.cursor, int)) is not None:
        rows = rows.where(Audit.id < place[0])
    with services().db.read() as session:
        found = list(session.scalars(rows))
    shown, following = cut(found, query.limit, lambda row: (row.id,))
    return Page[AuditOut](items=[AuditOut.model_validate(one, from_attributes=True) for one in shown], next=following)


@api.get("/tokens", "admin")
def list_tokens() -> Tokens:
    """Tokens of programs."""
    plain = ("id", "name", "created_at", "expires_at", "used_at", "revoked_at")
    with services().db.read() as session:
        found = tokens.listed(session)
    return Tokens(
        items=[TokenOut(scopes=one.scopes.split(), **{key: getattr(one, key) for key in plain}) for one in found]
    )


@api.post("/tokens", "admin", status=201)
def create_token(body: NewToken) -> MadeToken:
    """Make a token for a program. It can do no more than its scopes say."""
    made = services()
    until = made.now() + body.days * DAY_S if body.days else None
    with made.db.write() as session:
        text = tokens.make(session, body.name, list(body.scopes), made.now(), until)
        note(session, made.now(), known_caller().name, "token made", name=body.name, id=text.split("_")[1])
    return MadeToken(token=text)


@api.delete("/tokens/<token_id>", "admin")
def revoke_token(token_id: str) -> None:
    """Let a token in no more."""
    made = services()
    with made.db.write() as session:
        if not tokens.revoke(session, token_id, made.now()):
            raise Refused("not_found", "There is no such token, or it was revoked before.")
        note(session, made.now(), known_caller().name, "token revoked", id=token_id)


def _change(name: str, deed: str, do: Callable[[Session, Account], object]) -> None:
    """Do something with an account, and write down who did."""
    made = services()
    with made.db.write() as session:
        account = accounts.find(session, name)
        if account is None:
            raise Refused("not_found", "There is no such account.")
        do(session, account)
        note(session, made.now(), known_caller().name, f"account {deed}", name=account.name, role=account.role)


def _user(account: Account) -> UserOut:
    state: Literal["active", "invited", "disabled"] = "active" if account.password else "invited"
    if account.disabled_at is not None:
        state = "disabled"
    return UserOut(name=account.name, role=account.role, state=state, created_at=account.created_at)
