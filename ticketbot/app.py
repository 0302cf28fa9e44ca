"""What does the program consist of? Everything long-lived, built once and closed once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from ticketbot.collect import inbound
from ticketbot.collect.lookups import Lookups
from ticketbot.db import connect, migrate
from ticketbot.deliver import outbox
from ticketbot.imaging.decode import DecoderPool
from ticketbot.operate import notices
from ticketbot.settings import Settings
from ticketbot.systems import preset

if TYPE_CHECKING:
    from flask import Flask

    from ticketbot.classify.serving import Serving


class App:
    """Settings, database, decoder children and the model being served; `now` is the clock of every decision.

    intra_threads: of one inference. Two for single answers over HTTP; bulk work has threads of its own.
    """

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.time, intra_threads: int = 1) -> None:
        self.settings = settings
        self.intra_threads = intra_threads
        self.now = now
        preset.check(settings)
        inbound.check(settings)
        notices.check(settings)
        # Set when the process is told to end: long steps look at it between two pieces of work.
        self.stopping = threading.Event()
        self.db = connect(settings.database_url)
        migrate.upgrade(self.db)

    @cached_property
    def decoders(self) -> DecoderPool:
        return DecoderPool(self.settings.classify.decoders, timeout_s=self.settings.classify.decode_timeout_s)

    @cached_property
    def serving(self) -> Serving:
        from ticketbot.classify.serving import Serving  # brings onnxruntime: only who classifies pays for it

        return Serving(self.db, self.settings, intra_threads=self.intra_threads)

    @cached_property
    def lookups(self) -> Lookups:
        return Lookups()

    def announce(self, session: Session, sha256: str, now: float) -> None:
        """Something became known about a picture: the outbox hears of it in the same transaction."""
        outbox.announce(session, self.db, self.settings, sha256, now)

    def flask(self) -> Flask:
        from ticketbot.pages import create

        return create(self)

    def close(self) -> None:
        self.stopping.set()
        if "decoders" in self.__dict__:
            self.decoders.close()
        if "lookups" in self.__dict__:
            self.lookups.close()
        self.db.close()
