import random
import threading

import pytest
from sqlalchemy import text

from tests.support.gallery import NOW, champion, predicted
from ticketbot.db import connect
from ticketbot.db.models import Base, Label, LabelEvent, Picture, Prediction
from ticketbot.review import labels, queue
from ticketbot.review.queue import blind_below, is_blind, portions, take

PAGE = {"who": "rita", "blind_share": 0.0, "lease_s": 600, "now": NOW}


def sha(number: int) -> str:
    """Hashes spread evenly, as real ones are."""
    return format(random.Random(number).getrandbits(256), "064x")


def pictures(db, count, start=0):
    hashes = [sha(number) for number in range(start, start + count)]
    with db.write() as session:
        session.add_all(Picture(sha256=each, size_bytes=1, staged_at=NOW) for each in hashes)
    return hashes


def say(db, sha256, new, who="rita", key=None):
    with db.write() as session:
        return labels.record(
            session, sha256=sha256, new=new, who=who, at=NOW, how="page", key=key or f"{sha256}{new}{who}"
        )


@pytest.mark.parametrize(("share", "below"), [(0, "0" * 16), (1, "f" * 16), (0.5, "8" + "0" * 15)])
def test_a_share_is_a_place_among_all_hashes(share, below):
    assert blind_below(share) == below


def test_a_tenth_is_blind():
    blind = sum(is_blind(sha(number), 0.1) for number in range(20_000))
    assert 1850 < blind < 2150


def test_portions_fill_the_page_and_keep_their_shares_in_the_long_run():
    dice = random.Random(1)
    drawn = [portions(7, 0.1, dice) for _ in range(10_000)]
    assert all(sum(each) == 7 and min(each) >= 0 for each in drawn)
    assert sum(each[0] for each in drawn) / 70_000 == pytest.approx(0.1, abs=0.005)
    assert sum(each[1] for each in drawn) / 70_000 == pytest.approx(0.1, abs=0.005)


def test_without_a_champion_it_gives_what_is_there_once(db):
    hashes = pictures(db, 5)
    found = take(db, page="page0001", n=20, **PAGE)
    assert sorted(item.sha256 for item in found) == sorted(hashes)
    assert {item.suggested for item in found} == {None}
    assert {item.version for item in found} == {0}


def test_labelled_archived_and_junk_pictures_are_not_asked_for(db):
    hashes = pictures(db, 4)
    say(db, hashes[0], "errors")
    say(db, hashes[1], "junk")
    with db.write() as session:
        session.get(Picture, hashes[2]).state = "archived"
    assert [item.sha256 for item in take(db, page="page0001", n=20, **PAGE)] == [hashes[3]]


def test_an_undone_label_comes_back_with_its_new_version(db):
    (only,) = pictures(db, 1)
    event = say(db, only, "errors")
    with db.write() as session:
        undo = labels.undo(session, event.id, "rita", NOW, "undo-key")
    (item,) = take(db, page="page0001", n=5, **PAGE)
    assert (item.sha256, item.version, item.category) == (only, undo.id, None)


@pytest.mark.parametrize("word", ["skip", "unsure"])
def test_what_one_passes_on_another_gets(db, word):
    (only,) = pictures(db, 1)
    event = say(db, only, word)
    assert take(db, page="page0001", n=5, **PAGE) == []
    assert [item.sha256 for item in take(db, page="page0002", n=5, **{**PAGE, "who": "otto"})] == [only]
    with db.write() as session:
        labels.undo(session, event.id, "rita", NOW, "undo-key")
    later = {**PAGE, "now": NOW + 601}
    assert [item.sha256 for item in take(db, page="page0001", n=5, **later)] == [only]


def test_where_the_model_hesitates_comes_first(db):
    hashes, model = pictures(db, 40), champion(db)
    for place, each in enumerate(hashes):
        predicted(db, each, model, "errors", margin=place / 40)
    found = [item.sha256 for item in take(db, page="page0001", n=10, **PAGE)]
    assert len(set(found)) == 10
    assert len(set(found) & set(hashes[:10])) >= 7


def test_a_blind_picture_brings_no_suggestion(db):
    hashes, model = pictures(db, 30), champion(db)
    for each in hashes:
        predicted(db, each, model, "errors", 0.7, unsure=True)
    found = take(db, page="page0001", n=30, **{**PAGE, "blind_share": 0.5})
    assert len(found) == 30
    for item in found:
        shown = (item.suggested, item.suggested_by, item.confidence, item.unsure)
        assert item.blind == (item.sha256 < "8")
        assert shown == ((None, None, None, False) if item.blind else ("errors", "model-1", 0.7, True))


def test_what_the_champion_has_not_seen_is_labelled_too(db):
    hashes, model = pictures(db, 6), champion(db)
    predicted(db, hashes[0], model, "errors")
    assert len(take(db, page="page0001", n=20, **PAGE)) == 6


def test_two_pages_never_hold_the_same_picture(db):
    pictures(db, 30)
    one = {item.sha256 for item in take(db, page="page0001", n=10, **PAGE)}
    other = {item.sha256 for item in take(db, page="page0002", n=10, **PAGE)}
    stranger = {item.sha256 for item in take(db, page="page0003", n=20, **{**PAGE, "who": "otto"})}
    assert not one & other
    assert len(one | other | stranger) == 30


def test_pages_that_ask_at_once_share_what_there_is(db):
    hashes = pictures(db, 60)
    got, barrier = [], threading.Barrier(6)

    def page(number):
        barrier.wait()
        got.extend(item.sha256 for item in take(db, page=f"page000{number}", n=10, **PAGE))

    threads = [threading.Thread(target=page, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got))
    assert len(got) >= 40
    assert set(got) <= set(hashes)


def test_a_page_keeps_what_it_has_and_renews_it(db):
    pictures(db, 6)
    first = [item.sha256 for item in take(db, page="page0001", n=3, **PAGE)]
    again = take(db, page="page0001", n=4, have=first, **{**PAGE, "now": NOW + 500})
    assert [item.sha256 for item in again][:3] == first
    other = take(db, page="page0002", n=6, **{**PAGE, "now": NOW + 700})
    assert not {item.sha256 for item in other} & {item.sha256 for item in again}


def test_a_page_that_slept_too_long_loses_its_pictures(db):
    pictures(db, 3)
    first = [item.sha256 for item in take(db, page="page0001", n=3, **PAGE)]
    taken = take(db, page="page0002", n=3, **{**PAGE, "now": NOW + 601})
    assert {item.sha256 for item in taken} == set(first)
    assert take(db, page="page0001", n=3, have=first, **{**PAGE, "now": NOW + 602}) == []


def test_labels_and_events_are_only_read(db):
    pictures(db, 3)
    take(db, page="page0001", n=3, **PAGE)
    with db.read() as session:
        assert session.query(Label).count() == session.query(LabelEvent).count() == 0


def test_few_blind_pictures_are_found_wherever_the_reading_starts(db):
    hashes, model = pictures(db, 60), champion(db)
    for each in hashes:
        predicted(db, each, model, "errors")
    blind = sum(item.sha256 < "4" for item in take(db, page="page0001", n=16, **{**PAGE, "blind_share": 0.25}))
    assert blind >= 4


def test_what_is_labelled_is_not_walked_past(tmp_path):
    """The index holds what nobody labelled; with all of them in it, a page got slower with each label."""
    db = connect(f"sqlite:///{tmp_path / 'plan.db'}")
    Base.metadata.create_all(db.engine)
    query = queue._by_margin("model-1", queue._open("rita", "page/rita", 0.0), "3333").limit(16)
    compiled = query.compile(db.engine, compile_kwargs={"literal_binds": True})
    with db.read() as session:
        plan = " ".join(row[-1] for row in session.execute(text(f"EXPLAIN QUERY PLAN {compiled}")))
    db.close()
    assert "ix_prediction_to_label" in plan and "TEMP B-TREE" not in plan


def test_predictions_know_whether_they_are_labelled(db):
    model, (sha256,) = champion(db), pictures(db, 1)
    predicted(db, sha256, model, "errors")

    def flag():
        with db.read() as session:
            return session.query(Prediction.labelled).scalar()

    words = {"who": "rita", "at": 1.0, "how": "page"}
    assert flag() is False
    with db.write() as session:
        event = labels.record(session, sha256=sha256, new="errors", key="key-0001", **words)
    assert flag() is True
    with db.write() as session:
        labels.undo(session, event.id, "rita", 2.0, "key-0002")
    assert flag() is False
