import hashlib
import time
from dataclasses import replace

import pytest

from tests.trainer.conftest import draw, make_folder
from ticketbot.contracts import snapshot
from ticketbot.errors import UsageError
from trainer.data import pictures
from trainer.data.cache import Cache
from trainer.data.pictures import View, joined, source_names
from trainer.progress import Progress

VIEW = View(640, 32, "pad")


def read(folder, tmp_path, **more):
    return pictures.read(folder, Cache(tmp_path / "cache"), VIEW, Progress(quiet=True), **more)


def test_sources_are_told_by_names_that_have_them():
    names = [f"{source}_{number}.jpg" for source in ("a", "b_b", "c", "d") for number in range(3)]
    assert source_names(names, [0] * 12)[3] == "b_b"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ([f"IMG_{number}.jpg" for number in range(10)], [0] * 10),
        ([f"{name}_{number}.jpg" for name in ("error", "report") for number in range(5)], [0] * 5 + [1] * 5),
        ([f"{number}.jpg" for number in range(10)], [0] * 10),
    ],
    ids=["a camera's counter", "the class's name", "no prefix"],
)
def test_names_without_sources_tell_none(names, labels):
    assert set(source_names(names, labels)) == {None}


def test_groups_are_joined_over_look_alikes_and_sources():
    assert joined([0, 1, 0, 3, 4], ["a", "b", "b", None, "c"]) == [0, 0, 0, 1, 2]


def test_stray_files_are_ignored_and_broken_ones_set_aside(data, tmp_path):
    found = read(data, tmp_path)
    assert (found.classes, len(found.pictures)) == (("across", "dots", "down"), 36)
    assert [(path.name, label, code) for path, label, code in found.unreadable] == [
        ("broken.jpg", 1, "image_truncated")
    ]


def test_the_same_picture_saved_again_is_in_the_same_group(tmp_path):
    folder = make_folder(tmp_path / "pictures", each=3)
    draw("dots", 1).save(folder / "dots" / "again.jpg", quality=60)
    groups = {one.path.name: one.group for one in read(folder, tmp_path).pictures if one.path.parent.name == "dots"}
    assert groups["again.jpg"] == groups["picture 1.jpg"] != groups["picture 2.jpg"]


def test_a_second_look_decodes_nothing(data, tmp_path, monkeypatch):
    first = read(data, tmp_path)
    monkeypatch.setattr(pictures, "to_input", lambda *_: pytest.fail("decoded again"))
    assert pictures.inputs(first.pictures, Cache(tmp_path / "cache"), VIEW).shape == (36, 32, 32, 3)


def test_a_snapshot_keeps_its_groups_and_splits(tmp_path):
    folder = make_folder(tmp_path / "pictures", kinds=("across", "dots"), each=2)
    write_snapshot(tmp_path / "snap", folder, holdout={"picture 1.jpg"})
    found = read(tmp_path / "snap", tmp_path)
    assert [(one.path.name, one.split) for one in found.pictures if one.label == 0] == [
        ("picture 0.jpg", "train"),
        ("picture 1.jpg", "holdout"),
    ]


def test_cleaned_rows_give_labels_and_leave_out(tmp_path):
    folder = make_folder(tmp_path / "pictures", kinds=("across", "dots"), each=2)
    cleaned = tmp_path / "cleaned.csv"
    cleaned.write_text("name,label\nacross/picture 0.jpg,dots\nacross/picture 1.jpg,across\n")
    found = pictures.relabelled(read(folder, tmp_path), cleaned)
    assert [(one.path.name, found.classes[one.label]) for one in found.pictures] == [
        ("picture 0.jpg", "dots"),
        ("picture 1.jpg", "across"),
    ]


@pytest.mark.parametrize("text", ["file,label\na,dots\n", "name,label\na,cats\n"], ids=["column", "class"])
def test_a_wrong_cleaned_file_is_refused(data, tmp_path, text):
    cleaned = tmp_path / "cleaned.csv"
    cleaned.write_text(text)
    with pytest.raises(UsageError, match=r"cleaned\.csv"):
        pictures.relabelled(read(data, tmp_path), cleaned)


def test_a_folder_that_is_no_class_of_the_bundle_is_refused(data, tmp_path):
    with pytest.raises(UsageError, match="dots is not a class"):
        read(data, tmp_path, classes=("across", "down"))


def write_snapshot(out, folder, holdout=frozenset()):
    """A snapshot of a folder per class; pictures named in `holdout` are held out. -> the snapshot."""
    kinds = tuple(sorted(one.name for one in folder.iterdir() if one.is_dir()))
    blank = snapshot.Item(sha256="", file="", label="", group="", user="anna", split="train")
    items = tuple(
        replace(
            blank,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            file=str(path.relative_to(folder)),
            label=path.parent.name,
            group=str(path),
            split="holdout" if path.name in holdout else "train",
        )
        for kind in kinds
        for path in sorted((folder / kind).iterdir())
    )
    written = snapshot.Snapshot(kinds, str(folder), items, created_at=time.time())
    snapshot.write(out, written)
    return written
