"""How many are there? Counting everything takes longer the more there is; no page waits for it.

A page gets the last count at once, and when that is older than a few seconds a thread counts anew for whoever asks
next. Only the very first page of a process waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
# Counts older than this are refreshed.
FRESH_S = 5.0


class Tally(Generic[T]):
    """Holds the last answer of `count`."""

    def __init__(self, count: Callable[[], T], fresh_s: float = FRESH_S) -> None:
        self.count, self.fresh_s = count, fresh_s
        self._value: T | None = None
        self._counted_at = float("-inf")
        self._lock = threading.Lock()

    def get(self) -> T:
        """The last count; counts itself when there is none, or when every count must be fresh."""
        value = self._value
        if value is None or self.fresh_s <= 0:
            with self._lock:
                return self._anew()
        if time.monotonic() - self._counted_at > self.fresh_s and self._lock.acquire(blocking=False):
            threading.Thread(target=self._behind, name="tally", daemon=True).start()
        return value

    def _anew(self) -> T:
        self._value = value = self.count()
        self._counted_at = time.monotonic()
        return value

    def _behind(self) -> None:
        try:
            self._anew()
        except Exception:
            log.exception("counting failed; the last count stands")
            self._counted_at = time.monotonic()
        finally:
            self._lock.release()


class Tallies:
    """The tallies of an app, by name."""

    def __init__(self, fresh_s: float = FRESH_S) -> None:
        self.fresh_s = fresh_s
        self._known: dict[str, Tally[Any]] = {}

    def get(self, name: str, count: Callable[[], T]) -> T:
        """The last count under this name; `count` is kept from the first call on."""
        found: Tally[T] = self._known.setdefault(name, Tally(count, self.fresh_s))
        return found.get()
