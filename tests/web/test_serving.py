"""The real server on a real socket: what clients may not send, and how it stops."""

import re
import socket
import threading
import time

import pytest
from flask import Blueprint

from tests.support.settings import make_settings
from tests.support.site import Site
from ticketbot.db import connect
from ticketbot.db.models import Base
from ticketbot.web import serving
from ticketbot.web.access import public
from ticketbot.web.serving import WebServer


def slow():
    blueprint = Blueprint("slow", __name__)

    @blueprint.get("/slow")
    @public
    def answer():
        time.sleep(0.6)
        return "done"

    return blueprint


def heavy():
    """A /classify that ends when `go_on` is set."""
    blueprint = Blueprint("heavy", __name__)
    blueprint.go_on, blueprint.inside = threading.Event(), []

    @blueprint.get("/classify-slow")
    @public
    def answer():
        blueprint.inside.append(1)
        blueprint.go_on.wait(20)
        return "done"

    return blueprint


@pytest.fixture
def busy(tmp_path, monkeypatch):
    """(server, the blueprint): one inference at once, so four threads for /classify, and two may wait, for 2 s."""
    monkeypatch.setattr(serving, "WAITING", 2)
    made = heavy()
    overrides = {"web.port": 0, "web.threads": 1, "classify.http_slots": 1, "classify.queue_s": 2}
    yield from running(tmp_path, overrides, made, lambda server: (server, made))


@pytest.fixture
def server(tmp_path):
    yield from running(tmp_path, {"web.port": 0, "web.threads": 4}, slow(), lambda server: server)


def running(tmp_path, overrides, blueprint, given):
    db = connect(f"sqlite:///{tmp_path / 'ticketbot.db'}")
    Base.metadata.create_all(db.engine)
    settings = make_settings(tmp_path, overrides)
    made = WebServer(Site(db, settings, (blueprint,)).app, settings)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield given(made)
    getattr(blueprint, "go_on", threading.Event()).set()
    made.stop()
    thread.join(timeout=15)
    assert not thread.is_alive()
    db.close()


def talk(server, request: bytes) -> bytes:
    """Send these bytes, return everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(request)
        received = b""
        while chunk := peer.recv(65536):
            received += chunk
            if b"Connection: close" not in received and b"\r\n\r\n" in received:
                break
        return received


def status(answer: bytes) -> int:
    return int(re.match(rb"HTTP/1\.[01] (\d{3})", answer)[1])


HEAD = b"Host: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n", 200),
        (b"TRACE /healthz HTTP/1.1\r\n" + HEAD + b"\r\n", 405),
        (b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n" + HEAD + b"".join(b"X-%d: 1\r\n" % i for i in range(1000)) + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X-Same: 1\r\n" * 1000 + b"\r\n", 431),
        (b"POST /login HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400),
        (b"POST /login HTTP/1.1\r\n" + HEAD + b"Content-Length: -5\r\n\r\n", 400),
        (b"POST /login HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999999\r\n\r\n", 413),
        (b"POST /login HTTP/1.1\r\n" + HEAD + b"Content-Length: 3000000\r\n\r\n" + b"a" * 3_000_000, 413),
        (b"GET /picture/%2e%2e%2fetc HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /\x00 HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 400),
        (b"GET http://[::1 HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\n\r\n", 400),
    ],
)
def test_what_is_too_much_or_malformed_is_refused(server, request_bytes, expected):
    assert status(talk(server, request_bytes)) == expected


def test_it_goes_on_after_refusals(server):
    for _ in range(5):
        talk(server, b"GET / HTTP/1.1\r\n" + HEAD + b"X-Same: 1\r\n" * 1000 + b"\r\n")
    assert status(talk(server, b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")) == 200


def test_it_does_not_say_what_software_it_is(server):
    assert b"waitress" not in talk(server, b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n").lower()


def test_a_stop_lets_the_answer_under_way_end_and_takes_no_new_one(server):
    answers = []
    asking = threading.Thread(target=lambda: answers.append(talk(server, b"GET /slow HTTP/1.1\r\n" + HEAD + b"\r\n")))
    asking.start()
    time.sleep(0.2)
    port = server.port
    server.stop()
    asking.join(timeout=5)
    assert status(answers[0]) == 200
    assert answers[0].endswith(b"done")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_alive_answers_while_every_other_thread_is_busy(server):
    busy = [threading.Thread(target=talk, args=(server, b"GET /slow HTTP/1.1\r\n" + HEAD + b"\r\n")) for _ in range(3)]
    for thread in busy:
        thread.start()
    began = time.monotonic()
    assert status(talk(server, b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")) == 200
    assert time.monotonic() - began < 0.5
    for thread in busy:
        thread.join()


def test_a_signal_that_raises_in_the_loop_is_a_clean_stop(tmp_path, monkeypatch):
    db = connect(f"sqlite:///{tmp_path / 'ticketbot.db'}")
    settings = make_settings(tmp_path, {"web.port": 0})
    server = WebServer(Site(db, settings).app, settings)

    def interrupted(**_):
        raise SystemExit(0)

    monkeypatch.setattr("ticketbot.web.serving.wasyncore.loop", interrupted)
    server.run()
    db.close()


HEAVY = b"GET /classify-slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %d\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def asked(server, count, caller=None):
    """Connections that have asked for something heavy and wait: each another caller's, unless one is named."""
    peers = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(count)]
    for number, peer in enumerate(peers):
        peer.sendall(HEAVY % (number if caller is None else caller))
    return peers


def full(server, slow_one):
    """All four threads are at work."""
    until(lambda: server._server.task_dispatcher._heavy.active_count == 0)  # they have started
    peers = asked(server, 4)
    until(lambda: len(slow_one.inside) == 4)
    return peers


def waiting(server):
    return server._server.task_dispatcher.waiting


def until(true):
    ends_at = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


def said(peer):
    with peer:
        return b"".join(iter(lambda: peer.recv(65536), b""))


def test_healthz_does_not_stand_behind_pictures(busy):
    server, slow_one = busy
    peers = full(server, slow_one) + asked(server, 2)
    until(lambda: waiting(server) == 2)
    assert status(talk(server, HEALTH)) == 200
    slow_one.go_on.set()
    [peer.close() for peer in peers]


def test_one_too_many_is_told_at_once_when_to_come_back(busy):
    server, slow_one = busy
    peers = full(server, slow_one) + asked(server, 2)
    until(lambda: waiting(server) == 2)
    answer = talk(server, HEAVY % 9)
    assert status(answer) == 503
    assert b"Retry-After: 2\r\n" in answer
    assert b"application/problem+json" in answer and b'"code": "busy"' in answer
    slow_one.go_on.set()
    assert [status(said(peer)) for peer in peers[:4]] == [200] * 4
    [peer.close() for peer in peers[4:]]


def test_one_that_waited_too_long_is_refused_and_not_worked_on(busy):
    server, slow_one = busy
    peers = full(server, slow_one)
    (late,) = asked(server, 1)
    until(lambda: waiting(server) == 1)
    time.sleep(2.1)  # queue_s, which is what this is about
    slow_one.go_on.set()
    assert [status(said(peer)) for peer in peers] == [200] * 4
    assert status(said(late)) == 503


def test_one_caller_never_has_all_places(busy, monkeypatch):
    """Four threads, so three of one caller's: somebody else is answered while all of those hang."""
    monkeypatch.setattr(serving, "WAITING", 64)
    server, slow_one = busy
    until(lambda: server._server.task_dispatcher._heavy.active_count == 0)
    many = asked(server, 10, caller=1)
    until(lambda: len(slow_one.inside) == 3 and waiting(server) == 7)
    (other,) = asked(server, 1, caller=2)
    until(lambda: len(slow_one.inside) == 4)
    slow_one.go_on.set()
    assert [status(said(peer)) for peer in [other, *many]] == [200] * 11
    assert not server._server.task_dispatcher._inside
