"""Roundup for real: what we write is on the issue, once, and people's words stay."""

import time

import pytest

from tests.support.ticket_systems.roundup import Roundup
from tests.systems.conftest import answered_on, jpeg, resolver
from ticketbot.deliver import admin
from ticketbot.net import fetch


@pytest.fixture(scope="module")
def tracker():
    with Roundup() as found:
        yield found


@pytest.fixture
def outbox(outbox_with, tracker):
    return outbox_with(answered_on("roundup", tracker, confidence_field="confidence", keyword_field="keyword"))


def test_category_confidence_keyword_and_note_are_on_the_issue(outbox, tracker):
    issue = tracker.create(jpeg(1))
    id_ = outbox.say(issue)
    assert outbox.deliver() == {"delivered": 1}, outbox.attempts(id_)[0].response
    found = tracker.issue(issue)
    assert (found["category"], found["confidence"]) == ("errors", 0.9731)
    assert tracker.keywords(issue) == ["errors"]
    assert tracker.notes(issue) == [f"ticketbot: errors, 97 % sure (1 picture, model m1). Ref {id_}"]


def test_a_second_delivery_changes_nothing(outbox, tracker):
    issue = tracker.create(jpeg(2))
    id_ = outbox.say(issue)
    outbox.deliver()
    notes = tracker.notes(issue)
    admin.redeliver(outbox.db, "again", "ann", time.time(), ids=[id_])
    assert outbox.deliver(1) == {"delivered": 1}
    assert (tracker.notes(issue), tracker.keywords(issue)) == (notes, ["errors"])


def test_peoples_keywords_and_messages_stay(outbox, tracker):
    issue = tracker.create(jpeg(3))
    keyword = tracker.call("GET", "/keyword?name:=screens&@fields=name")["collection"][0]["id"]
    message = tracker.call("POST", "/msg", json={"content": "by alice", "author": "alice", "date": "2026-11-24"})["id"]
    tracker.set(issue, keyword=[keyword], messages=[message])
    outbox.say(issue)
    outbox.deliver()
    assert tracker.keywords(issue) == ["errors", "screens"]
    assert len(tracker.notes(issue)) == 2


def test_somebody_is_quicker_and_it_starts_again(outbox, tracker, monkeypatch):
    """Between our read and our write an agent changes the issue: Roundup answers 412."""
    issue = tracker.create(jpeg(4))
    real, seen = fetch.request, []

    def slow(method, url, **more):
        if method == "PATCH" and not seen:
            tracker.set(issue, title="changed meanwhile")
        reply = real(method, url, **more)
        seen.append((method, reply.status)) if method == "PATCH" else None
        return reply

    monkeypatch.setattr(fetch, "request", slow)
    outbox.say(issue)
    assert outbox.deliver() == {"delivered": 1}
    assert [status for _, status in seen] == [412, 200]
    found = tracker.issue(issue)
    assert (found["title"], found["category"], len(tracker.notes(issue))) == ("changed meanwhile", "errors", 1)


def test_a_persons_category_stays(outbox, tracker):
    issue = tracker.create(jpeg(5))
    tracker.set(issue, category="screens")
    outbox.say(issue)
    assert outbox.deliver() == {"delivered": 1}
    assert (tracker.issue(issue)["category"], tracker.notes(issue)) == ("screens", [])


def test_a_keyword_that_is_not_there_is_said(outbox, tracker):
    issue = tracker.create(jpeg(6))
    outbox.settings.endpoints["desk"].values["tag_prefix"] = "picture-"
    id_ = outbox.say(issue)
    assert outbox.deliver() == {"retry": 1}
    assert "find keyword" in outbox.answer(id_).last_error and outbox.alerts() == ["refused"]
    assert tracker.notes(issue) == []


def test_from_the_tree_to_the_issue_though_its_files_have_no_suffix(whole_with, tracker):
    whole = whole_with(
        {
            **resolver("roundup"),
            "sources.desk.root": tracker.files,
            **answered_on("roundup", tracker),
        }
    )
    whole.poll()
    issue = tracker.create(jpeg(20))
    for _ in range(3):
        whole.poll()
    (picture,) = whole.pictures_of(issue)
    whole.predict(picture)
    assert whole.deliver()["delivered"] == 1
    assert (tracker.issue(issue)["category"], len(tracker.notes(issue))) == ("errors", 1)


def test_the_big_index_finds_the_issue_as_well(whole_with, tracker):
    query = "SELECT linkid AS cursor, linkid AS file, nodeid AS ticket FROM issue_files"
    query += " WHERE linkid > :cursor ORDER BY linkid LIMIT :limit"
    chain = [
        {"kind": "path", "pattern": r"^file/\d+/file(?P<file>\d+)$"},
        {"kind": "sql_index", "url": tracker.database, "key": ["file"], "query": query},
    ]
    whole = whole_with(
        {
            "sources.desk.root": tracker.files,
            "sources.desk.match": "magic",
            "sources.desk.ticket": chain,
            "endpoints.desk.url": tracker.url,
            "endpoints.desk.preset": "roundup",
            "endpoints.desk.secrets": {"password": "bot-pw"},
        }
    )
    whole.poll()
    issue = tracker.create(jpeg(21))
    for _ in range(3):
        whole.poll()
    assert len(whole.pictures_of(issue)) == 1
