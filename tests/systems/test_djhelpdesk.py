"""django-helpdesk for real: what we write is on the ticket, once, and people's words stay."""

import pytest

from tests.support.ticket_systems.djhelpdesk import DjangoHelpdesk
from tests.systems.conftest import jpeg


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with DjangoHelpdesk(tmp_path_factory.mktemp("helpdesk")) as found:
        yield found


@pytest.fixture
def outbox(outbox_with, desk):
    return outbox_with(
        {
            "endpoints.desk.url": desk.url,
            "endpoints.desk.preset": "django-helpdesk",
            "endpoints.desk.values": {"user": "bot", "tags_field": "tags"},
            "endpoints.desk.secrets": {"password": "bot-pw"},
        }
    )


def test_category_confidence_tag_and_note_are_on_the_ticket_and_its_title_stays(outbox, desk):
    ticket = desk.create(jpeg(1))
    id_ = outbox.say(ticket)
    assert outbox.deliver() == {"delivered": 1}, outbox.attempts(id_)[0].response
    found = desk.ticket(ticket)
    assert (found["custom_category"], found["custom_confidence"]) == ("errors", "0.9731")
    assert (found["custom_tags"], found["title"]) == ("errors", "cannot print")
    (note,) = desk.notes(ticket)
    assert note["comment"] == f"ticketbot: errors, 97 % sure (1 picture, model m1). Ref {id_}"
