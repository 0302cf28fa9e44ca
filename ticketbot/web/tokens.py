"""Which program is calling? `tb_<id>_<secret>`: the id finds the row, the row knows the secret's sha256.

Shown once. Accepted only as `Authorization: Bearer …`: an address ends up in logs and histories.
"""

from __future__ import annotations

import hmac
import re
import secrets

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ticketbot.db.models import ApiToken
from ticketbot.db.rows import rows
from ticketbot.errors import Refused
from ticketbot.web.accounts import digest
from ticketbot.web.i18n import _

SCOPES = ("classify", "read", "label", "admin")
TOKEN = re.compile(r"tb_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
# `used_at` is written at most this often.
USED_EVERY_S = 60.0


def make(session: Session, name: str, scopes: list[str], now: float, expires_at: float | None = None) -> str:
    """A new token with these scopes. -> its text, which nobody can get back later. Raises Refused."""
    if not scopes or not set(scopes) <= set(SCOPES):
        raise Refused("bad_request", _("Choose what the token may do: %(scopes)s.", scopes=", ".join(SCOPES)))
    if not name.strip() or len(name) > 80 or not name.isprintable():
        raise Refused("bad_request", _("Give the token a name of 1 to 80 characters: the program that will use it."))
    number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    ordered = " ".join(scope for scope in SCOPES if scope in scopes)
    session.add(
        ApiToken(
            id=number, hash=digest(secret), name=name.strip(), scopes=ordered, created_at=now, expires_at=expires_at
        )
    )
    return f"tb_{number}_{secret}"


def find(session: Session, text: str, now: float) -> ApiToken | None:
    """The row of a token that is known, not revoked and not expired."""
    match = TOKEN.fullmatch(text)
    row = session.get(ApiToken, match[1]) if match else None
    if match is None or row is None or not hmac.compare_digest(row.hash, digest(match[2])):
        return None
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return row


def touch(session: Session, token_id: str, now: float) -> None:
    session.execute(update(ApiToken).where(ApiToken.id == token_id).values(used_at=now))


def revoke(session: Session, token_id: str, now: float) -> bool:
    """-> False when there is no such token, or it was revoked before."""
    change = update(ApiToken).where(ApiToken.id == token_id, ApiToken.revoked_at.is_(None)).values(revoked_at=now)
    return rows(session.execute(change)) == 1


def listed(session: Session) -> list[ApiToken]:
    return list(
        session.scalars(select(ApiToken).order_by(ApiToken.revoked_at.is_not(None), ApiToken.created_at.desc()))
    )
