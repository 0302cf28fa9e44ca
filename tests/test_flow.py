"""Does a picture come from the ERP's folder onto the ticket, once, and does a person's word win?"""

import json

import pytest

from tests.support.bundles import make_bundle, picture
from tests.support.receiver import Receiver
from tests.support.shelf import jpeg
from tests.support.world import World
from ticketbot.deliver.sign import new_secret


def photo(category, seed=0, strength=1.0):
    """JPEG bytes that the colour bundle takes for reports (0), errors (1), screens (2) or tickets (3)."""
    return jpeg(picture(category, seed=seed, px=96, strength=strength))


@pytest.fixture
def desk():
    secret = new_secret()
    with Receiver(secrets=[secret]) as receiver:
        receiver.secret = secret
        yield receiver


@pytest.fixture
def world(tmp_path, desk):
    """Installed, scanned once (so what comes now is news), with a colour bundle in service."""
    made = World(tmp_path, desk.url, desk.secret)
    made.add("1", "old.jpg", photo(0, seed=99), "T-0")
    made.once()
    make_bundle(tmp_path / "bundle")
    assert made.run("models", "import", str(tmp_path / "bundle"), "--promote").returncode == 0
    return made


def answers(desk):
    return [(one.ticket, one.json["type"], one.json["data"]["category"]) for one in desk.requests]


def test_new_pictures_are_answered_on_their_tickets_once(world, desk):
    world.add("7", "käse; touch x.jpg", photo(1), "T-1")
    world.add("8", "scan.JPG", photo(2), "T-2")
    result = world.once()
    assert (result["stuck"], result["pending"]["total"]) == ([], 0)
    assert ("T-1", "ticket.answered", "errors") in answers(desk)
    assert ("T-2", "ticket.answered", "screens") in answers(desk)
    said = len(desk.requests)
    world.once()
    assert len(desk.requests) == said


def test_once_prints_counts_as_json_and_nothing_else_on_stdout(world):
    world.add("7", "a.jpg", photo(1), "T-1")
    done = world.run("once", "--until-idle", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["steps"]["stage"]["staged"] == 1 and result["stuck"] == []


def test_what_the_first_scan_found_is_history_and_not_told(world, desk):
    world.once()
    assert answers(desk) == []


def test_an_unsure_picture_waits_for_a_person_whose_word_is_the_first_answer(world, desk):
    world.add("7", "grey.jpg", photo(1, strength=0.0), "T-3")
    world.once()
    assert answers(desk) == []
    (waiting,) = [path for path in (world.folder / "var" / "to-label").iterdir() if "grey" in path.name]
    target = world.folder / "var" / "labelled" / "tickets"
    target.mkdir(parents=True, exist_ok=True)
    waiting.rename(target / waiting.name)
    world.once()
    assert ("T-3", "ticket.answered", "tickets") in answers(desk)


def test_a_persons_other_word_goes_out_as_a_correction_after_the_answer(world, desk):
    data = photo(1)
    world.add("7", "a.jpg", data, "T-4")
    world.once()
    folder = world.folder / "mine" / "reports"
    folder.mkdir(parents=True)
    (folder / "anything.jpg").write_bytes(data)
    done = world.run("labels", "import", str(world.folder / "mine"), "--who", "ann")
    assert done.returncode == 0, done.stderr
    world.once()
    of_the_ticket = [said for said in answers(desk) if said[0] == "T-4" and said[1].startswith("ticket.")]
    assert of_the_ticket == [("T-4", "ticket.answered", "errors"), ("T-4", "ticket.corrected", "reports")]


def test_a_ticket_that_is_saved_after_its_picture_is_found_later(world, desk):
    world.add("7", "early.jpg", photo(2))
    assert "1 unresolved" in world.once()["stuck"][0]
    assert answers(desk) == []
    world.save_ticket("7", "early.jpg", "T-5")
    assert world.once(later_s=61)["stuck"] == []
    assert ("T-5", "ticket.answered", "screens") in answers(desk)


def test_a_broken_picture_is_refused_with_its_reason_and_holds_up_nobody(world, desk):
    world.add("7", "broken.jpg", photo(1)[:600], "T-6")
    world.add("7", "fine.jpg", photo(1), "T-7")
    result = world.once()
    assert result["stuck"] == []
    assert [said[0] for said in answers(desk) if said[1] == "ticket.answered"] == ["T-7"]
    assert result["steps"]["classify"]["failed"] == 1


def test_a_missing_tree_is_stuck_and_said_so(world):
    world.tree.rename(world.folder / "elsewhere")
    done = world.run("once", "--json")
    assert done.returncode == 1
    assert any("the last scan was incomplete" in sentence for sentence in json.loads(done.stdout)["stuck"])


def test_classify_prints_one_json_object_a_file_in_order(world, tmp_path):
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    good.write_bytes(photo(3))
    bad.write_bytes(b"<html>")
    done = world.run("classify", str(bad), str(good), "--json")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 1
    assert (first["file"], first["error"]["code"]) == (str(bad), "not_an_image")
    assert (second["error"], second["category"], second["unsure"]) == (None, "tickets", False)
    ranked = [p for _, p in second["predictions"]]
    assert second["predictions"][0][0] == "tickets" and ranked == sorted(ranked, reverse=True)


def test_classify_with_a_bundle_needs_no_installation(tmp_path):
    make_bundle(tmp_path / "bundle")
    file = tmp_path / "a.jpg"
    file.write_bytes(photo(0))
    done = World(tmp_path / "x").run("classify", str(file), "--bundle", str(tmp_path / "bundle"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"][0][0] == "reports"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["classify"], "Missing argument"),
        (["nonsense"], "No such command"),
        (["models", "promote", "x", "--reason", "y"], "ticketbot:"),
        (["endpoints", "secret", "nobody"], "there is no endpoint 'nobody'"),
    ],
)
def test_wrong_usage_is_exit_2_and_a_sentence(tmp_path, arguments, said):
    done = World(tmp_path).run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_model_that_cannot_be_served_is_stuck_and_not_silent(world):
    (model,) = (world.settings.data_dir / "models").iterdir()
    (model / "model.onnx").write_bytes(b"torn")
    world.add("7", "a.jpg", photo(1), "T-1")
    done = world.run("once")
    assert done.returncode == 1
    assert f"stuck: model {model.name} cannot be served" in done.stdout and "Traceback" not in done.stderr
