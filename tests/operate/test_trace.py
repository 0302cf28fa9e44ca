"""Does the story tell what really happened? A real tree, a real receiver, a small real model."""

import json
import time

import pytest
from click.testing import CliRunner

from tests.support.bundles import CLASSES, picture
from tests.support.receiver import Receiver
from tests.support.shelf import jpeg, put_model
from tests.support.world import World
from ticketbot.cli import main
from ticketbot.db import connect
from ticketbot.db.models import File
from ticketbot.deliver.sign import new_secret
from ticketbot.operate import trace
from ticketbot.review import labels


@pytest.fixture
def desk():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def world(tmp_path, desk):
    made = World(tmp_path, desk.url, new_secret(), deliver__schedule_s="[0, 3600]")
    made.once()
    db = connect(made.settings.database_url)
    put_model(db, made.settings)
    db.close()
    return made


def told(world, what):
    db = connect(world.settings.database_url)
    try:
        with db.read() as session:
            return trace.find(session, world.settings, str(what))
    finally:
        db.close()


def words(stories):
    return [step.said for story in stories for step in story.steps]


def in_order(pieces, sentences):
    """Each piece is in a sentence, one after the other."""
    rest = iter(sentences)
    return all(any(piece in sentence for sentence in rest) for piece in pieces)


def test_a_picture_from_the_first_look_to_the_ticket(world, desk):
    path = world.add("7", "a.jpg", jpeg(picture(1, px=96)), "T-1")
    world.once()
    stories = told(world, path)
    assert [story.title for story in stories] == ["file 7/a.jpg of erp, user 7"]
    pieces = ["first seen", "settled, copied", "found to be on ticket T-1", f"test-1 predicted {CLASSES[1]}"]
    pieces += ["event picture.classified", "desk answered 200 in", "delivered"]
    assert in_order(pieces, words(stories)), words(stories)
    assert stories[0].now == f"is {CLASSES[1]}, by test-1."
    sent = {request.id for request in desk.requests}
    assert sent and all(any(id_ in sentence for sentence in words(stories)) for id_ in sent)


@pytest.mark.parametrize("how", ["ticket", "absolute", "relative", "hash", "short hash", "webhook-id"])
def test_it_is_found_by_whatever_a_person_has_at_hand(world, desk, how):
    path = world.add("7", "a.jpg", jpeg(picture(1, px=96)), "T-1")
    world.once()
    sha256 = desk.requests[0].json["data"]["pictures"][0]["sha256"]
    names = {"ticket": "T-1", "absolute": path, "relative": "7/a.jpg", "hash": sha256, "short hash": sha256[:8]}
    names["webhook-id"] = desk.requests[0].id
    assert any("predicted" in sentence for sentence in words(told(world, names[how])))


def test_a_ticket_tells_of_its_pictures_and_of_its_answer(world):
    world.add("7", "a.jpg", jpeg(picture(1, px=96)), "T-1")
    world.add("7", "b.jpg", jpeg(picture(1, px=96, seed=5)), "T-1")
    world.once()
    stories = told(world, "T-1")
    assert [story.title.split()[0] for story in stories] == ["file", "file", "ticket"]
    assert stories[2].now == f"answered: {CLASSES[1]}, by test-1"


def test_why_it_is_unsure_is_said(world):
    world.config.write_text(world.config.read_text().replace('unproven = "tag"', 'unproven = "review"'))
    world.add("7", "a.jpg", jpeg(picture(1, px=96)), "T-1")
    world.once()
    (story, *_) = told(world, "T-1")
    assert any("unsure" in one and "not proven yet" in one and "people decide" in one for one in words([story]))
    assert story.now == "waits for a person: the model is unsure."


def test_a_persons_word_and_the_correction(world, desk):
    path = world.add("7", "a.jpg", jpeg(picture(1, px=96)), "T-1")
    world.once()
    sha256 = desk.requests[0].json["data"]["pictures"][0]["sha256"]
    from ticketbot.app import App

    app = App(world.settings)
    with app.db.write() as session:
        word = {"sha256": sha256, "new": CLASSES[2], "who": "ann", "at": time.time(), "how": "page", "key": "key-00001"}
        labels.record(session, suggested=CLASSES[1], suggested_by="test-1", on_label=app.announce, **word)
    app.close()
    world.once()
    stories = told(world, path)
    said = f"ann (page) said {CLASSES[2]}, against {CLASSES[1]} of test-1"
    assert in_order([said, "event picture.corrected", "answered 200", "delivered"], words(stories)), words(stories)
    assert stories[0].now == f"is {CLASSES[2]}, by a person's word."


def test_attempts_that_failed_and_what_comes_next(world, desk):
    desk.usual = 500
    world.add("7", "a.jpg", jpeg(picture(1, px=96)), "T-1")
    world.once()
    assert in_order(["desk answered 500", "is tried again"], words(told(world, "T-1")))


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda world: world.add("7", "note.txt", b"hello", "T-1"), "is not taken: erp takes .jpg .jpeg"),
        (lambda world: world.add("7", "new.jpg", b"\xff\xd8", "T-1"), "has not been seen yet"),
        (lambda world: world.tree / "7" / "never.jpg", "is not there, and no scan of erp ever saw it"),
        (lambda world: "/etc/hostname", "lies in no watched tree"),
        (lambda world: "T-404", "nothing is known about T-404"),
    ],
)
def test_what_is_unknown_says_why(world, prepare, said):
    what = str(prepare(world))
    result = CliRunner().invoke(main, ["--config", str(world.config), "trace", what])
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda world: world.add("7", "a.jpg", b"no picture at all"), "refused"),
        (lambda world: world.add("7", "b.jpg", b""), "refused: it is empty"),
        (lambda world: world.add("7", "c.jpg", jpeg(picture(1, px=64))), "its ticket is looked for again"),
    ],
)
def test_how_it_stands_is_said(world, prepare, said):
    path = prepare(world)
    world.once()
    assert told(world, path)[0].now.startswith(said)


def test_history_is_said_to_be_history(tmp_path):
    world = World(tmp_path)
    path = world.add("7", "a.jpg", jpeg(picture(1, px=64)), "T-1")
    world.once()
    (story,) = told(world, path)
    assert "history" in story.steps[0].said and story.now.startswith("is history")


def test_a_name_that_forges_lines_is_shown_harmless(world):
    world.add("7", "a\n\u202egpj.jpg", jpeg(picture(1, px=64)))
    world.once()
    db = connect(world.settings.database_url)
    with db.read() as session:
        sha256 = session.query(File).one().sha256
    db.close()
    result = CliRunner().invoke(main, ["--config", str(world.config), "trace", sha256])
    assert result.exit_code == 0
    assert "\u202e" not in result.stdout and "\\n" in result.stdout
    shown = CliRunner().invoke(main, ["--config", str(world.config), "trace", sha256, "--json"])
    assert json.loads(shown.stdout)[0]["steps"]
