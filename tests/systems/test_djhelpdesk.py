"""django-helpdesk for real: what we write is on the ticket, once, and people's words stay."""

import time

import pytest

from tests.support.ticket_systems.djhelpdesk import DjangoHelpdesk
from tests.systems.conftest import answered_on, jpeg, resolver
from ticketbot.deliver import admin
from ticketbot.net import fetch


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with DjangoHelpdesk(tmp_path_factory.mktemp("helpdesk")) as found:
        yield found


@pytest.fixture
def outbox(outbox_with, desk):
    return outbox_with(answered_on("django-helpdesk", desk, tags_field="tags"))


def test_category_confidence_tag_and_note_are_on_the_ticket_and_its_title_stays(outbox, desk):
    ticket = desk.create(jpeg(1))
    id_ = outbox.say(ticket)
    assert outbox.deliver() == {"delivered": 1}, outbox.attempts(id_)[0].response
    found = desk.ticket(ticket)
    assert (found["custom_category"], found["custom_confidence"]) == ("errors", "0.9731")
    assert (found["custom_tags"], found["title"]) == ("errors", "cannot print")
    (note,) = desk.notes(ticket)
    assert note["comment"] == f"ticketbot: errors, 97 % sure (1 picture, model m1). Ref {id_}"


def test_a_second_delivery_changes_nothing(outbox, desk):
    ticket = desk.create(jpeg(2))
    id_ = outbox.say(ticket)
    outbox.deliver()
    before = desk.ticket(ticket)
    admin.redeliver(outbox.db, "again", "ann", time.time(), ids=[id_])
    assert outbox.deliver(1) == {"delivered": 1}
    assert desk.ticket(ticket) == before


def test_a_persons_tag_stays_and_a_correction_is_told(outbox, desk):
    ticket = desk.create(jpeg(3))
    desk.set(ticket, custom_tags="urgent, vip")
    outbox.say(ticket)
    outbox.deliver()
    assert desk.ticket(ticket)["custom_tags"] == "urgent,vip,errors"
    outbox.say(ticket, "screens", None, "person", previous="errors")
    assert outbox.deliver() == {"delivered": 1}
    found = desk.ticket(ticket)
    assert (found["custom_category"], found["custom_confidence"]) == ("screens", "1.0000")
    assert "urgent" in found["custom_tags"] and "vip" in found["custom_tags"]
    assert len(desk.notes(ticket)) == 2


def test_a_persons_category_stays(outbox, desk):
    ticket = desk.create(jpeg(4))
    desk.set(ticket, custom_category="reports")
    id_ = outbox.say(ticket)
    assert outbox.deliver() == {"delivered": 1}
    assert (desk.ticket(ticket)["custom_category"], desk.notes(ticket)) == ("reports", [])
    assert b"left alone" in outbox.attempts(id_)[0].response


def test_what_an_agent_changes_after_us_stays_too(outbox, desk):
    ticket = desk.create(jpeg(5))
    outbox.say(ticket)
    outbox.deliver()
    desk.set(ticket, custom_category="tickets")
    outbox.say(ticket, "screens", previous="errors")
    outbox.deliver()
    assert desk.ticket(ticket)["custom_category"] == "tickets"


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_sender_that_dies_after_any_request_leaves_nothing_twice(outbox, desk, monkeypatch, after):
    """The process ends after the system took the request and before we could write that down."""
    ticket = desk.create(jpeg(10 + after))
    id_ = outbox.say(ticket)
    real, sent = fetch.request, []

    class Died(BaseException):
        pass

    def dies(*given, **more):
        reply = real(*given, **more)
        sent.append(1)
        if len(sent) == after:
            raise Died
        return reply

    monkeypatch.setattr(fetch, "request", dies)
    with pytest.raises(Died):
        outbox.deliver()
    monkeypatch.setattr(fetch, "request", real)
    assert outbox.answer(id_).state == "pending"
    assert outbox.deliver(60) == {"delivered": 1}  # its lease is over
    assert (desk.ticket(ticket)["custom_category"], len(desk.notes(ticket))) == ("errors", 1)
    assert desk.ticket(ticket)["custom_tags"] == "errors"


def test_from_the_tree_to_the_ticket(whole_with, desk):
    whole = whole_with(
        {
            **resolver("django-helpdesk"),
            "sources.desk.root": desk.media,
            **answered_on("django-helpdesk", desk, tags_field="tags"),
        }
    )
    whole.poll()  # what was there before is history
    ticket = desk.create(jpeg(20))
    for _ in range(3):
        whole.poll()
    (picture,) = whole.pictures_of(ticket)
    whole.predict(picture)
    assert whole.deliver()["delivered"] == 1
    found = desk.ticket(ticket)
    assert (found["custom_category"], found["custom_tags"], len(desk.notes(ticket))) == ("errors", "errors", 1)
    assert whole.deliver() == {}


def test_429_is_waited_out(outbox_with, tmp_path):
    with DjangoHelpdesk(tmp_path / "throttled", throttle="5/min") as desk:
        ticket = desk.create(jpeg(30))  # another user: bot has its own five
        outbox = outbox_with(answered_on("django-helpdesk", desk))
        first, second = outbox.say(ticket), outbox.say(ticket, "screens", None, "person", previous="errors")
        assert outbox.deliver() == {"delivered": 1, "retry": 1}
        waits = outbox.answer(second)
        assert waits.last_status == 429 and 20 < waits.due_at - time.time() <= 75
        assert outbox.answer(first).state == "delivered"
        assert outbox.deliver(5) == {}
