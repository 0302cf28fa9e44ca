"""Who may sign in, and who is signed in?

Sessions live in the database: the cookie holds a random secret, the row its sha256. Signing in always makes a new one.
Nobody gets a password from us: an invitation is a link that works once, for a day, and its owner chooses.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ticketbot.db.models import Account, WebSession
from ticketbot.db.rows import rows
from ticketbot.errors import Conflict, Refused
from ticketbot.web.i18n import N_, _

ROLES = (N_("viewer"), N_("reviewer"), N_("admin"))
SCOPES_OF_ROLE = {
    "viewer": frozenset({"read", "classify"}),
    "reviewer": frozenset({"read", "classify", "label"}),
    "admin": frozenset({"read", "classify", "label", "admin"}),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,79}")
INVITE_S = 24 * 3600.0
# `seen_at` is written at most this often: a write for each request would keep the write lock busy.
SEEN_EVERY_S = 60.0
# A session nobody used for this share of its lifetime is over.
IDLE_SHARE = 0.25


def digest(secret: str) -> str:
    """What is kept of a random secret of 32 bytes: sha256 is enough, there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


# --- accounts ---


def find(session: Session, name: str) -> Account | None:
    return session.scalar(select(Account).where(Account.name == name))


def make_invite(session: Session, name: str, role: str, now: float) -> str:
    """Make the account if it is new, and a one-time secret to set its password with. Raises Refused.

    An account that exists keeps its role and its password until the link is used.
    """
    if role not in ROLES:
        raise Refused("bad_request", _("A role is one of %(roles)s.", roles=", ".join(ROLES)))
    if not NAME.fullmatch(name):
        raise Refused(
            "bad_request", _("A name is 1 to 80 letters, digits and . _ @ + -, and starts with a letter or digit.")
        )
    account = find(session, name)
    if account is None:
        account = Account(name=name, role=role, created_at=now)
        session.add(account)
    secret = secrets.token_urlsafe(32)
    account.invite_hash = digest(secret)
    account.invite_until = now + INVITE_S
    return secret


def invite_link(base_url: str, secret: str) -> str:
    return f"{base_url.rstrip('/')}/invite/{secret}"


def first_admin(session: Session, now: float) -> str | None:
    """While no administrator can sign in: a new invitation for the account `admin`, else None."""
    return make_invite(session, "admin", "admin", now) if first_admin_is_missing(session) else None


def first_admin_is_missing(session: Session) -> bool:
    """Can no administrator sign in?"""
    able = (Account.role == "admin", Account.password.is_not(None), Account.disabled_at.is_(None))
    return not session.scalar(select(func.count()).where(*able))


def admin_is_invited(session: Session, now: float) -> bool:
    """Has an administrator without a password an invitation that still works?"""
    waiting = (Account.role == "admin", Account.password.is_(None), Account.disabled_at.is_(None))
    found = session.scalar(select(func.count()).where(*waiting, Account.invite_until > now))
    return bool(found) and first_admin_is_missing(session)


def invited(session: Session, secret: str, now: float) -> Account | None:
    """Whose invitation this is, if it still works."""
    account = session.scalar(select(Account).where(Account.invite_hash == digest(secret)))
    if account is None or account.disabled_at is not None or (account.invite_until or 0) < now:
        return None
    return account


def set_password(session: Session, account_id: int, hashed: str, invite: str | None = None) -> None:
    """Store a hash, use up the invitation and end all sessions. Raises Conflict when `invite` was used meanwhile."""
    change = update(Account).where(Account.id == account_id)
    if invite is not None:
        change = change.where(Account.invite_hash == digest(invite))
    done = session.execute(change.values(password=hashed, invite_hash=None, invite_until=None))
    if rows(done) != 1:
        raise Conflict(_("This invitation was used already."))
    sign_out_everywhere(session, account_id)


def set_role(session: Session, account: Account, role: str) -> None:
    """Raises Refused for an unknown role and for the last administrator."""
    if role not in ROLES:
        raise Refused("bad_request", _("A role is one of %(roles)s.", roles=", ".join(ROLES)))
    if account.role == "admin" and role != "admin":
        _keep_an_admin(session, account)
    account.role = role


def disable(session: Session, account: Account, now: float) -> None:
    """The account may no longer sign in and is signed out everywhere. Raises Refused for the last administrator."""
    _keep_an_admin(session, account)
    account.disabled_at = now
    account.invite_hash = account.invite_until = None
    sign_out_everywhere(session, account.id)


def _keep_an_admin(session: Session, account: Account) -> None:
    others = select(func.count()).where(
        Account.role == "admin",
        Account.id != account.id,
        Account.disabled_at.is_(None),
        Account.password.is_not(None),
    )
    if account.role == "admin" and not session.scalar(others):
        raise Refused("bad_request", _("This is the last administrator; make another one first."))


# --- sessions ---


def open_session(session: Session, account_id: int, now: float, lifetime_s: float) -> str:
    """Sign in. -> the secret for the cookie. Sessions that are over are swept on the way."""
    secret = secrets.token_urlsafe(32)
    session.execute(delete(WebSession).where(WebSession.expires_at < now))
    session.add(
        WebSession(hash=digest(secret), account_id=account_id, created_at=now, seen_at=now, expires_at=now + lifetime_s)
    )
    return secret


def signed_in(session: Session, secret: str, now: float) -> tuple[Account, WebSession] | None:
    """Whose session this is, if it is neither over nor idle for too long, and the account still may."""
    row = session.execute(
        select(Account, WebSession).join(WebSession).where(WebSession.hash == digest(secret))
    ).one_or_none()
    if row is None:
        return None
    account, web_session = row
    idle_s = (web_session.expires_at - web_session.created_at) * IDLE_SHARE
    if now >= web_session.expires_at or now - web_session.seen_at > idle_s or account.disabled_at is not None:
        return None
    return account, web_session


def touch(session: Session, hashed: str, now: float) -> None:
    session.execute(update(WebSession).where(WebSession.hash == hashed).values(seen_at=now))


def close_session(session: Session, secret: str) -> None:
    session.execute(delete(WebSession).where(WebSession.hash == digest(secret)))


def sign_out_everywhere(session: Session, account_id: int) -> None:
    session.execute(delete(WebSession).where(WebSession.account_id == account_id))
