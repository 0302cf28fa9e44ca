"""What became news, and for whom?"""

import json
import threading
import time

import pytest
from sqlalchemy import select

from tests.support.outbox import World, sha
from ticketbot.db.models import Answer, File, Picture, Said, Ticket
from ticketbot.deliver import outbox


def data(row):
    return json.loads(row.body)["data"]


def test_a_prediction_is_told_for_the_picture_and_later_for_the_ticket(world):
    world.picture("a", "T1")
    world.predict("a", "errors", 0.93)
    assert world.told() == ["picture.classified T1 errors"]
    assert world.decide(after_s=59) == {}
    assert world.decide(after_s=1) == {"answered": 1}
    assert world.told() == ["picture.classified T1 errors", "ticket.answered T1 errors"]
    picture, ticket = world.answers()
    assert data(picture)["pictures"][0] | {"sha256": 0} == {
        "sha256": 0,
        "user": "u1",
        "path": "u1/a-T1.jpg",
        "category": "errors",
        "confidence": 0.93,
        "by": "m1",
    }
    assert (data(ticket)["by"], data(ticket)["confidence"], data(ticket)["seq"]) == ("m1", 0.93, 2)
    assert ticket.id.startswith("msg_")
    assert "." not in ticket.id


def test_announcing_again_changes_nothing(world):
    world.picture("a", "T1")
    world.predict("a", "errors")
    for _ in range(3):
        with world.db.write() as session:
            assert outbox.announce(session, world.db, world.settings, sha("a"), world.now) == 0
    world.decide()
    assert world.decide() == {}
    assert len(world.answers()) == 2


def test_nothing_is_told_when_the_transaction_fails(world):
    world.picture("a", "T1")
    with pytest.raises(ZeroDivisionError), world.db.write() as session:
        session.get(Picture, sha("a")).model_id = "m1"
        world.db.engine  # noqa: B018
        outbox.announce(session, world.db, world.settings, sha("a"), world.now)
        _ = 1 / 0
    assert world.answers() == []


def test_the_order_of_ticket_and_prediction_does_not_matter(world):
    world.picture("a", None)
    assert world.predict("a", "errors") == 0
    with world.db.write() as session:
        file = session.scalars(select(File)).one()
        session.add(outbox.FileTicket(file_id=file.id, ticket="T1", endpoint="desk", resolved_at=world.now))
        assert outbox.announce(session, world.db, world.settings, sha("a"), world.now) == 1
    assert world.told() == ["picture.classified T1 errors"]


def test_an_unsure_picture_says_nothing_until_a_person_does(world):
    world.picture("a", "T1")
    assert world.predict("a", None) == 0
    assert world.decide() == {}
    world.label("a", "screens")
    assert world.decide(after_s=0) == {"answered": 1}, "a person's word does not wait"
    assert world.told() == ["picture.classified T1 screens", "ticket.answered T1 screens"]
    assert data(world.answers()[1])["by"] == "person"
    assert data(world.answers()[1])["previous"] is None


def test_a_persons_other_word_is_a_correction_in_order(world):
    world.picture("a", "T1")
    world.predict("a", "errors")
    world.decide()
    world.label("a", "reports")
    world.decide(after_s=0)
    assert world.told()[2:] == ["picture.corrected T1 reports", "ticket.corrected T1 reports"]
    assert [data(row)["previous"] for row in world.answers()[2:]] == ["errors", "errors"]
    assert [row.seq for row in world.answers()] == [1, 2, 3, 4]


def test_a_correction_reaches_the_ticket_although_the_file_holds_another_picture_now(world):
    file_id = world.picture("a", "T1")
    world.predict("a", "errors")
    world.decide()
    with world.db.write() as session:
        session.get(File, file_id).state = "settling"  # overwritten in the ERP, not staged again
    world.label("a", "reports")
    world.decide(after_s=0)
    assert world.told()[2:] == ["picture.corrected T1 reports", "ticket.corrected T1 reports"]


def test_a_persons_same_word_is_no_news(world):
    world.picture("a", "T1")
    world.predict("a", "errors")
    world.decide()
    assert world.label("a", "errors") == 0
    assert world.decide() == {"unchanged": 1}
    assert len(world.answers()) == 2


def test_a_new_models_other_word_is_never_a_correction(world):
    world.picture("a", "T1")
    world.predict("a", "errors", model="m1")
    world.decide()
    assert world.predict("a", "screens", model="m2") == 0
    assert world.decide() == {}
    world.picture("b", "T1")
    world.predict("b", "errors", 0.5, model="m2")
    assert world.decide() == {"unchanged": 1}, "what was said about the first picture still stands"


def test_a_persons_word_stands_against_a_later_model(world):
    world.picture("a", "T1")
    world.label("a", "reports")
    assert world.predict("a", "errors") == 0
    assert world.told() == ["picture.classified T1 reports"]


@pytest.mark.parametrize("word", ["junk"])
def test_junk_silences_a_picture(world, word):
    world.picture("a", "T1")
    world.picture("b", "T1")
    world.predict("a", "errors", 0.99)
    world.predict("b", "screens", 0.7)
    world.decide()
    world.label("a", word)
    assert world.decide(after_s=0) == {"corrected": 1}
    assert world.told()[-1] == "ticket.corrected T1 screens"
    assert [picture["category"] for picture in data(world.answers()[-1])["pictures"]] == ["screens"]


def test_a_picture_that_comes_later_may_correct_the_ticket(world):
    world.picture("a", "T1")
    world.predict("a", "errors", 0.8)
    world.decide()
    world.picture("b", "T1")
    world.predict("b", "screens", 0.95)
    assert world.decide() == {"corrected": 1}
    assert data(world.answers()[-1])["previous"] == "errors"
    assert data(world.answers()[-1])["pictures_total"] == 2


def test_each_new_picture_starts_the_quiet_time_anew(world):
    world.picture("a", "T1")
    world.picture("b", "T1")
    world.predict("a", "errors", 0.8)
    world.now += 50
    world.predict("b", "screens", 0.95)
    assert world.decide(after_s=50) == {}
    assert world.decide(after_s=10) == {"answered": 1}
    assert world.told()[-1] == "ticket.answered T1 screens"


def test_one_picture_on_two_tickets_is_told_to_both_and_twice_on_one_once(world):
    world.picture("a", "T1")
    world.picture("a", "T1", path=b"u1/copy.jpg")
    world.picture("a", "T2", user="u2")
    assert world.predict("a", "errors") == 2
    world.decide()
    assert world.told() == [
        "picture.classified T1 errors",
        "ticket.answered T1 errors",
        "picture.classified T2 errors",
        "ticket.answered T2 errors",
    ]
    assert data(world.answers()[0])["pictures"][0]["path"] == "u1/a-T1.jpg"


def test_history_is_no_news(world):
    world.picture("a", "T1", history=True)
    assert world.predict("a", "errors") == 0
    assert world.decide() == {}


def test_history_is_told_when_the_source_says_so(world_with):
    world = world_with({"sources.erp.history": "deliver"})
    world.picture("a", "T1", history=True)
    assert world.predict("a", "errors") == 1


def test_without_an_endpoint_nobody_is_told(world_with):
    world = world_with({"sources.erp.endpoint": ""})
    world.picture("a", "T1")
    assert world.predict("a", "errors") == 0


def test_without_a_ticket_the_answer_carries_user_and_path(world_with):
    world = world_with({"sources.erp.require_ticket": False})
    file_id = world.picture("a", None, user="4711", path=b"4711/\xfcber \xe2\x80\xae.jpg")
    world.predict("a", "errors")
    assert world.decide(after_s=0) == {"answered": 1}, "no other picture can come to a single file"
    rows = world.answers()
    assert [row.type for row in rows] == ["picture.classified", "ticket.answered"]
    assert {row.ticket for row in rows} == {f"file:{file_id}"}
    for row in rows:
        assert data(row)["ticket"] is None
        assert data(row)["pictures"][0]["user"] == "4711"
        assert data(row)["pictures"][0]["path"] == "4711/\\xfcber \\u202e.jpg"


def test_only_the_event_types_of_the_endpoint_are_written(world_with):
    world = world_with({"endpoints.desk.events": ["ticket.corrected"]})
    world.picture("a", "T1")
    world.predict("a", "errors")
    world.decide()
    assert world.told() == []
    world.label("a", "reports")
    world.decide()
    assert world.told() == ["ticket.corrected T1 reports"]


def test_a_dry_run_holds_its_answers_and_says_what_they_would_be(world_with, caplog):
    world = world_with({"endpoints.desk.mode": "dry_run"})
    world.picture("a", "T1")
    with caplog.at_level("INFO", logger="ticketbot.deliver.outbox"):
        world.predict("a", "errors")
        world.decide()
    assert {row.state for row in world.answers()} == {"held"}
    assert "desk would get ticket.answered for 'T1': errors" in caplog.text


def test_the_rule_all_lists_every_category(world_with):
    world = world_with({"deliver.rule": "all"})
    world.picture("a", "T1")
    world.picture("b", "T1")
    world.predict("a", "tickets", 0.8)
    world.predict("b", "errors", 0.9)
    world.decide()
    assert data(world.answers()[-1])["categories"] == ["errors", "tickets"]
    assert data(world.answers()[-1])["category"] == "errors"
    world.label("a", "errors")
    assert world.decide() == {"corrected": 1}
    assert data(world.answers()[-1])["categories"] == ["errors"]


def test_latest_drops_an_older_answer_that_still_waits(world_with):
    world = world_with({"endpoints.desk.ordering": "latest"})
    world.picture("a", "T1")
    world.predict("a", "errors")
    world.decide()
    world.label("a", "reports")
    world.decide()
    states = {(row.type, data(row)["category"]): row.state for row in world.answers()}
    assert states["ticket.answered", "errors"] == "cancelled"
    assert states["ticket.answered", "reports"] == "pending", "nobody heard the first: this is no correction"
    assert states["picture.classified", "errors"] == "pending"


def test_latest_corrects_what_may_have_arrived(world_with):
    world = world_with({"endpoints.desk.ordering": "latest"})
    world.picture("a", "T1")
    world.predict("a", "errors")
    world.decide()
    with world.db.write() as session:
        row = session.scalars(select(Answer).where(Answer.type == "ticket.answered")).one()
        row.attempts = 1
    world.label("a", "reports")
    world.decide()
    assert world.told()[-1] == "ticket.corrected T1 reports"


def test_strict_keeps_every_answer(world):
    world.picture("a", "T1")
    world.predict("a", "errors")
    world.decide()
    world.label("a", "reports")
    world.decide()
    assert {row.state for row in world.answers()} == {"pending"}


def test_a_file_that_is_gone_was_still_on_its_ticket(world):
    world.picture("a", "T1")
    with world.db.write() as session:
        session.scalars(select(File)).one().state = "gone"
    assert world.predict("a", "errors") == 1


def test_an_endpoint_that_was_removed_is_not_answered(world_with):
    world = world_with()
    world.picture("a", "T1", endpoint="desk")
    world.predict("a", "errors")
    removed = world.settings.model_copy(update={"endpoints": {}})
    assert outbox.decide_tickets(world.db, removed, world.now + 61) == {"unchanged": 1}


def test_many_who_speak_about_one_ticket_at_once_count_without_gaps(world):
    """Each in its own thread and transaction: no lost event, no event twice, seq 1..n."""
    names = [f"p{number}" for number in range(12)]
    for name in names:
        world.picture(name, "T1")
    world.predict(names[0], "errors")  # makes the model's row once
    errors = []

    def tell(name):
        try:
            World(world.db, world.settings).predict(name, "screens")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=tell, args=(name,)) for name in names[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [row.seq for row in world.answers()] == list(range(1, 13))
    with world.db.read() as session:
        assert len(session.scalars(select(Said)).all()) == 12
        assert session.scalars(select(Ticket)).one().seq == 12


def test_two_batches_that_share_tickets_do_not_wait_for_each_other(world):
    for name, ticket in (("a1", "T1"), ("a2", "T2"), ("b1", "T1"), ("b2", "T2")):
        world.picture(name, ticket)
        world.predict(name, "errors", tell=False)
    errors = []

    def batch(*names):
        try:
            with world.db.write() as session:
                for name in names:
                    outbox.announce(session, world.db, world.settings, sha(name), world.now)
                    time.sleep(0.2)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=batch, args=names) for names in (("a1", "a2"), ("b2", "b1"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(world.told()) == 4


def test_a_prediction_and_a_ticket_that_commit_at_once_do_not_miss_each_other(world):
    """Each sees only what is committed; taking turns makes the second one see the first."""
    for number in range(10):
        name = f"race{number}"
        file_id = world.picture(name, None)
        barrier = threading.Barrier(2)

        def find_ticket(name=name, file_id=file_id, barrier=barrier):
            barrier.wait()
            with world.db.write() as session:
                session.add(outbox.FileTicket(file_id=file_id, ticket=name, endpoint="desk", resolved_at=world.now))
                outbox.announce(session, world.db, world.settings, sha(name), world.now)

        def predict(name=name, barrier=barrier):
            barrier.wait()
            World(world.db, world.settings).predict(name, "errors", model=f"m{name}")

        threads = [threading.Thread(target=find_ticket), threading.Thread(target=predict)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(world.told()) == 10
