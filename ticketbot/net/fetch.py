"""Fetch one picture, post one webhook: to a checked address, within a deadline, and no more than asked for.

    get     a picture: follows at most 3 redirects, each checked like the first; takes only a whole 200 answer
    post    a webhook: follows nothing, whatever the status; reads at most 64 KB of the answer
    request what both stand on, for other methods (never follows redirects)
    Kept    connections that stay open between the posts of a round

A server can be slow in a dozen places (name lookup, connect, TLS, each header, each chunk), and timeouts of a socket
start anew with every byte. So one `Deadline` covers it all and ends it by shutting the sockets down.

No proxies from the environment, no cookies, no netrc, no credentials, no content encodings. Certificates are checked
against the system's trust store (SSL_CERT_FILE names another) and the host's name.

Two seams let every case run without a network:
    resolve(host: str, port: int)              -> like socket.getaddrinfo, or an iterable of address texts
    connect((address: str, port: int), timeout_s: float) -> a connected socket
Both are called positionally. `connect` gets a checked address, never a name; one that is passed in answers for what it
connects to (a test routes a public address to a loopback server), while our own compares getpeername() as well.
"""

from __future__ import annotations

import functools
import http.client
import io
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, SSLError
from urllib3.exceptions import TimeoutError as UrllibTimeoutError

from ticketbot import __version__
from ticketbot.errors import AddressRefused, FetchError
from ticketbot.net.deadline import Deadline
from ticketbot.net.guard import WEB_PORTS, Resolve, Target, check, system_resolve

MAX_PICTURE_BYTES = 20 * 2**20
MAX_REDIRECTS = 3
MAX_REPLY_BYTES = 65536
_BLOCK_BYTES = 65536
# The deadline ends an exchange; a socket's own timeout is only the net below, so it must come later.
LATE_S = 0.5
# A kept connection that lay idle for longer is not used again: servers close theirs after five seconds and more, and
# one that is closed just when we write looks like a failed attempt.
IDLE_S = 2.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# All that urllib3 and the standard library raise for what a server can do; ValueError for sizes that are no numbers.
_BROKEN = (HTTPError, http.client.HTTPException, OSError, ValueError)

Connect = Callable[[tuple[str, int], float], socket.socket]

# It logs a traceback with the peer's words for every malformed header: a stranger could fill our log.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Reply:
    """What a server answered. Header names are lower case; `ms` is the whole time, lookup included."""

    status: int
    headers: dict[str, str]
    body: bytes
    ms: float


def get(
    url: str,
    *,
    resolve: Resolve | None = None,
    connect: Connect | None = None,
    deadline_s: float = 15.0,
    allow: Sequence[str] = (),
    ports: Sequence[int] | None = WEB_PORTS,
    max_bytes: int = MAX_PICTURE_BYTES,
    max_redirects: int = MAX_REDIRECTS,
) -> bytes:
    """The body behind `url`, at most `max_bytes`. Raises AddressRefused or FetchError within `deadline_s` + 1 s."""
    headers = {"Accept": "image/jpeg, image/png, image/webp, image/gif, image/bmp, */*;q=0.1"}
    with Deadline(deadline_s) as deadline:
        look_up = functools.partial(deadline.call, resolve or system_resolve)
        target = check(url, resolve=look_up, allow=allow, ports=ports)
        for _ in range(max_redirects + 1):
            with _exchange(_Line(target, connect), "GET", target, None, headers, deadline) as response:
                location = _location(response)
                if location is None:
                    _refuse_head(response, max_bytes)
                    body = _whole_body(response, max_bytes)
                    deadline.check()
                    return body
            target = check(_next_url(target, location), resolve=look_up, allow=allow, ports=ports)
    raise FetchError("too_many_redirects")


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    resolve: Resolve | None = None,
    connect: Connect | None = None,
    deadline_s: float = 20.0,
    allow: Sequence[str] = (),
    ports: Sequence[int] | None = None,
    read_bytes: int = MAX_REPLY_BYTES,
) -> Reply:
    """POST `body` and return the answer, whatever its status; see `request`."""
    return request(
        "POST",
        url,
        body=body,
        headers=headers,
        resolve=resolve,
        connect=connect,
        deadline_s=deadline_s,
        allow=allow,
        ports=ports,
        read_bytes=read_bytes,
    )


def request(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    resolve: Resolve | None = None,
    connect: Connect | None = None,
    deadline_s: float = 20.0,
    allow: Sequence[str] = (),
    ports: Sequence[int] | None = None,
    read_bytes: int = MAX_REPLY_BYTES,
    kept: Kept | None = None,
) -> Reply:
    """One exchange, no redirects. Raises AddressRefused or FetchError within `deadline_s` + 1 s.

    Once status and headers are there, a body that breaks off or drips is cut, not raised: the receiver has spoken.
    """
    started_at = time.monotonic()
    with Deadline(deadline_s) as deadline:
        look_up = functools.partial(deadline.call, resolve or system_resolve)
        target = check(url, resolve=look_up, allow=allow, ports=ports)
        line = _Line(target, connect) if kept is None else kept.take(target, connect)
        with _exchange(line, method, target, body, headers or {}, deadline) as response:
            names = {name.lower(): response.headers[name] for name in response.headers}
            text = _what_comes(response, read_bytes)
        if kept is not None:
            kept.give(line)
    return Reply(response.status, names, text, (time.monotonic() - started_at) * 1000)


def dial(address: tuple[str, int], timeout_s: float) -> socket.socket:
    """A TCP connection to a literal address, whose other end is that address. Raises OSError or AddressRefused."""
    host, port = address
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.settimeout(timeout_s)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect((host, port))
        if made.getpeername()[0] != host:
            raise AddressRefused("address_refused")
    except BaseException:
        made.close()
        raise
    return made


# --- one exchange -----------------------------------------------------------------------------------------------------


@contextmanager
def _exchange(
    line: _Line,
    method: str,
    target: Target,
    body: bytes | None,
    headers: Mapping[str, str],
    deadline: Deadline,
) -> Iterator[urllib3.BaseHTTPResponse]:
    """The answer's head; its body is still to be read. Everything that breaks in the block becomes a FetchError.

    Ends the line's connection, unless it is kept and all went well.
    """
    once = {} if line.is_kept else {"Connection": "close"}
    keep = False
    try:
        with _fetch_errors(deadline):
            response = line.over(target, deadline).urlopen(
                method,
                target.path,
                body=body,
                headers={"User-Agent": f"ticketbot/{__version__}", **headers, **once},
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                timeout=deadline.remaining_s() + LATE_S,
            )
            try:
                deadline.check()
                yield response
            finally:
                response.close()
        keep = line.is_kept
    finally:
        if not keep:
            line.close()


@contextmanager
def _fetch_errors(deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        if deadline.expired or isinstance(error, UrllibTimeoutError | TimeoutError):
            raise FetchError("fetch_timeout") from error
        raise FetchError("tls_failed" if isinstance(error, SSLError | ssl.SSLError) else "fetch_failed") from error


class _Line:
    """A way to one server, through addresses that were checked for this exchange and no others.

    `address`: where its connection leads; None before it has one.
    """

    def __init__(self, target: Target, connect: Connect | None, *, is_kept: bool = False) -> None:
        self.server = (target.scheme, target.host, target.port)
        self.is_kept = is_kept
        self.address: str | None = None
        self._connect = connect or dial
        pinned: dict[str, Any] = {"line": self}
        self._pool: urllib3.HTTPConnectionPool
        if target.scheme == "http":
            self._pool = _Pool(target.host, target.port, **pinned)
        else:
            trust = _trust(ssl.get_default_verify_paths())
            self._pool = _TLSPool(target.host, target.port, ssl_context=trust, **pinned)

    def over(self, target: Target, deadline: Deadline) -> urllib3.HTTPConnectionPool:
        """For the next exchange."""
        self._target, self._deadline = target, deadline
        return self._pool

    def close(self) -> None:
        self._pool.close()

    def dial(self) -> socket.socket:
        """The first of the checked addresses that answers; each gets a fair share of the time."""
        error: OSError = OSError("no address")
        addresses = self._target.addresses
        for number, address in enumerate(addresses):
            share_s = self._deadline.remaining_s() / (len(addresses) - number)
            if share_s <= 0:
                break
            try:
                made = self._connect((address, self._target.port), share_s)
            except OSError as refused:
                error = refused
            else:
                made.settimeout(self._deadline.remaining_s() + LATE_S)
                self._deadline.watch(made)
                self.address = address
                return made
        raise error

    def again(self, sock: socket.socket) -> None:
        """Its connection goes on: this exchange's deadline holds for it too."""
        sock.settimeout(self._deadline.remaining_s() + LATE_S)
        self._deadline.watch(sock)


class Kept:
    """Connections that stay open between posts; several threads may share it. Close it, or leave a `with` block.

    Each post looks its name up and checks the answers, as ever; it goes over an open connection only when that leads to
    one of those answers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[tuple[float, _Line]] = []

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def post(self, url: str, body: bytes, headers: Mapping[str, str], **options: Any) -> Reply:
        """As `post` of this module."""
        return request("POST", url, body=body, headers=headers, kept=self, **options)

    def take(self, target: Target, connect: Connect | None) -> _Line:
        """A line to this server that nobody else uses meanwhile."""
        server, now = (target.scheme, target.host, target.port), time.monotonic()
        with self._lock:
            old = [one for one in self._free if one[0] < now - IDLE_S]
            fitting = [one for one in self._free if one[1].server == server and one[1].address in target.addresses]
            newest = fitting[-1] if fitting and fitting[-1] not in old else None
            self._free = [one for one in self._free if one not in old and one is not newest]
        for _, line in old:
            line.close()
        return _Line(target, connect, is_kept=True) if newest is None else newest[1]

    def give(self, line: _Line) -> None:
        with self._lock:
            self._free.append((time.monotonic(), line))

    def close(self) -> None:
        with self._lock:
            free, self._free = self._free, []
        for _, line in free:
            line.close()


@functools.lru_cache(maxsize=4)
def _trust(paths: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """Reading a trust store takes tens of milliseconds: once for each place it is read from."""
    return ssl.create_default_context()


# --- urllib3, held to our rules ---------------------------------------------------------------------------------------


class _Response(http.client.HTTPResponse):
    def _read_next_chunk_size(self) -> int:
        # int(b"-1", 16) is a number to the standard library, which then reads until the end without any bound.
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            raise http.client.IncompleteRead(b"")
        return size


class _Pinned:
    """Connects where its line leads and nowhere else; name, SNI and certificate check stay with the host."""

    sock: socket.socket | None

    def __init__(self, *args: Any, line: _Line, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.dial()

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self._line.again(self.sock)
        super().request(*args, **kwargs)  # type: ignore[misc]


class _PinnedHTTP(_Pinned, HTTPConnection):
    response_class = _Response


class _PinnedHTTPS(_Pinned, HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PinnedHTTP


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PinnedHTTPS


# --- what an answer must be -------------------------------------------------------------------------------------------


def _location(response: urllib3.BaseHTTPResponse) -> str | None:
    """Where a redirect leads; None when the answer is no redirect."""
    if response.status not in _REDIRECTS:
        return None
    locations = set(response.headers.getlist("Location"))
    if len(locations) > 1:
        raise FetchError("fetch_failed", "the server named two places to go")
    if not locations or locations == {""}:
        raise FetchError("upstream_status")
    try:
        return (
            locations.pop().encode("latin-1").decode("utf-8")
        )  # how http.client reads bytes; they are UTF-8 or refused
    except UnicodeError:
        raise AddressRefused("url_malformed") from None


def _next_url(target: Target, location: str) -> str:
    try:
        url = urljoin(target.url, location)
    except ValueError:
        raise AddressRefused("url_malformed") from None
    if target.scheme == "https" and url[:5].lower() == "http:":
        raise AddressRefused("redirect_downgrade")
    return url


def _refuse_head(response: urllib3.BaseHTTPResponse, max_bytes: int) -> None:
    if response.status != 200:
        raise FetchError("upstream_status")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    transfer = response.headers.get("Transfer-Encoding", "chunked").strip().lower()
    if encoding not in ("identity", "") or transfer != "chunked":
        raise FetchError("encoding_refused")
    lengths = {length.strip() for length in response.headers.getlist("Content-Length")}
    if not all(length.isascii() and length.isdigit() for length in lengths):
        raise FetchError("bad_content_length")
    if len(lengths) > 1:
        raise FetchError("fetch_failed", "the server named two lengths")
    if lengths and int(lengths.pop()) > max_bytes:
        raise FetchError("body_too_large")


def _whole_body(response: urllib3.BaseHTTPResponse, max_bytes: int) -> bytes:
    body = io.BytesIO()
    while block := response.read(_BLOCK_BYTES, decode_content=False):
        if body.tell() + len(block) > max_bytes:
            raise FetchError("body_too_large")
        body.write(block)
    return body.getvalue()


def _what_comes(response: urllib3.BaseHTTPResponse, read_bytes: int) -> bytes:
    body = b""
    try:
        while len(body) < read_bytes and (block := response.read(read_bytes - len(body), decode_content=False)):
            body += block
    except _BROKEN:
        pass
    return body
