"""Does the desk believe only what is signed, count an event once, and show strangers' names harmlessly?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest
import requests

from ticketbot.contracts.events import Event, EventPicture, body
from ticketbot.deliver.sign import new_secret, sign
from ticketbot.demo.desk import KEEP_IDS_S, MAX_BODY_BYTES, Desk, RunningDesk

SECRET = new_secret()
NOW = 1_800_000_000


def event(kind: str = "ticket.answered", **changes: Any) -> bytes:
    picture = EventPicture("a" * 64, "1001", changes.pop("path", "1001/scan.jpg"), "errors", 0.97, "model-1")
    values: dict[str, Any] = {"ticket": "T-1", "seq": 1, "categories": ["errors"], "confidence": 0.97, "by": "model-1"}
    return body(Event(type=kind, at=NOW, pictures=[picture], **{**values, **changes}))


def signed(data: bytes, message_id: str = "msg_1", at: int = NOW, secret: str = SECRET) -> dict[str, str]:
    return sign(data, message_id, at, [secret])


@pytest.fixture
def desk() -> Desk:
    return Desk(SECRET, now=lambda: NOW)


@pytest.fixture
def running() -> Iterator[RunningDesk]:
    with RunningDesk(SECRET) as desk:
        yield desk


def post(running: RunningDesk, data: bytes, headers: dict[str, str]) -> requests.Response:
    return requests.post(running.hook_url, data=data, headers=headers, timeout=10)


def test_a_signed_answer_is_on_the_ticket(desk: Desk) -> None:
    data = event()
    assert desk.receive(data, signed(data)) == (200, {"ok": True, "duplicate": False})
    [ticket] = desk.tickets()
    assert (ticket["ticket"], ticket["category"], ticket["confidence"]) == ("T-1", "errors", 0.97)
    assert [picture["path"] for picture in ticket["pictures"]] == ["1001/scan.jpg"]


def test_a_repeat_of_the_same_id_has_no_second_effect(desk: Desk) -> None:
    data = event()
    for _ in range(3):
        status, _ = desk.receive(data, signed(data))
        assert status == 200
    assert desk.counts() == {"received": 3, "taken": 1, "duplicates": 2, "refused": 0}
    assert desk.tickets()[0]["answers"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(event(), secret=new_secret()),
        signed(event(seq=2)),
        signed(event(), at=NOW - 3600),
        {**signed(event()), "webhook-id": "msg_2"},
    ],
    ids=["no signature", "another secret", "another body", "an hour old", "another id"],
)
def test_what_is_not_signed_for_these_bytes_is_refused(desk: Desk, headers: dict[str, str]) -> None:
    status, told = desk.receive(event(), headers)
    assert (status, told["ok"]) == (401, False)
    assert desk.tickets() == []
    assert desk.counts()["refused"] == 1


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"type": "ticket.answered", "data": {}}', b"\xff"])
def test_a_signed_body_that_is_no_event_is_refused(desk: Desk, data: bytes) -> None:
    status, _ = desk.receive(data, signed(data))
    assert status == 400
    assert desk.tickets() == []


def test_a_correction_replaces_the_answer_and_is_told(desk: Desk) -> None:
    answer = event()
    correction = event(
        "ticket.corrected", seq=2, categories=["screens"], confidence=None, by="person", previous="errors"
    )
    desk.receive(answer, signed(answer, "a"))
    desk.receive(correction, signed(correction, "b"))
    [ticket] = desk.tickets()
    assert (ticket["category"], ticket["by"], ticket["corrections"]) == ("screens", "person", ["errors → screens"])


def test_old_news_does_not_undo_newer_ones(desk: Desk) -> None:
    newer, older = event("ticket.corrected", seq=2, categories=["screens"], previous="errors"), event(seq=1)
    desk.receive(newer, signed(newer, "b"))
    desk.receive(older, signed(older, "a"))
    assert desk.tickets()[0]["category"] == "screens"


def test_a_picture_event_alone_leaves_the_ticket_open(desk: Desk) -> None:
    data = event("picture.classified")
    desk.receive(data, signed(data))
    [ticket] = desk.tickets()
    assert ticket["category"] is None
    assert ticket["pictures"][0]["category"] == "errors"


def test_an_answer_without_ticket_is_filed_by_user_and_path(desk: Desk) -> None:
    data = event(ticket=None)
    desk.receive(data, signed(data))
    assert desk.tickets()[0]["ticket"] == "1001/1001/scan.jpg"


def test_ids_are_kept_longer_than_senders_repeat_and_then_forgotten() -> None:
    clock = [float(NOW)]
    desk, data = Desk(SECRET, now=lambda: clock[0]), event()
    desk.receive(data, signed(data, "msg_1"))
    for later, duplicate in ((KEEP_IDS_S - 5, True), (KEEP_IDS_S + 5, False)):
        clock[0] = NOW + later
        desk.receive(data, signed(data, f"other-{later}", at=int(clock[0])))
        _, told = desk.receive(data, signed(data, "msg_1", at=int(clock[0])))
        assert told["duplicate"] is duplicate


def test_it_answers_over_http(running: RunningDesk) -> None:
    data = event()
    assert post(running, data, signed(data, at=int(time.time()))).status_code == 200
    assert post(running, data, {}).status_code == 401
    told = requests.get(f"{running.url}/tickets.json", timeout=10).json()
    assert [ticket["ticket"] for ticket in told["tickets"]] == ["T-1"]
    assert told["counts"] == {"received": 2, "taken": 1, "duplicates": 0, "refused": 1}
    assert requests.get(f"{running.url}/elsewhere", timeout=10).status_code == 404


def test_the_page_shows_names_as_text_never_as_markup(running: RunningDesk) -> None:
    evil = "<script>alert('x')</script> & \"co\""
    data = event(ticket=f"T {evil}", path=evil, by=evil)
    post(running, data, signed(data, at=int(time.time())))
    answer = requests.get(running.url, timeout=10)
    assert "<script" not in answer.text
    assert answer.text.count("&lt;script&gt;") == 3
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'self'"
    assert requests.get(f"{running.url}/desk.css", timeout=10).headers["Content-Type"] == "text/css"


def test_a_body_too_large_is_not_read(running: RunningDesk) -> None:
    connection = HTTPConnection("127.0.0.1", int(running.url.rsplit(":", 1)[1]), timeout=10)
    connection.putrequest("POST", "/hook")
    connection.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_many_senders_at_once_are_each_counted_once(running: RunningDesk) -> None:
    bodies = [event(ticket=f"T-{number % 50}") for number in range(100)]

    def send(number: int) -> int:
        data = bodies[number]
        return post(running, data, signed(data, f"msg_{number % 50}", at=int(time.time()))).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(100))) == {200}
    assert running.desk.counts() == {"received": 100, "taken": 50, "duplicates": 50, "refused": 0}
    assert len(running.desk.tickets()) == 50
