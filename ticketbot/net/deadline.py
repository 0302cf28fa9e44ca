"""When does this exchange end, whatever the other side does?

A socket's own timeout starts anew with every byte, so a server that drips one byte a second is never late. A Deadline
shuts the sockets down instead: every read and write on them returns at once, also below TLS. It holds dup()s, because
wrapping a socket in TLS takes the original away.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from ticketbot.errors import FetchError


class Deadline:
    """`with Deadline(seconds) as deadline:` - inside, sockets given to `watch` die when the time is up."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._ended = False

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self._ends_at

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def remaining_s(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())

    def check(self) -> None:
        """Raises FetchError("fetch_timeout") when the time is up: a socket that was shut down looks like an end."""
        if self.expired:
            raise FetchError("fetch_timeout")

    def watch(self, sock: socket.socket) -> None:
        with self._lock:
            # Not sock.dup(): one that speaks TLS has none.
            self._sockets.append(socket.socket(fileno=os.dup(sock.fileno())))
            if self._ended:
                _shut(self._sockets[-1])

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """function(*args) in a thread, for calls that know no timeout (getaddrinfo).

        Raises FetchError("fetch_timeout"); the thread is then left to end by itself.
        """
        outcome: list[tuple[bool, Any]] = []

        def work() -> None:
            try:
                outcome.append((True, function(*args)))
            except Exception as error:  # handed to the caller, below
                outcome.append((False, error))

        thread = threading.Thread(target=work, name="deadline-call", daemon=True)
        thread.start()
        thread.join(self.remaining_s())
        if not outcome:
            raise FetchError("fetch_timeout")
        done, value = outcome[0]
        if not done:
            raise value
        return value

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            for sock in self._sockets:
                _shut(sock)


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # never connected, or gone already
