"""What did people say about a picture, and what is its label now?"""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from tests.support.staged import put_picture
from ticketbot.db.models import Label, LabelEvent, Picture
from ticketbot.errors import Conflict, UsageError
from ticketbot.review import labels
from ticketbot.review.labels import Said, fold, undone

_keys = itertools.count()


@pytest.fixture
def picture(db, tmp_path):
    return put_picture(db, tmp_path)


def say(db, sha256, new, who="ann", **options):
    options.setdefault("key", f"k{next(_keys)}")
    with db.write() as session:
        return labels.record(session, sha256=sha256, new=new, who=who, at=1.0, how="page", **options)


def take_back(db, event, who="ann", **options):
    options.setdefault("key", f"k{next(_keys)}")
    with db.write() as session:
        return labels.undo(session, event.id, who, 2.0, **options)


def label(db, sha256):
    with db.read() as session:
        return session.get(Label, sha256)


def events(db):
    with db.read() as session:
        return list(session.scalars(select(LabelEvent).order_by(LabelEvent.id)))


def test_a_word_becomes_the_label(db, picture):
    event = say(db, picture, "errors", blind=True, suggested="screens", suggested_by="m1", took_ms=700)
    found = label(db, picture)
    assert (found.category, found.who, found.at, found.version, found.blind) == ("errors", "ann", 1.0, event.id, True)
    (kept,) = events(db)
    assert (kept.old, kept.new, kept.suggested, kept.suggested_by, kept.took_ms) == (
        None,
        "errors",
        "screens",
        "m1",
        700,
    )


def test_the_last_word_counts_and_all_are_kept(db, picture):
    say(db, picture, "errors")
    say(db, picture, "screens", who="bob")
    assert (label(db, picture).category, label(db, picture).who) == ("screens", "bob")
    assert [(event.old, event.new) for event in events(db)] == [(None, "errors"), ("errors", "screens")]


def test_the_same_key_is_recorded_once(db, picture):
    assert say(db, picture, "errors", key="once") is not None
    assert say(db, picture, "screens", key="once") is None
    assert label(db, picture).category == "errors" and len(events(db)) == 1


@pytest.mark.parametrize("opinion", ["skip", "unsure"])
def test_an_opinion_leaves_the_label_as_it_is(db, picture, opinion):
    say(db, picture, opinion)
    assert label(db, picture) is None
    say(db, picture, "errors")
    last = say(db, picture, opinion, who="bob")
    found = label(db, picture)
    assert (found.category, found.who, found.version) == ("errors", "ann", last.id)


def test_no_label_takes_it_away(db, picture):
    say(db, picture, "errors")
    say(db, picture, None)
    assert label(db, picture) is None


def test_a_stale_version_is_a_conflict(db, picture):
    first = say(db, picture, "errors", expected_version=0)
    with pytest.raises(Conflict, match="meanwhile"):
        say(db, picture, "screens", expected_version=0)
    assert say(db, picture, "screens", expected_version=first.id) is not None
    with db.read() as session:
        assert labels.version(session, picture) == events(db)[-1].id


def test_a_repeated_post_is_no_conflict(db, picture):
    say(db, picture, "errors", key="once", expected_version=0)
    assert say(db, picture, "errors", key="once", expected_version=0) is None


def test_a_picture_we_do_not_have_or_erased_is_refused(db, picture):
    with pytest.raises(UsageError, match="no picture"):
        say(db, "0" * 64, "errors")
    with db.write() as session:
        session.execute(update(Picture).values(state="erased"))
    with pytest.raises(UsageError, match="erased"):
        say(db, picture, "errors")


def test_a_change_of_label_is_told_in_its_transaction(db, picture):
    told = []

    def on_label(session, sha256, now):
        told.append((session.get(Label, sha256) and session.get(Label, sha256).category, now))

    first = say(db, picture, "errors", on_label=on_label)
    say(db, picture, "errors", who="bob", on_label=on_label)  # agrees: nothing changed
    say(db, picture, "skip", on_label=on_label)
    second = say(db, picture, "screens", on_label=on_label)
    take_back(db, first, on_label=on_label)  # was overruled: nothing changes
    take_back(db, second, on_label=on_label)
    say(db, picture, None, on_label=on_label)
    assert told == [("errors", 1.0), ("screens", 1.0), ("errors", 2.0), (None, 1.0)]


def test_undo_brings_the_label_before_back(db, picture):
    say(db, picture, "errors", blind=True)
    second = say(db, picture, "screens", who="bob")
    event = take_back(db, second)
    assert (event.old, event.new, event.undo_of) == ("screens", "errors", second.id)
    found = label(db, picture)
    assert (found.category, found.who, found.blind, found.version) == ("errors", "ann", True, event.id)


def test_undo_of_the_only_word_leaves_no_label(db, picture):
    event = take_back(db, say(db, picture, "errors"))
    assert event.new is None and label(db, picture) is None


def test_undo_of_an_undo_is_a_redo(db, picture):
    first = say(db, picture, "errors")
    redo = take_back(db, take_back(db, first))
    assert redo.new == "errors" and label(db, picture).category == "errors"


def test_undo_of_an_overruled_word_changes_nothing(db, picture):
    first = say(db, picture, "errors")
    say(db, picture, "screens")
    take_back(db, first)
    assert label(db, picture).category == "screens"


def test_undo_twice_is_undone_once(db, picture):
    first = say(db, picture, "errors")
    assert take_back(db, first) is not None
    assert take_back(db, first) is None
    assert take_back(db, first, key="again") is None
    assert len(events(db)) == 2


def test_undo_of_nothing_is_a_usage_error(db):
    with pytest.raises(UsageError, match="no label event 99"), db.write() as session:
        labels.undo(session, 99, "ann", 1.0, "k")


def test_the_undo_key_goes_back_to_the_first_word(db, tmp_path):
    pictures = [put_picture(db, tmp_path, bytes([number])) for number in range(5)]
    for sha256 in pictures:
        say(db, sha256, "errors")
        say(db, sha256, "screens", who="bob")
    undone_pictures = []
    while True:
        with db.write() as session:
            event = labels.last_to_undo(session, "ann")
            if event is None:
                break
            labels.undo(session, event.id, "ann", 3.0, f"u{event.id}")
            undone_pictures.append(event.sha256)
    assert undone_pictures == pictures[::-1]
    assert {label(db, sha256).who for sha256 in pictures} == {"bob"}


def test_a_redone_word_can_be_undone_again(db, picture):
    first = say(db, picture, "errors")
    last = first
    for _ in range(4):  # undo, redo, undo, redo
        last = take_back(db, last)
    with db.read() as session:
        assert labels.last_to_undo(session, "ann").id == first.id
    take_back(db, last)
    with db.read() as session:
        assert labels.last_to_undo(session, "ann") is None


def test_many_people_at_once_lose_no_word(db, picture):
    failures = []

    def work(who):
        try:
            for number in range(10):
                say(db, picture, ("errors", "screens")[number % 2], who=who, key=f"{who}{number}")
        except Exception as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    kept = events(db)
    assert failures == [] and len(kept) == 40
    # each knew the word before it
    assert [event.old for event in kept[1:]] == [event.new for event in kept[:-1]]
    assert label(db, picture).version == kept[-1].id


def test_one_key_from_many_at_once_is_one_event(db, picture):
    results = []
    workers = [threading.Thread(target=lambda: results.append(say(db, picture, "errors", key="k"))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len([event for event in results if event]) == 1 and len(events(db)) == 1


# --- the sum, without a database ---


@pytest.mark.parametrize(
    ("said", "decides"),
    [
        ([], None),
        ([(1, "a", None)], 1),
        ([(1, "a", None), (2, "b", None)], 2),
        ([(1, "a", None), (2, "skip", None), (3, "unsure", None)], 1),
        ([(1, "a", None), (2, None, None)], None),
        ([(1, "a", None), (2, None, None), (3, "a", 2)], 1),
        ([(1, "a", None), (2, "b", None), (3, "a", 2)], 1),
        ([(1, "a", None), (2, "b", None), (3, "a", 2), (4, "b", 3)], 2),
        ([(1, "a", None), (2, "b", None), (3, "a", 2), (4, None, 1)], None),
        ([(1, "a", None), (2, None, 1), (3, "a", 2), (4, None, 3)], None),
    ],
)
def test_what_events_add_up_to(said, decides):
    found = fold([Said(*one) for one in said])
    assert (found and found.id) == decides


@st.composite
def histories(draw):
    """Words and undos of any earlier event, as `undo` lets through: nothing undone is undone again."""
    said = []
    for number in range(1, draw(st.integers(1, 12)) + 1):
        open_ids = sorted({one.id for one in said} - undone(said))
        if open_ids and draw(st.booleans()):
            said.append(Said(number, None, draw(st.sampled_from(open_ids))))
        else:
            said.append(Said(number, draw(st.sampled_from(["a", "b", "skip", None])), None))
    return said


def named(event):
    return event and event.new


@given(histories())
def test_undoing_the_last_event_is_as_if_it_had_not_been(said):
    after = [*said, Said(len(said) + 1, None, said[-1].id)]
    assert named(fold(after)) == named(fold(said[:-1]))


@given(histories())
def test_undoing_everything_backwards_leaves_nothing(said):
    words = [one.id for one in said if one.undo_of is None]
    for event_id in reversed(words):
        if event_id not in undone(said):
            said = [*said, Said(said[-1].id + 1, None, event_id)]
    assert fold(said) is None
