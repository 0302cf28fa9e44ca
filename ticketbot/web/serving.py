"""How does the web app listen? waitress with limits on everything a client may send, and a clean stop.

waitress counts header bytes but not header lines; `Parser` adds that.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from flask import Flask
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import RequestHeaderFieldsTooLarge

from ticketbot.settings import Settings

MB = 2**20
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADER_LINES = 100
MULTIPART_OVERHEAD_BYTES = 64 * 1024
# A connection that says nothing for so long is closed.
IDLE_S = 60
LOOP_S = 0.2


class Parser(HTTPRequestParser):
    """Refuses a head that is too long or has too many lines, and an address that is none.

    The head is read whole first (to twice our limit): whoever is cut off in the middle gets a reset, not a 431.
    """

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
            threads=web.threads,
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
