"""Servers that misbehave, each in one way, on loopback.

`BEHAVIOURS[name]` says what a server does and which code `fetch.get` and `fetch.post` must answer with (None: a body,
or a Reply). `with EvilServer(name) as server:` runs one; `server.connect` is the seam that routes any address to it,
and `server.asked` lists the addresses that were asked for.
"""

import gzip
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

JPEG_START = b"\xff\xd8\xff\xe0"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
PUBLIC = "93.184.216.34"


@dataclass(frozen=True)
class Behaviour:
    act: Callable[["Peer"], None]
    get: str | None
    post: str | None
    tls: bool = False  # talk TLS before `act`
    raw: bool = False  # act on accept, before reading a request


BEHAVIOURS: dict[str, Behaviour] = {}


class Peer:
    """One connection as its server sees it."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, every_s: float = 0.1) -> None:
        for byte in data:
            self.sock.sendall(bytes([byte]))
            if self._stopping.wait(every_s):
                return

    def repeat(self, data: bytes, every_s: float = 0.0) -> None:
        """Until the other side has had enough."""
        while not self._stopping.is_set():
            self.sock.sendall(data)
            if every_s:
                self._stopping.wait(every_s)

    def wait(self) -> None:
        self._stopping.wait(30)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def read_request(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            block = self.sock.recv(65536)
            if not block:
                return data
            data += block
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")), 0)
        while len(body) < length and (block := self.sock.recv(65536)):
            body += block
        return head + b"\r\n\r\n" + body


class EvilServer:
    """Runs one behaviour (by name, or a function of a Peer) until the block ends."""

    def __init__(self, behaviour: str | Behaviour, *, context=None) -> None:
        self.behaviour = BEHAVIOURS[behaviour] if isinstance(behaviour, str) else behaviour
        self._context = context
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads: list[threading.Thread] = []
        self._accepted: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self.requests: list[bytes] = []

    def connect(self, address: tuple[str, int], timeout_s: float) -> socket.socket:
        self.asked.append(address[0])
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def __enter__(self) -> "EvilServer":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._accepted:  # a thread may be stuck in a send that nobody reads any more
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._accepted.append(sock.dup())
            self._start(self._serve, sock, self._accepted[-1])

    def _serve(self, sock: socket.socket, handle: socket.socket) -> None:
        try:
            if self.behaviour.tls:
                sock = self._context.wrap_socket(sock, server_side=True)
            peer = Peer(sock, self._stopping)
            if not self.behaviour.raw:
                self.requests.append(peer.read_request())
            self.behaviour.act(peer)
        except OSError:
            pass  # the other side hung up: that is what it should do
        finally:
            handle.close()
            sock.close()


# --- what they do -----------------------------------------------------------------------------------------------------


def _behaviour(name: str, get: str | None, post: str | None, **kind: bool):
    def register(act: Callable[[Peer], None]) -> Callable[[Peer], None]:
        BEHAVIOURS[name] = Behaviour(act, get, post, **kind)
        return act

    return register


def _answers(name: str, data: bytes, get: str | None, post: str | None = None, **kind: bool) -> None:
    """A server that sends `data` and closes."""
    BEHAVIOURS[name] = Behaviour(lambda peer: peer.send(data), get, post, **kind)


def redirect(location: bytes, status: bytes = b"302 Found") -> Behaviour:
    answer = b"HTTP/1.1 " + status + b"\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    return Behaviour(lambda peer: peer.send(answer), None, None)


def _slow(name: str, act: Callable[[Peer], None], post: str | None = "fetch_timeout", **kind: bool) -> None:
    BEHAVIOURS[name] = Behaviour(act, "fetch_timeout", post, **kind)


def _then(start: bytes, act: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def both(peer: Peer) -> None:
        peer.send(start)
        act(peer)

    return both


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# Slow. A webhook that got its status line and headers has been answered (None), however slow the rest.
_slow("accept, then silence", lambda peer: peer.wait())
_slow("never reads the request", lambda peer: peer.wait(), raw=True)
_slow("status line drip 1 byte / 0.1 s", lambda peer: peer.drip(OK))
_slow("header line drip 1 byte / 0.2 s", _then(OK, lambda peer: peer.drip(b"X-Slow: " + b"a" * 999, 0.2)))
_slow("one header a moment, for ever", _then(OK, lambda peer: peer.repeat(b"X-More: 1\r\n", 0.05)))
_slow("body drip", _then(OK + b"Content-Length: 1000\r\n\r\n", lambda peer: peer.drip(b"x" * 1000)), None)
_slow("body drip until close", _then(OK + b"\r\n", lambda peer: peer.drip(b"x" * 1000)), None)
_slow("chunked drip", _then(CHUNKED, lambda peer: peer.repeat(b"1\r\nx\r\n", 0.1)), None)
_slow("chunk size drip", _then(CHUNKED, lambda peer: peer.drip(b"0" * 1000)), None)
_slow("endless trailers", _then(CHUNKED + b"1\r\nx\r\n0\r\n", lambda peer: peer.repeat(b"X-Trailer: 1\r\n" * 99)), None)
_slow("endless 100 Continue", lambda peer: peer.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"))
_slow("100 Continue drip", lambda peer: peer.repeat(b"HTTP/1.1 100 Continue\r\n\r\n", 0.1))
_slow("TLS body drip", _then(OK + b"Content-Length: 99\r\n\r\n", lambda peer: peer.drip(b"x" * 99)), None, tls=True)
_slow("TLS header drip", _then(OK, lambda peer: peer.drip(b"X-Slow: " + b"a" * 99)), tls=True)

# Too much.
_behaviour("one 5 MB header", "fetch_failed", "fetch_failed")(
    _then(OK + b"X-Big: ", lambda peer: [peer.send(b"a" * 65536) for _ in range(80)])
)
_behaviour("endless status line", "fetch_failed", "fetch_failed")(lambda peer: peer.repeat(b"HTTP/1.1 200 " * 999))
_behaviour("endless headers", "fetch_failed", "fetch_failed")(
    _then(OK, lambda peer: peer.repeat(b"X-More: 1\r\n" * 99))
)
_behaviour("endless body", "body_too_large", None)(_then(OK + b"\r\n", lambda peer: peer.repeat(b"x" * 65536)))
_behaviour("endless chunks", "body_too_large", None)(
    _then(CHUNKED, lambda peer: peer.repeat(b"10000\r\n" + b"x" * 65536 + b"\r\n"))
)
_behaviour("endless chunk size", "fetch_failed", None)(_then(CHUNKED, lambda peer: peer.repeat(b"0" * 65536)))
_behaviour("endless chunk extension", "fetch_failed", None)(_then(CHUNKED + b"1;", lambda p: p.repeat(b"e" * 65536)))
_behaviour("chunk of size -1", "fetch_failed", None)(_then(CHUNKED + b"-1\r\n", lambda peer: peer.repeat(b"x" * 65536)))
_answers("chunk of 4 GB", CHUNKED + b"ffffffff\r\nxx", "fetch_failed")
_answers("1,000 headers", OK + b"X-More: 1\r\n" * 1000 + b"\r\n", "fetch_failed", "fetch_failed")

# Lengths.
_answers("Content-Length: 999999999999", OK + b"Content-Length: 999999999999\r\n\r\nxx", "body_too_large")
_answers("Content-Length: 10, 2 bytes sent", OK + b"Content-Length: 10\r\n\r\nxx", "fetch_failed")
_answers("Content-Length: -1", OK + b"Content-Length: -1\r\n\r\nxx", "bad_content_length")
_answers("Content-Length: +2", OK + b"Content-Length: +2\r\n\r\nxx", "bad_content_length")
_answers("Content-Length: two", OK + b"Content-Length: two\r\n\r\nxx", "bad_content_length")
_answers("Content-Length: 1_0", OK + b"Content-Length: 1_0\r\n\r\n0123456789", "bad_content_length")
_answers("Content-Length: nothing", OK + b"Content-Length:\r\n\r\nxx", "bad_content_length")
_answers(
    "two different Content-Length",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nxxx",
    "fetch_failed",
    "fetch_failed",
)
_answers("two equal Content-Length", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nxx", None)
_answers("chunk of size zz", CHUNKED + b"zz\r\nxx\r\n0\r\n\r\n", "fetch_failed")
_answers("chunks cut off", CHUNKED + b"5\r\nab", "fetch_failed")

# Encodings.
_answers(
    "gzip",
    OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 10**6),
    "encoding_refused",
)
_answers("br", OK + b"Content-Encoding: br\r\n\r\nxx", "encoding_refused")
_answers("Transfer-Encoding: gzip, chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\nxx", "encoding_refused")

# Not HTTP, or not whole.
_answers("HTTP/0.9 body without status", b"<html>hello</html>", "fetch_failed", "fetch_failed")
_answers("SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n", "fetch_failed", "fetch_failed", raw=True)
_answers("binary noise", bytes(range(256)) * 40, "fetch_failed", "fetch_failed")
_answers("HTTP/9.9", b"HTTP/9.9 200 OK\r\n\r\n", "fetch_failed", "fetch_failed")
_answers("status 99999", b"HTTP/1.1 99999 OK\r\n\r\n", "fetch_failed", "fetch_failed")
_answers("close at once", b"", "fetch_failed", "fetch_failed")
_behaviour("reset at once", "fetch_failed", "fetch_failed")(lambda peer: peer.reset())
_behaviour("reset within the body", "fetch_failed", None)(
    _then(OK + b"Content-Length: 1000\r\n\r\nxx", lambda peer: peer.reset())
)

# Other statuses: only 200 is a picture; a webhook hears them all.
for _status in (
    "204 No Content",
    "206 Partial Content",
    "304 Not Modified",
    "404 Not Found",
    "500 Oops",
    "300 Choices",
):
    _answers(_status[:3], f"HTTP/1.1 {_status}\r\nContent-Length: 0\r\n\r\n".encode(), "upstream_status")
_answers(
    "401 with WWW-Authenticate",
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
    "upstream_status",
)
_answers("302 without Location", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "upstream_status")
_answers(
    "302 with two Locations",
    b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    "fetch_failed",
)
BEHAVIOURS["redirect to itself"] = Behaviour(redirect(b"/").act, "too_many_redirects", None)

# TLS that does not come about (the name asked for is x.test).
_answers("TLS port talks plain HTTP", OK + b"\r\n", "tls_failed", "tls_failed", raw=True)
_slow("TLS handshake never answers", lambda peer: peer.wait(), raw=True)
_slow("TLS handshake drip", lambda peer: peer.drip(b"\x16\x03\x03\x10\x00\x02" + b"\x00" * 99), raw=True)

# A picture, the plain way.
_answers("picture", OK + b"Content-Length: 4\r\n\r\n" + JPEG_START, None)
