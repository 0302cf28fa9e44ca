"""`ticketbot classify FILE…`: one answer a file, in order, whatever the file is."""

import os

import pytest

from tests.support.bundles import CLASSES, make_bundle, picture
from tests.support.shelf import jpeg, put_model
from ticketbot.classify.files import classify_files
from ticketbot.errors import BundleRefused, NotReady

KEYS = {"file", "predictions", "model", "category", "unsure", "error"}


@pytest.fixture
def settings(settings_with):
    return settings_with()


@pytest.fixture
def bundle(tmp_path):
    make_bundle(tmp_path / "bundle", tag_from=0.8)
    return tmp_path / "bundle"


def saved(tmp_path, name, number=0, **how):
    path = tmp_path / name
    path.write_bytes(jpeg(picture(number, px=96, **how)))
    return path


def test_one_answer_a_file_in_the_order_given(tmp_path, settings, bundle):
    paths = [saved(tmp_path, f"{number}.jpg", number) for number in (2, 0, 3, 1)]
    answers = list(classify_files(paths, settings, bundle=bundle))
    assert [one["category"] for one in answers] == [CLASSES[number] for number in (2, 0, 3, 1)]
    assert [one["file"] for one in answers] == [str(path) for path in paths]
    assert set(answers[0]) == KEYS
    best = answers[0]["predictions"]
    assert best[0][0] == "screens"
    assert [p for _, p in best] == sorted((p for _, p in best), reverse=True)
    assert (answers[0]["unsure"], answers[0]["error"]) == (False, None)


def test_an_unsure_answer_has_no_category(tmp_path, settings, bundle):
    (answer,) = classify_files([saved(tmp_path, "grey.jpg", 0, strength=0.05)], settings, bundle=bundle)
    assert (answer["category"], answer["unsure"]) == (None, True)
    assert len(answer["predictions"]) == 4


def test_what_cannot_be_read_is_an_error_and_the_others_go_on(tmp_path, settings, bundle):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "cut.jpg").write_bytes(jpeg(picture(0, px=96))[:400])
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    with open(tmp_path / "large.jpg", "wb") as file:
        file.truncate(26 * 2**20)
    names = ["empty", "text", "cut", "folder", "pipe", "large", "missing"]
    paths = [tmp_path / f"{name}.jpg" for name in names]
    paths.append(saved(tmp_path, "good.jpg", 1))
    answers = {one["file"].rsplit("/")[-1].split(".")[0]: one for one in classify_files(paths, settings, bundle=bundle)}
    codes = {name: one["error"]["code"] for name, one in answers.items() if one["error"]}
    assert codes.pop("cut") in ("image_truncated", "bad_image")
    assert codes == {
        "empty": "not_an_image",
        "text": "not_an_image",
        "folder": "not_an_image",
        "pipe": "not_an_image",
        "large": "body_too_large",
        "missing": "not_found",
    }
    assert all(
        set(one) == KEYS and (one["category"], one["unsure"]) == (None, True)
        for one in answers.values()
        if one["error"]
    )
    assert answers["good"]["category"] == "errors"


def test_a_name_that_is_no_text_is_shown_escaped(tmp_path, settings, bundle):
    path = tmp_path / os.fsdecode(b"\xff.jpg")
    path.write_bytes(jpeg(picture(0, px=96)))
    (answer,) = classify_files([path], settings, bundle=bundle)
    assert answer["file"].endswith("\\xff.jpg")


def test_a_bad_bundle_is_said_before_the_first_answer(tmp_path, settings):
    with pytest.raises(BundleRefused):
        next(iter(classify_files([saved(tmp_path, "a.jpg")], settings, bundle=tmp_path / "nothing")))


def test_without_a_bundle_the_champion_answers(db, tmp_path, settings):
    path = saved(tmp_path, "a.jpg")
    with pytest.raises(NotReady):
        next(iter(classify_files([path], settings, db=db)))
    put_model(db, settings, "m1")
    (answer,) = classify_files([path], settings, db=db)
    assert (answer["model"], answer["unsure"]) == ("m1", True)
