"""Which thread sends what, and what does it send next?

A worker that is done has to wait until its end is written down and the next answer is claimed; to a quick receiver that
takes as long as the sending. So where the last attempt went well and quickly, some answers are claimed ahead, and the
worker begins the next of the same endpoint by itself. They are given back unsent when an attempt fails, when they lie
for longer than they should, and when we are told to stop: never is more on its way than the workers can send.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from types import TracebackType

from ticketbot.deliver.claim import Claim, Claims
from ticketbot.deliver.finish import Report

# An attempt that took longer is no reason to claim ahead: what waits would wait for seconds.
QUICK_S = 0.5
# They are given back after so long, or after this share of the margin that a lease has beyond an attempt's time.
AHEAD_S = 2.0
AHEAD_SHARE = 0.5

Ended = tuple[Claim, Report]


class Senders:
    """`workers` threads that call send(claim) -> Report; use it as a `with` block, which waits for them at its end."""

    def __init__(self, send: Callable[[Claim], Report], workers: int, margin_s: float, stop: Callable[[], bool]):
        self._send, self._stop = send, stop
        self._keep_s = min(AHEAD_S, margin_s * AHEAD_SHARE)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="deliver")
        self._lock = threading.Lock()
        # (claim, what came of it, whether its worker went on with another)
        self._ended: SimpleQueue[tuple[Claim, Report | BaseException, bool]] = SimpleQueue()
        # Also counts what has ended and was not fetched by `ended`: a failure is written down before more is begun.
        self._running: Counter[str] = Counter()
        self._ahead: dict[str, deque[tuple[float, Claim]]] = {}
        # Endpoints whose last attempt went well and quickly, and when one last did not.
        self._well: set[str] = set()
        self._bad_at: dict[str, float] = {}

    def __enter__(self) -> Senders:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._lock:
            self._ahead.clear()
        self._pool.shutdown()

    @property
    def idle(self) -> bool:
        """Nothing is being sent, waits to be, or to be written down."""
        with self._lock:
            return not self._running.total() and not any(self._ahead.values())

    def in_flight(self) -> dict[str, int]:
        """How many are being sent or are to be written down, by endpoint."""
        with self._lock:
            return {name: n for name, n in self._running.items() if n}

    def ahead(self) -> dict[str, int]:
        """How many wait to be sent, of each endpoint for which more may be claimed ahead."""
        with self._lock:
            return {name: len(self._ahead.get(name, ())) for name in self._well}

    def begin(self, claims: Claims) -> None:
        """Start what there is room for; the rest waits for a worker of its endpoint."""
        now = time.monotonic()
        with self._lock:
            for one in claims.taken:
                waiting = self._ahead.setdefault(one.endpoint, deque())
                (waiting.appendleft if one.probe else waiting.append)((now, one))
            for name, n in claims.room.items():
                for _ in range(min(n, len(self._ahead.get(name, ())))):
                    self._running[name] += 1
                    self._pool.submit(self._work, self._ahead[name].popleft()[1])

    def unsent(self) -> list[Claim]:
        """What was claimed ahead and must be given back."""
        oldest = time.monotonic() - self._keep_s
        back: list[Claim] = []
        with self._lock:
            for name, waiting in self._ahead.items():
                bad = self._stop() or name not in self._well or not self._running[name]
                while waiting and (bad or waiting[0][0] < oldest):
                    back.append(waiting.popleft()[1])
        return back

    def ended(self, timeout_s: float) -> list[Ended]:
        """What has ended, in that order; [] when nothing did for so long. Raises what a worker raised."""
        found: list[Ended] = []
        try:
            found.append(self._fetched(*self._ended.get(timeout=timeout_s)))
            while True:
                found.append(self._fetched(*self._ended.get_nowait()))
        except Empty:
            return found

    def _fetched(self, one: Claim, report: Report | BaseException, went_on: bool) -> Ended:
        with self._lock:
            self._running[one.endpoint] -= not went_on
        if isinstance(report, BaseException):
            raise report
        return one, report

    def _work(self, one: Claim) -> None:
        following: Claim | None = one
        while following is not None:
            one, began = following, time.monotonic()
            try:
                report = self._send(one)
            except BaseException as error:
                self._ended.put((one, error, False))
                return
            following = self._next(one, report, began)

    def _next(self, one: Claim, report: Report, began: float) -> Claim | None:
        """Report an end; what this worker sends now."""
        with self._lock:
            self._note(one.endpoint, report.outcome.ok and time.monotonic() - began <= QUICK_S, began)
            following = self._oldest_ahead(one.endpoint)
        self._ended.put((one, report, following is not None))
        return following

    def _note(self, endpoint: str, went_well: bool, began: float) -> None:
        if not went_well:
            self._bad_at[endpoint] = time.monotonic()
            self._well.discard(endpoint)
        elif began >= self._bad_at.get(endpoint, 0.0):  # one that began before says nothing about now
            self._well.add(endpoint)

    def _oldest_ahead(self, endpoint: str) -> Claim | None:
        waiting = self._ahead.get(endpoint)
        if self._stop() or endpoint not in self._well or not waiting:
            return None
        if waiting[0][0] < time.monotonic() - self._keep_s:
            return None
        return waiting.popleft()[1]
