"""What was erased, and must not come back?

A hash or a path that was kept would itself say what was erased. So both are kept as an HMAC with a salt of this
installation: who has a picture or a path can be told that it was erased, nobody can list what was.

    a content   a `picture` row in the state erased, under its pseudonym instead of its sha256
    a file      a `tombstone` row: source, path, and which file lay there (a later upload under the name is another)
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.db.models import Picture, Switch, Tombstone
from ticketbot.db.session import Database

SALT = "erase.salt"
AT_ONCE = 500


def make_salt(session: Session, db: Database, now: float) -> bytes:
    """The salt, made when something is erased for the first time."""
    new = {"name": SALT, "value": secrets.token_hex(32), "who": "erase", "at": now}
    session.execute(db.insert(Switch).values(**new).on_conflict_do_nothing())
    found = salt_of(session)
    assert found is not None
    return found


def salt_of(session: Session) -> bytes | None:
    """None while nothing was ever erased: then there is nothing to compare with."""
    value = session.scalar(select(Switch.value).where(Switch.name == SALT))
    return None if value is None else bytes.fromhex(value)


def pseudonym(salt: bytes, sha256: str) -> str:
    """64 hex digits that stand for an erased content."""
    return hmac.new(salt, b"picture:" + sha256.encode(), hashlib.sha256).hexdigest()


def of_file(salt: bytes, source_id: int, path: bytes, look: tuple[Any, ...]) -> bytes:
    """`look`: (ino, size_bytes, mtime_ns) of the file that was erased."""
    seen = ":".join(str(value) for value in (source_id, *look))
    return hmac.new(salt, b"file:" + seen.encode() + b":" + path, hashlib.sha256).digest()


def has_picture(session: Session, sha256: str) -> bool:
    """Was this content erased?"""
    return bool(erased_pictures(session, [sha256]))


def erased_pictures(session: Session, hashes: Collection[str]) -> set[str]:
    """Which of these contents were erased?"""
    salt = salt_of(session) if hashes else None
    if salt is None:
        return set()
    by_pseudonym = {pseudonym(salt, sha256): sha256 for sha256 in hashes}
    names = list(by_pseudonym)
    found: set[str] = set()
    for start in range(0, len(names), AT_ONCE):
        some = Picture.sha256.in_(names[start : start + AT_ONCE])
        found.update(by_pseudonym[name] for name in session.scalars(select(Picture.sha256).where(some)))
    return found


def buried(session: Session, source_id: int, files: Mapping[bytes, tuple[Any, ...]]) -> Collection[bytes]:
    """Which of these paths (with their looks) were erased?"""
    salt = salt_of(session) if files else None
    if salt is None:
        return ()
    by_digest = {of_file(salt, source_id, path, look): path for path, look in files.items()}
    digests = list(by_digest)
    found: set[bytes] = set()
    for start in range(0, len(digests), AT_ONCE):
        some = Tombstone.digest.in_(digests[start : start + AT_ONCE])
        found.update(by_digest[bytes(digest)] for digest in session.scalars(select(Tombstone.digest).where(some)))
    return found
