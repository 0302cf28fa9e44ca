"""Connections that stay open lead where the last check allowed, end with the deadline, and are all given back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.evil_server import PUBLIC, Behaviour, EvilServer
from ticketbot.errors import Refused
from ticketbot.net import fetch

OTHER = "2.2.2.2"
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(*answers, tls=False):
    """A server that gives these answers on one connection after the other's request, the last one for ever."""

    def act(peer):
        left = list(answers)
        while True:
            answer = left.pop(0) if len(left) > 1 else left[0]
            answer(peer) if callable(answer) else peer.send(answer)
            if not peer.read_request():
                return

    return Behaviour(act, None, None, tls=tls)


def post(kept, server, url="http://x.test/hook", **options):
    options = {"resolve": lambda *_: [PUBLIC], "connect": server.connect, "deadline_s": 2.0, **options}
    return kept.post(url, b"{}", {}, **options)


def test_one_connection_takes_many_posts():
    with EvilServer(answering(TAKEN)) as server, fetch.Kept() as kept:
        assert [post(kept, server).body for _ in range(5)] == [b"ok"] * 5
    assert server.asked == [PUBLIC]


def test_one_tls_connection_takes_many_posts(trusted):
    context = trusted.server_context("x.test")
    with EvilServer(answering(TAKEN, tls=True), context=context) as server, fetch.Kept() as kept:
        assert [post(kept, server, "https://x.test/hook").status for _ in range(5)] == [200] * 5
    assert server.asked == [PUBLIC]


def test_each_thread_gets_a_connection_of_its_own():
    together = threading.Barrier(4)

    def slowly(peer):
        together.wait(5)
        peer.send(TAKEN)

    with EvilServer(answering(slowly)) as server, fetch.Kept() as kept, ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            assert [one.status for one in threads.map(lambda _: post(kept, server), range(4))] == [200] * 4
    assert server.asked == [PUBLIC] * 4


def test_an_open_connection_is_left_when_the_name_leads_elsewhere_now():
    answers = [[PUBLIC], [OTHER], [OTHER]]
    with EvilServer(answering(TAKEN)) as server, fetch.Kept() as kept:
        for _ in range(3):
            post(kept, server, resolve=lambda *_: answers.pop(0))
    assert server.asked == [PUBLIC, OTHER]


def test_an_open_connection_is_no_way_around_the_guard():
    with EvilServer(answering(TAKEN)) as server, fetch.Kept() as kept:
        post(kept, server)
        with pytest.raises(Refused) as refused:
            post(kept, server, resolve=lambda *_: ["127.0.0.1"])
    assert refused.value.code == "address_refused"
    assert server.asked == [PUBLIC]


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nok" + b"x" * 99997,
    ],
    ids=["closed", "1.0", "longer than we read"],
)
def test_what_may_not_go_on_is_dialled_anew(first):
    with EvilServer(answering(first)) as server, fetch.Kept() as kept:
        assert [post(kept, server, read_bytes=1000).status for _ in range(2)] == [200, 200]
    assert server.asked == [PUBLIC, PUBLIC]


@pytest.mark.parametrize("times", [1, 1000])
def test_what_is_said_in_advance_is_never_the_next_answer(times):
    in_advance = b"HTTP/1.1 500 Said in advance\r\nContent-Length: 0\r\n\r\n" * times
    with EvilServer(answering(TAKEN + in_advance, TAKEN)) as server, fetch.Kept() as kept:
        assert [post(kept, server).status for _ in range(2)] == [200, 200]


def test_what_lay_idle_for_long_is_dialled_anew(monkeypatch):
    with EvilServer(answering(TAKEN)) as server, fetch.Kept() as kept:
        post(kept, server)
        monkeypatch.setattr(fetch, "IDLE_S", -1.0)
        post(kept, server)
    assert server.asked == [PUBLIC, PUBLIC]


def test_the_deadline_holds_on_an_open_connection_too():
    def drip(peer):
        peer.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 99)

    with EvilServer(answering(TAKEN, drip)) as server, fetch.Kept() as kept:
        post(kept, server)
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            post(kept, server, deadline_s=0.5)
        assert time.monotonic() - began < 1.5
    assert refused.value.code == "fetch_timeout"
    assert server.asked == [PUBLIC]


def test_a_server_that_went_away_is_a_failed_attempt_or_a_new_connection_and_never_a_second_post():
    def leave(peer):
        peer.sock.close()

    with EvilServer(answering(TAKEN, leave)) as server, fetch.Kept() as kept:
        post(kept, server)
        with pytest.raises(Refused) as refused:
            post(kept, server)
        assert post(kept, server).status == 200
    assert refused.value.code == "fetch_failed"
    assert server.asked == [PUBLIC, PUBLIC]


def test_all_sockets_are_given_back():
    made = []
    with EvilServer(answering(TAKEN)) as server:

        def connect(address, timeout_s):
            made.append(server.connect(address, timeout_s))
            return made[-1]

        with fetch.Kept() as kept:
            for _ in range(3):
                post(kept, server, connect=connect)
            assert made[0].fileno() != -1
    assert [sock.fileno() for sock in made] == [-1]
