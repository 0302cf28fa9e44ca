"""Which model answers now?

The champion's. The row is looked at once a second at most; when it changed, one caller loads the new bundle while the
others go on with the old one, so no request waits for a promotion and none is dropped. A bundle that must not be served
leaves the old one serving and says so.
"""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy import select

from ticketbot.contracts.bundle import Manifest
from ticketbot.db import Database
from ticketbot.db.models import Model
from ticketbot.errors import BundleRefused, NotReady
from ticketbot.judge import golden, trust
from ticketbot.judge.engine import Engine
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 1.0
# A bundle that failed is tried again after this long: its disk may have come back.
AGAIN_S = 60.0


def load(settings: Settings, model_id: str, *, intra_threads: int = 1) -> Engine:
    """A model of the shelf, checked (hashes, signature, classes, golden pictures); raises BundleRefused."""
    engine = Engine(settings.data_dir / "models" / model_id, intra_threads=intra_threads)
    if engine.model_id != model_id:
        raise BundleRefused(f"the bundle of {model_id} says it is {engine.model_id}")
    trust.admit(engine.manifest, categories=settings.categories, trusted_keys=settings.model.trusted_keys)
    golden.check(engine)
    return engine


class Serving:
    """Holds the engine of the champion; safe for many threads. Build it after a fork, not before."""

    def __init__(self, db: Database, settings: Settings, *, intra_threads: int = 1) -> None:
        self.db, self.settings, self.intra_threads = db, settings, intra_threads
        # Why the champion is not the one that answers; None when it is.
        self.problem: str | None = None
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._looked = self._failed_at = -AGAIN_S  # monotonic
        self._failed_id = ""

    def current(self) -> Engine:
        """The engine to answer with. Raises NotReady when there is no model that may serve."""
        engine = self._engine
        if engine is None:
            with self._lock:  # everybody waits for the first one
                if self._engine is None:
                    self._look()
                engine = self._engine
        elif time.monotonic() - self._looked > LOOK_S and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
            engine = self._engine
        if engine is None:
            raise NotReady(self.problem or "there is no model yet: label pictures and train one, or import a bundle")
        return engine

    def trouble(self) -> str | None:
        """Why nothing can answer although a model is in service; None when one can, or when there is none."""
        try:
            self.current()
        except NotReady:
            return self.problem
        return None

    @property
    def manifest(self) -> Manifest | None:
        """Of the engine that is loaded now; nothing is loaded for the question."""
        return self._engine.manifest if self._engine else None

    def _look(self) -> None:
        champion, previous = self._rows()
        self._looked = time.monotonic()
        if champion is None:
            self._engine, self.problem = None, None
        elif self._engine is None or self._engine.model_id != champion:
            if not self._try(champion) and self._engine is None and previous:
                self._fall_back(previous)
        else:
            self.problem = None

    def _rows(self) -> tuple[str | None, str | None]:
        """The ids of champion and previous."""
        query = select(Model.state, Model.id).where(Model.state.in_(("champion", "previous")))
        with self.db.read() as session:
            found = dict(session.execute(query.order_by(Model.promoted_at)).all())
        return found.get("champion"), found.get("previous")

    def _try(self, model_id: str) -> bool:
        """Load it and let it answer from now on; False when it must not be served."""
        if model_id == self._failed_id and time.monotonic() - self._failed_at < AGAIN_S:
            return False
        started = time.monotonic()
        try:
            self._engine = load(self.settings, model_id, intra_threads=self.intra_threads)
        except BundleRefused as error:
            self._failed_id, self._failed_at = model_id, time.monotonic()
            self.problem = f"model {model_id} cannot be served: {error}"
            log.error("the champion cannot be served", extra={"model": model_id, "reason": str(error)})
            return False
        self.problem, self._failed_id = None, ""
        log.info("model serving", extra={"model": model_id, "load_s": round(time.monotonic() - started, 3)})
        return True

    def _fall_back(self, model_id: str) -> None:
        try:
            self._engine = load(self.settings, model_id, intra_threads=self.intra_threads)
        except BundleRefused as error:
            log.error("the previous model cannot be served either", extra={"model": model_id, "reason": str(error)})
            return
        log.warning("the previous model serves instead", extra={"model": model_id})
