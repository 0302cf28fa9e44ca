"""What a check says, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ticketbot.db import Database
from ticketbot.settings import Settings


@dataclass(frozen=True)
class Finding:
    """`said`: how it is; `do`: what to do about it, "" when nothing is to be done."""

    check: str
    level: Literal["ok", "note", "fault"]
    said: str
    do: str = ""


@dataclass
class Patient:
    """The installation. `db` is opened by the database's check; None: it could not be, others do without."""

    settings: Settings
    config: Path | None
    now: Callable[[], float]
    db: Database | None = field(default=None)


def ok(check: str, said: str) -> Finding:
    return Finding(check, "ok", said)


def note(check: str, said: str, do: str = "") -> Finding:
    return Finding(check, "note", said, do)


def fault(check: str, said: str, do: str = "") -> Finding:
    return Finding(check, "fault", said, do)
