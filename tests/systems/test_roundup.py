"""Roundup for real: what we write is on the issue, once, and people's words stay."""

import pytest

from tests.support.ticket_systems.roundup import Roundup
from tests.systems.conftest import jpeg


@pytest.fixture(scope="module")
def tracker():
    with Roundup() as found:
        yield found


@pytest.fixture
def outbox(outbox_with, tracker):
    return outbox_with(
        {
            "endpoints.desk.url": tracker.url,
            "endpoints.desk.preset": "roundup",
            "endpoints.desk.values": {
                "user": "bot",
                "confidence_field": "confidence",
                "keyword_field": "keyword",
            },
            "endpoints.desk.secrets": {"password": "bot-pw"},
        }
    )


def test_category_confidence_keyword_and_note_are_on_the_issue(outbox, tracker):
    issue = tracker.create(jpeg(1))
    id_ = outbox.say(issue)
    assert outbox.deliver() == {"delivered": 1}, outbox.attempts(id_)[0].response
    found = tracker.issue(issue)
    assert (found["category"], found["confidence"]) == ("errors", 0.9731)
    assert tracker.keywords(issue) == ["errors"]
    assert tracker.notes(issue) == [f"ticketbot: errors, 97 % sure (1 picture, model m1). Ref {id_}"]
