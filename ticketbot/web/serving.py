"""How does the web app listen? waitress with limits on everything a client may send, and a clean stop.

waitress counts header bytes but not header lines; `Parser` adds that. It has one queue without an end; `Lanes` makes
two of it: pictures to be classified wait in one of their own, so that no page and no /healthz stands behind them, and
when too many wait already, or one has waited for too long, the answer is 503 with Retry-After. One caller never has all
threads of that lane: addresses that answer slowly would keep everybody else out.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from flask import Flask
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import BadRequest, Error, RequestHeaderFieldsTooLarge

from ticketbot.settings import Settings

MB = 2**20
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADER_LINES = 100
MULTIPART_OVERHEAD_BYTES = 64 * 1024
# A connection that says nothing for so long is closed.
IDLE_S = 60
LOOP_S = 0.2
# What takes a network's time.
HEAVY = "/classify"
# So many wait for it at most: with one network's 20 answers a second, three seconds.
WAITING = 64
# Threads for each inference at once: while one infers, others fetch and decode.
LOOKED_AFTER = 4
# Of them, one caller's at most.
SHARE = 0.75

# One line for each request that finds another one before it.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)


class Parser(HTTPRequestParser):
    """Refuses a head that is too long or has too many lines, and an address that is none.

    The head is read whole first (to twice our limit): whoever is cut off in the middle gets a reset, not a 431.
    """

    completed: bool

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if not self.completed and self.body_rcv is None:
            # Lines that end with LF alone never end a head for waitress: whoever sends them would wait for nothing.
            tail = self.header_plus[-len(data) - 2 :]
            if b"\n\n" in tail or b"\n\r\n" in tail:
                super().parse_header(b"GET / HTTP/1.0\r\n")
                self.error = BadRequest("Lines end with CR LF")
                self.completed = True
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        too_much = len(header_plus) > MAX_HEADER_BYTES or header_plus.count(b"\n") > MAX_HEADER_LINES + 1
        if too_much:
            super().parse_header(b"GET / HTTP/1.0\r\n")
            self.error = RequestHeaderFieldsTooLarge(f"at most {MAX_HEADER_LINES} lines, {MAX_HEADER_BYTES} bytes")
            self.completed = True
            return
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # urlsplit's; nobody catches it, and the connection would just drop
            raise ParsingError("Invalid address") from error


class Channel(HTTPChannel):
    parser_class = Parser


class Overloaded(Error):
    """503, as web/problem.py would say it, without a thread of the app."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("All places are taken; try again in a moment.")
        self.wait_s = wait_s

    def to_response(self, _ident: object = None) -> tuple[str, list[tuple[str, str]], bytes]:
        about = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "busy"}
        headers = [("Content-Type", "application/problem+json"), ("Retry-After", str(max(1, math.ceil(self.wait_s))))]
        return (
            "503 Service Unavailable",
            headers,
            json.dumps({**about, "detail": self.body, "retryable": True}).encode(),
        )


class Lanes:
    """waitress's threads, twice: for what is quick, and for HEAVY, of which at most WAITING wait, for `queue_s`.

    A caller is who sends one Authorization header or cookie, else an address.
    """

    def __init__(self, quick: int, heavy: int, queue_s: float) -> None:
        self.queue_s = queue_s
        self._quick, self._heavy = ThreadedTaskDispatcher(), ThreadedTaskDispatcher()
        self._quick.set_thread_count(quick)
        self._heavy.set_thread_count(heavy)
        self._each = max(1, int(heavy * SHARE))
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()
        # Those for whom their caller's share is used up.
        self._held: dict[str, deque[_InLine]] = {}

    def add_task(self, channel: HTTPChannel) -> None:
        request = channel.requests[0]
        if request.error or not request.path.startswith(HEAVY):
            self._quick.add_task(channel)
        elif self.waiting >= WAITING:
            request.error = Overloaded(self.queue_s)
            self._quick.add_task(channel)
        else:
            self._enter(_InLine(channel, self.queue_s, self._left))

    @property
    def waiting(self) -> int:
        """Of HEAVY, for whom no thread is idle, or whose caller has its share."""
        lane = self._heavy
        with lane.lock:
            no_thread = max(0, len(lane.queue) - (len(lane.threads) - lane.active_count))
        with self._lock:
            return no_thread + sum(len(held) for held in self._held.values())

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> None:
        with self._lock:
            held = [task for tasks in self._held.values() for task in tasks]
            self._held.clear()
        for task in held:
            task.channel.cancel()
        for lane in (self._quick, self._heavy):
            lane.shutdown(cancel_pending, timeout)

    def _enter(self, task: _InLine) -> None:
        with self._lock:
            if self._inside[task.caller] >= self._each:
                self._held.setdefault(task.caller, deque()).append(task)
                return
            self._inside[task.caller] += 1
        self._heavy.add_task(task)

    def _left(self, caller: str) -> None:
        with self._lock:
            self._inside[caller] -= 1
            if not self._inside[caller]:
                del self._inside[caller]
            held = self._held.get(caller)
            if not held:
                return
            following = held.popleft()
            if not held:
                del self._held[caller]
            self._inside[caller] += 1
        self._heavy.add_task(following)


class _InLine:
    """A request that waits for a thread, and is refused when that took too long; `left` hears of its end."""

    def __init__(self, channel: HTTPChannel, queue_s: float, left: Callable[[str], None]) -> None:
        self.channel, self.queue_s = channel, queue_s
        headers = channel.requests[0].headers
        self.caller = str(headers.get("AUTHORIZATION") or headers.get("COOKIE") or channel.addr[:1])
        self._left = left
        self._since = time.monotonic()

    def service(self) -> None:
        try:
            if time.monotonic() - self._since > self.queue_s:
                self.channel.requests[0].error = Overloaded(self.queue_s)
            self.channel.service()
        finally:
            self._left(self.caller)

    def cancel(self) -> None:
        self.channel.cancel()


class WebServer:
    """`run()` serves until `stop()` is called or SystemExit is raised in it, then ends what is under way."""

    def __init__(self, app: Flask, settings: Settings, *, grace_s: float = 10.0) -> None:
        """Binds the address at once. Raises OSError when it is taken."""
        web = settings.web
        self._map: dict[int, Any] = {}
        self._stop = threading.Event()
        self._grace_s = grace_s
        self._server = create_server(
            app,
            map=self._map,
            host=web.host,
            port=web.port,
            _dispatcher=Lanes(web.threads, LOOKED_AFTER * settings.classify.http_slots, settings.classify.queue_s),
            ident=None,
            max_request_header_size=2 * MAX_HEADER_BYTES,
            max_request_body_size=web.upload_max_mb * MB + MULTIPART_OVERHEAD_BYTES,
            channel_timeout=IDLE_S,
            connection_limit=500,
            clear_untrusted_proxy_headers=False,  # ProxyFix reads them, and only as many hops as are configured
            asyncore_use_poll=True,
        )
        self._listeners = [each for each in self._map.values() if hasattr(each, "channel_class")]
        for listener in self._listeners:
            listener.channel_class = Channel

    @property
    def port(self) -> int:
        """The port that was bound (web.port may be 0)."""
        return int(self._listeners[0].effective_port)

    def run(self) -> None:
        try:
            while not self._stop.is_set():
                wasyncore.loop(timeout=LOOP_S, map=self._map, use_poll=True, count=1)
        except (SystemExit, KeyboardInterrupt):  # raised by the process's signal handler
            self._stop.set()
        self._finish()

    def stop(self) -> None:
        """Noticed within LOOP_S. (Waking the loop up would race with the end of it for the pipe.)"""
        self._stop.set()

    def _finish(self) -> None:
        """Take no new connection, answer what was asked (for at most grace_s), close."""
        for listener in self._listeners:
            listener.accepting = False
            listener.del_channel()
            listener.socket.close()
        until = time.monotonic() + self._grace_s
        while self._busy() and time.monotonic() < until:
            wasyncore.loop(timeout=0.05, map=self._map, use_poll=True, count=1)
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map, ignore_all=True)

    def _busy(self) -> bool:
        channels = [each for listener in self._listeners for each in list(listener.active_channels.values())]
        return any(channel.requests or channel.total_outbufs_len for channel in channels)
