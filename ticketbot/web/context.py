"""What do pages work with? One value, built once at the start and handed to every page."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from flask import current_app
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.settings import Settings
from ticketbot.web.limits import Buckets
from ticketbot.web.tally import Tallies

KEY = "ticketbot"


class Decoder(Protocol):
    """The guarded decoder: bytes in, RGB pixels out (`.rgb`, uint8 H x W x 3); raises ImageError."""

    def decode(self, data: bytes, *, max_px: int = ...) -> Any: ...


def _tell_nobody(_session: Session, _sha256: str, _now: float) -> None:
    """The default of `announce`: nobody waits for news of a label."""


@dataclass
class Services:
    """Everything a page may use. `classify` is whatever the classify stage's API needs; the base never looks inside."""

    settings: Settings
    db: Database
    decoders: Decoder | None = None
    classify: Any = None
    # Called in the transaction of a label: an answer that went out may have become wrong.
    announce: Callable[[Session, str, float], None] = _tell_nobody
    # True: without a champion we are not ready to serve.
    model_required: bool = False
    # Why the model in service cannot answer here; None: it can, or there is none. The first call may load it.
    model_problem: Callable[[], str | None] = lambda: None
    now: Callable[[], float] = time.time
    buckets: Buckets = field(default_factory=Buckets)
    tallies: Tallies = field(default_factory=Tallies)

    @property
    def secure(self) -> bool:
        """Do people reach us by https?"""
        return self.settings.general.base_url.startswith("https://")


def services() -> Services:
    """The services of the running app."""
    found: Services = current_app.extensions[KEY]
    return found
