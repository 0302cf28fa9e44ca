"""A picture is fetched from the address that was checked, and from no other."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.evil_server import JPEG_START, OK, PUBLIC, Behaviour, EvilServer, redirect
from ticketbot.errors import Refused
from ticketbot.net import fetch

PICTURE = OK + b"Content-Length: 4\r\n\r\n" + JPEG_START


def to_public(host, port):
    return [PUBLIC]


def code_of(url, server, **options):
    try:
        fetch.get(url, **{"resolve": to_public, "connect": server.connect, "deadline_s": 2.0, **options})
    except Refused as refused:
        return refused.code
    return None


def test_a_picture_comes_back_whole():
    with EvilServer("picture") as server:
        assert fetch.get("http://x.test/a.jpg?b=ü", resolve=to_public, connect=server.connect) == JPEG_START
    head = server.requests[0].decode()
    assert head.startswith("GET /a.jpg?b=%C3%BC HTTP/1.1\r\n")
    assert "\r\nHost: x.test\r\n" in head
    assert "\r\nAccept-Encoding: identity\r\n" in head
    assert server.asked == [PUBLIC]


def test_a_picture_comes_back_over_tls(trusted):
    behaviour = Behaviour(lambda peer: peer.send(PICTURE), None, None, tls=True)
    with EvilServer(behaviour, context=trusted.server_context("x.test")) as server:
        assert fetch.get("https://x.test/", resolve=to_public, connect=server.connect) == JPEG_START


def test_an_ipv6_literal_is_fetched_by_its_name_in_brackets():
    with EvilServer("picture") as server:
        assert fetch.get("http://[2606:2800:220:1::1]/", connect=server.connect) == JPEG_START
    assert server.asked == ["2606:2800:220:1::1"]
    assert b"\r\nHost: [2606:2800:220:1::1]\r\n" in server.requests[0]


def test_chunks_are_put_together():
    chunks = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n\xff\xd8\r\n2;x=y\r\n\xff\xe0\r\n0\r\nX-Trailer: 1\r\n\r\n"
    with EvilServer(Behaviour(lambda peer: peer.send(chunks), None, None)) as server:
        assert fetch.get("http://x.test/", resolve=to_public, connect=server.connect) == JPEG_START


def test_environment_proxies_and_netrc_are_not_used(monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine x.test login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with EvilServer("picture") as server:
        fetch.get("http://x.test/", resolve=to_public, connect=server.connect)
    assert b"authorization" not in server.requests[0].lower()


def test_cookies_are_never_sent_back():
    hops = iter([redirect(b"/b\r\nSet-Cookie: a=b"), Behaviour(lambda peer: peer.send(PICTURE), None, None)])
    with EvilServer(Behaviour(lambda peer: next(hops).act(peer), None, None)) as server:
        fetch.get("http://x.test/", resolve=to_public, connect=server.connect)
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location, code",
    [
        (b"http://127.0.0.1/", "address_refused"),
        (b"http://127.0.0.1:22/", "address_refused"),
        (b"http://169.254.169.254/latest/meta-data/", "address_refused"),
        (b"//127.0.0.1/", "address_refused"),
        (b"http://0x7f000001/", "address_refused"),
        (b"http://[::1]/", "address_refused"),
        (b"http://localhost/", "address_refused"),
        (b"http://x.test:6379/", "port_refused"),
        (b"file:///etc/passwd", "scheme_refused"),
        (b"gopher://x/", "scheme_refused"),
        (b"data:image/png;base64,AAAA", "scheme_refused"),
        (b"http://a:b@93.184.216.34/", "userinfo_refused"),
        (b"http://[::1", "url_malformed"),
        (b"/\xff\xfe", "url_malformed"),
        (b"/a b", "url_malformed"),
        (b"http://good.example\\@127.0.0.1/", "url_malformed"),
        (b"/" + b"a" * 3000, "url_too_long"),
        (b"", "upstream_status"),
    ],
)
def test_a_redirect_is_checked_like_a_first_address(location, code):
    with EvilServer(redirect(location)) as server:
        assert code_of("http://x.test/", server) == code
    assert server.asked == [PUBLIC]


@pytest.mark.parametrize("status", [b"301 a", b"302 a", b"303 a", b"307 a", b"308 a"])
@pytest.mark.parametrize("hops, code", [(3, None), (4, "too_many_redirects")])
def test_three_redirects_are_followed_and_no_more(hops, code, status):
    left = [redirect(b"/%d" % n, status) for n in range(hops)]

    def act(peer):
        if left:
            left.pop().act(peer)
        else:
            peer.send(PICTURE)

    with EvilServer(Behaviour(act, None, None)) as server:
        assert code_of("http://x.test/", server) == code


def test_a_redirect_from_https_to_http_is_refused(trusted):
    behaviour = Behaviour(redirect(b"HTTP://x.test/").act, None, None, tls=True)
    with EvilServer(behaviour, context=trusted.server_context("x.test")) as server:
        assert code_of("https://x.test/", server) == "redirect_downgrade"


def test_a_name_that_changes_its_mind_between_hops_is_looked_up_and_checked_again():
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    with EvilServer(redirect(b"/again")) as server:
        assert code_of("http://x.test/", server, resolve=lambda host, port: next(answers)) == "address_refused"
    assert server.asked == [PUBLIC]


def test_a_thousand_changes_of_mind_never_reach_loopback():
    flips = 0

    def resolve(host, port):
        nonlocal flips
        flips += 1
        return [PUBLIC] if flips % 2 else ["127.0.0.1"]

    def connect(address, timeout_s):
        asked.append(address)
        raise ConnectionRefusedError

    asked = []
    codes = set()
    for _ in range(1000):
        try:
            fetch.get("http://x.test/", resolve=resolve, connect=connect)
        except Refused as refused:
            codes.add(refused.code)
    assert codes == {"address_refused", "fetch_failed"}
    assert set(asked) == {(PUBLIC, 80)}
    assert len(asked) == 500


# --- the deadline -----------------------------------------------------------------------------------------------------


def test_a_resolver_that_hangs_ends_at_the_deadline():
    release = threading.Event()
    started_at = time.monotonic()
    with EvilServer("picture") as server:
        code = code_of("http://x.test/", server, deadline_s=0.3, resolve=lambda host, port: release.wait(60))
    release.set()
    assert code == "fetch_timeout"
    assert time.monotonic() - started_at < 1.3
    assert server.asked == []


def test_the_deadline_covers_all_hops_together():
    behaviour = redirect(b"/again")

    def slowly(peer):
        time.sleep(0.25)
        behaviour.act(peer)

    started_at = time.monotonic()
    with EvilServer(Behaviour(slowly, None, None)) as server:
        assert code_of("http://x.test/", server, deadline_s=0.6) == "fetch_timeout"
        assert time.monotonic() - started_at < 1.6


def test_a_second_address_is_tried_when_the_first_is_deaf():
    with EvilServer("picture") as server:

        def connect(address, timeout_s):
            if address[0] == "1.1.1.1":
                time.sleep(timeout_s)
                raise TimeoutError
            return server.connect(address, timeout_s)

        body = fetch.get("http://x.test/", resolve=lambda *_: ["1.1.1.1", PUBLIC], connect=connect, deadline_s=1.0)
    assert body == JPEG_START


def test_sockets_and_threads_are_given_back():
    threads_before = threading.active_count()
    with EvilServer("picture") as server:
        made = []

        def connect(address, timeout_s):
            made.append(server.connect(address, timeout_s))
            return made[-1]

        for _ in range(20):
            fetch.get("http://x.test/", resolve=to_public, connect=connect)
    assert all(sock.fileno() == -1 for sock in made)
    deadline = time.monotonic() + 2
    while threading.active_count() > threads_before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads_before


# --- our own connect --------------------------------------------------------------------------------------------------


def test_dial_reaches_the_address_it_was_given():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = fetch.dial(listener.getsockname(), 1.0)
        assert made.getpeername() == listener.getsockname()
        made.close()


def test_dial_refuses_another_peer_than_it_asked_for(monkeypatch):
    monkeypatch.setattr(socket.socket, "getpeername", lambda self: ("10.0.0.1", 80))
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Refused) as refused:
        fetch.dial(listener.getsockname(), 1.0)
    assert refused.value.code == "address_refused"


def test_a_hundred_slow_servers_at_once_all_end_at_the_deadline():
    """F6 under load: every call ends in time, and an honest server is still answered meanwhile."""
    started_at = time.monotonic()
    with (
        EvilServer("body drip until close") as slow,
        EvilServer("picture") as honest,
        ThreadPoolExecutor(101) as threads,
    ):
        codes = [threads.submit(code_of, "http://x.test/", slow, deadline_s=1.0) for _ in range(100)]
        honest_code = threads.submit(code_of, "http://x.test/", honest, deadline_s=1.0).result()
        assert {call.result() for call in codes} == {"fetch_timeout"}
        took_s = time.monotonic() - started_at
    assert honest_code is None
    assert took_s < 3.0


def test_an_allowed_loopback_server_is_fetched_without_any_seam():
    with EvilServer("picture") as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert fetch.get(url, allow=["127.0.0.0/8"]) == JPEG_START
        assert fetch.get(url, allow=[f"127.0.0.1:{server.port}"]) == JPEG_START
        with pytest.raises(Refused) as refused:
            fetch.get(url)
    assert refused.value.code == "address_refused"


# --- webhooks ---------------------------------------------------------------------------------------------------------


def test_a_webhook_is_sent_byte_for_byte_and_its_answer_returned():
    answer = b"HTTP/1.1 429 Slow Down\r\nRetry-After: 120\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 2\r\n\r\nno"
    with EvilServer(Behaviour(lambda peer: peer.send(answer), None, None)) as server:
        reply = fetch.post(
            "http://x.test:8080/hook",
            b'{"a":"\xc3\xbc"}',
            {"webhook-id": "msg_1"},
            resolve=to_public,
            connect=server.connect,
        )
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"a":"\xc3\xbc"}'
    assert b"\r\nwebhook-id: msg_1\r\n" in head + b"\r\n"
    assert (reply.status, reply.headers["retry-after"], reply.headers["x-two"], reply.body) == (
        429,
        "120",
        "a, b",
        b"no",
    )
    assert reply.ms > 0


def test_a_webhook_never_follows():
    with EvilServer(redirect(b"http://127.0.0.1/")) as server:
        reply = fetch.post("http://x.test/", b"{}", {}, resolve=to_public, connect=server.connect)
    assert reply.status == 302
    assert len(server.requests) == 1


def test_a_webhook_to_the_inside_needs_an_allow_entry():
    with EvilServer("picture") as server:
        options = {"resolve": lambda *_: ["10.0.0.5"], "connect": server.connect}
        with pytest.raises(Refused) as refused:
            fetch.post("http://desk.local/", b"{}", {}, **options)
        assert refused.value.code == "address_refused"
        assert fetch.post("http://desk.local/", b"{}", {}, allow=["10.0.0.0/8"], **options).status == 200
    assert server.asked == ["10.0.0.5"]


def test_a_header_that_would_break_the_request_is_refused():
    with EvilServer("picture") as server, pytest.raises(Refused) as refused:
        fetch.post("http://x.test/", b"{}", {"X-A": "b\r\nX-C: d"}, resolve=to_public, connect=server.connect)
    assert refused.value.code == "fetch_failed"
