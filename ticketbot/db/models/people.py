"""Who may come in, and what did they do?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ticketbot.db.models.base import Base, Id, one_of


class Account(Base):
    """Somebody who may sign in. `password` is an argon2 hash, NULL until the invitation is used."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    password: Mapped[str | None] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[float]
    disabled_at: Mapped[float | None]
    # sha256 of a one-time link's secret, and how long it works.
    invite_hash: Mapped[str | None] = mapped_column(String(64))
    invite_until: Mapped[float | None]
    language: Mapped[str | None] = mapped_column(String(8))
    # {"reports": "r", …}: remapped keys of the label page.
    keys: Mapped[dict[str, Any] | None]
    __table_args__ = (one_of("role", ("viewer", "reviewer", "admin")),)


class WebSession(Base):
    """A signed-in browser; the cookie holds the secret, the row its sha256."""

    __tablename__ = "web_session"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    created_at: Mapped[float]
    seen_at: Mapped[float]
    expires_at: Mapped[float]


class ApiToken(Base):
    """tb_<id>_<secret>: shown once, kept as sha256."""

    __tablename__ = "api_token"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    # Space separated: classify read label admin
    scopes: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class LoginBucket(Base):
    """Failed sign-ins of a name or an address; in the database so that all processes count together."""

    __tablename__ = "login_bucket"
    key: Mapped[str] = mapped_column(String(120), primary_key=True)
    tokens: Mapped[float]
    at: Mapped[float]


class Audit(Base):
    """Who did what."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[float]
    who: Mapped[str] = mapped_column(Text)
    what: Mapped[str] = mapped_column(String(60))
    detail: Mapped[dict[str, Any] | None]
    __table_args__ = (Index("ix_audit_at", "at"),)
