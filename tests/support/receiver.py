"""A real ticket desk on a loopback port: checks signatures, keeps ids, and answers as it is told.

    with Receiver(secret) as desk:
        desk.script(500, 429, 200)         the next answers, then always `desk.usual`
        desk.effects                       ids in the order of their first arrival, each once

An answer is a status, (status, headers), (status, headers, body) or one of
    "reset"    take the event, then break the connection before an answer
    "slow"     take the event, answer only after `desk.slow_s`
    "drip"     take the event, then send one header byte at a time
    "huge"     answer 200 with a body of a gigabyte
    "headers"  answer 200 with headers that never end
    "noise"    answer bytes that are no HTTP
`usual` may be such an answer or a function (request) -> answer.
"""

import json
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ticketbot.deliver import sign
from ticketbot.errors import SignatureRefused


@dataclass(frozen=True)
class Request:
    """One POST as it came over the wire."""

    id: str
    headers: dict[str, str]
    body: bytes
    at: float
    verified: bool
    path: str

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def ticket(self):
        return self.json["data"]["ticket"]

    @property
    def seq(self):
        return self.json["data"]["seq"]


class Receiver:
    def __init__(self, secrets=(), usual=200, slow_s=5.0):
        self.secrets = [secrets] if isinstance(secrets, str) else list(secrets)
        self.usual = usual
        self.slow_s = slow_s
        self.requests: list[Request] = []
        self.effects: list[str] = []
        self.sent_bytes = 0
        self.arrived = threading.Condition()
        self._script = deque()
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_POST(self):
                receiver._take(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def script(self, *answers):
        self._script.extend(answers)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def wait_for(self, n, timeout_s=10.0):
        """Block until `n` requests have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.requests) >= n, timeout_s), f"only {len(self.requests)} came"

    def order_violations(self):
        """Effects of a ticket that came after a later one of the same ticket."""
        newest, wrong, seen = {}, 0, set()
        for request in self.requests:
            if request.id in seen:
                continue
            seen.add(request.id)
            wrong += request.seq < newest.get(request.ticket, 0)
            newest[request.ticket] = max(request.seq, newest.get(request.ticket, 0))
        return wrong

    def _take(self, handler):
        size = int(handler.headers.get("content-length", 0))
        body = handler.rfile.read(size)
        if len(body) < size:
            return  # its sender was killed between head and body: that is no request
        request = self._read(handler, body)
        with self.arrived:
            answer = self._script.popleft() if self._script else self.usual
            answer = answer(request) if callable(answer) else answer
            accepted = answer in ("reset", "slow", "drip", "huge", "headers", "noise") or _status(answer) < 300
            self.requests.append(request)
            if accepted and request.verified and request.id not in self.effects:
                self.effects.append(request.id)
            self.arrived.notify_all()
        self._answer(handler, answer)

    def _read(self, handler, body):
        headers = {name.lower(): value for name, value in handler.headers.items()}
        verified = True
        if self.secrets:
            try:
                sign.verify(body, headers, self.secrets)
            except SignatureRefused:
                verified = False
        return Request(headers.get("webhook-id", ""), headers, body, time.time(), verified, handler.path)

    def _answer(self, handler, answer):
        if answer == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            return
        if answer == "noise":
            handler.wfile.write(bytes(range(256)) * 40)
            return
        if answer == "headers":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(2000):
                handler.wfile.write(b"X-More: 1\r\n" * 99)
            return
        if answer == "slow":
            self._closing.wait(self.slow_s)
            answer = 200
        if answer == "drip":
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 10_000:
                handler.wfile.write(bytes([byte]))
                if self._closing.wait(0.05):
                    return
        if answer == "huge":
            self._huge(handler)
            return
        status, headers, body = (*(answer if isinstance(answer, tuple) else (answer,)), {}, b"ok")[:3]
        if not isinstance(headers, dict):
            headers = {}
        # A Date of the test's own takes the place of the server's.
        (handler.send_response_only if "Date" in headers else handler.send_response)(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _huge(self, handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(2**30))
        handler.end_headers()
        block = b"x" * 65536
        for _ in range(2**30 // len(block)):
            handler.wfile.write(block)
            self.sent_bytes += len(block)


def _status(answer):
    return answer[0] if isinstance(answer, tuple) else answer
