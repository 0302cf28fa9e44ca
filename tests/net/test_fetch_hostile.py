"""Whatever a server does, the answer is one of our codes, in time, and in little memory."""

import time
import tracemalloc

import pytest

from tests.support.evil_server import BEHAVIOURS, PUBLIC, EvilServer
from ticketbot.errors import Refused
from ticketbot.net import fetch

DEADLINE_S = 0.4
# Who should not reach the deadline gets one that a busy machine does not reach either.
PATIENT_S = 10.0
MAX_BYTES = 2**20


def call(verb, server, scheme="http", body=b"{}", deadline_s=DEADLINE_S):
    seams = {"resolve": lambda host, port: [PUBLIC], "connect": server.connect, "deadline_s": deadline_s}
    if verb == "get":
        return fetch.get(f"{scheme}://x.test/a.jpg", max_bytes=MAX_BYTES, **seams)
    return fetch.post(f"{scheme}://x.test/hook", body, {"Content-Type": "application/json"}, **seams)


def code_of(verb, name, authority):
    behaviour = BEHAVIOURS[name]
    context = authority.server_context("x.test") if behaviour.tls else None
    # A webhook's answer without end is taken as it is when the time is over.
    wanted = getattr(behaviour, verb)
    waits = wanted == "fetch_timeout" or (verb == "post" and wanted is None)
    deadline_s = DEADLINE_S if waits else PATIENT_S
    with EvilServer(name, context=context) as server:
        started_at = time.monotonic()
        try:
            call(verb, server, "https" if name.startswith("TLS") else "http", deadline_s=deadline_s)
            code = None
        except Refused as refused:
            code = refused.code
        return code, time.monotonic() - started_at


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_picture_is_fetched_in_time_or_refused_with_a_code(name, trusted):
    code, took_s = code_of("get", name, trusted)
    assert code == BEHAVIOURS[name].get
    assert took_s < DEADLINE_S + 1


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_webhook_is_answered_in_time_or_refused_with_a_code(name, trusted):
    code, took_s = code_of("post", name, trusted)
    assert code == BEHAVIOURS[name].post
    assert took_s < DEADLINE_S + 1


BIG = [name for name in BEHAVIOURS if name.startswith(("endless", "one 5 MB", "chunk of"))]


@pytest.mark.parametrize("name", BIG)
@pytest.mark.parametrize("verb", ["get", "post"])
def test_memory_stays_flat_whatever_arrives(verb, name, trusted):
    tracemalloc.start()
    try:
        code_of(verb, name, trusted)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < MAX_BYTES + 2 * 2**20


def test_a_webhook_body_nobody_reads_ends_at_the_deadline(trusted):
    with EvilServer("never reads the request") as server:
        started_at = time.monotonic()
        with pytest.raises(Refused) as refused:
            fetch.post(
                "http://x.test/",
                b"x" * 16 * 2**20,
                {},
                resolve=lambda *_: [PUBLIC],
                connect=server.connect,
                deadline_s=0.6,
            )
        assert refused.value.code == "fetch_timeout"
        assert time.monotonic() - started_at < DEADLINE_S + 1


def test_a_webhook_answer_is_read_up_to_its_cap():
    with EvilServer("endless body") as server:
        reply = call("post", server)
    assert (reply.status, len(reply.body)) == (200, 65536)


@pytest.mark.parametrize("verb", ["get", "post"])
@pytest.mark.parametrize(
    "host, certificate",
    [("other.test", {}), ("x.test", {"expired": True}), ("x.test", {"trusted": False})],
    ids=["other name", "expired", "unknown authority"],
)
def test_a_certificate_that_proves_nothing_is_refused(verb, host, certificate, trusted):
    context = trusted.server_context(host, **certificate)
    with EvilServer("TLS body drip", context=context) as server, pytest.raises(Refused) as refused:
        call(verb, server, "https")
    assert refused.value.code == "tls_failed"
    assert server.asked == [PUBLIC]
