"""Is the demo's ERP tree as an ERP leaves it: strange names, several users, things that are no pictures, growth?"""

from __future__ import annotations

import io
import random
import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from ticketbot.demo.pictures import FolderPictures, Picture, RenderedPictures, known_sources, source_of
from ticketbot.demo.tree import Tree, add_unreadable, make_tree, more_tickets
from ticketbot.errors import UsageError


def bytes_by_path(tree: Tree) -> dict[str, bytes]:
    files = [path for path in sorted(tree.root.rglob("*")) if path.is_file() and path != tree.database]
    return {str(path.relative_to(tree.root)): path.read_bytes() for path in files}


def tickets_by_file(tree: Tree) -> dict[tuple[str, str], str]:
    with closing(sqlite3.connect(tree.database)) as erp:
        return {(user, name): ticket for user, name, ticket in erp.execute("SELECT * FROM uploads")}


def picture_folder(root: Path) -> Path:
    """Two classes; sources a, b, c with pictures of both, so that parts can be told from each other."""
    for number, (category, source) in enumerate([(c, s) for c in ("errors", "screens") for s in "abcd"] * 6):
        path = root / category / f"shop-{source}_{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 5, 0, 0)).save(path)
    (root / "README.md").write_text("no picture")
    return root


def test_the_same_seed_makes_the_same_tree(tmp_path: Path) -> None:
    trees = [make_tree(tmp_path / name, seed, 6, grow_s=0) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    for tree in trees:
        more_tickets(tree, 2)
    assert bytes_by_path(trees[0]) == bytes_by_path(trees[1])
    assert tickets_by_file(trees[0]) == tickets_by_file(trees[1])
    assert bytes_by_path(trees[0]) != bytes_by_path(trees[2])


def test_every_upload_is_a_picture_and_has_its_ticket_in_the_database(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, 3, 25, grow_s=0)
    tickets = tickets_by_file(tree)
    for upload in tree.uploads:
        assert upload.path == tree.attach / upload.user / upload.name
        assert tickets[upload.user, upload.name] == upload.ticket
        Image.open(upload.path).load()
    assert len(tree.truth()) == len(tree.uploads)
    assert set(tree.truth().values()) == {"errors", "reports", "screens", "tickets"}


def test_a_ticket_has_one_user_and_some_tickets_have_several_pictures(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, 4, 30, grow_s=0)
    users: dict[str, list[str]] = {}
    for upload in tree.uploads:
        users.setdefault(upload.ticket, []).append(upload.user)
    assert all(len(set(of_ticket)) == 1 for of_ticket in users.values())
    assert {len(of_ticket) for of_ticket in users.values()} == {1, 2, 3}
    assert set(tree.truth_of_tickets()) == set(users)


def test_names_are_as_wild_as_people_make_them(tmp_path: Path) -> None:
    names = [upload.name for upload in make_tree(tmp_path, 5, 25, grow_s=0).uploads]
    for part in (" ", "Ö", "$(whoami)", "`", "|", "'", '"', "\t", ".JPG"):
        assert any(part in name for name in names), part
    assert any(name.startswith("-") for name in names)


def test_two_users_have_the_same_file_name_on_different_tickets(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, 6, 4, grow_s=0)
    same = [upload for upload in tree.uploads if upload.name == "Fehler beim Öffnen.jpg"]
    assert len({upload.user for upload in same}) == len({upload.ticket for upload in same}) == 2


def test_it_holds_what_is_no_picture_to_work_on(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, 7, 2, grow_s=0)
    add_unreadable(tree)
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(tree.strange["broken"].read_bytes())).load()
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(tree.strange["document"].read_bytes()))
    assert tree.strange["link"].is_symlink()
    assert not tree.strange["link"].resolve().is_relative_to(tree.attach)
    assert not set(tree.strange.values()) & set(tree.truth())


def test_one_picture_is_still_growing_and_whole_in_the_end(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, 8, 2, grow_s=0.8)
    assert tree.growing is not None
    early = tree.growing.path.stat().st_size
    assert not tree.growing.finished
    assert tree.growing.wait(10)
    assert tree.growing.path.stat().st_size > early
    Image.open(tree.growing.path).load()
    assert tree.growing.path in tree.truth()


def test_tickets_arrive_later_with_new_pictures(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, 9, 5, grow_s=0)
    before = set(tree.truth())
    arrived = more_tickets(tree, 4)
    assert len({upload.ticket for upload in arrived}) == 4
    assert not before & {upload.path for upload in arrived}
    again = more_tickets(tree, 2)
    assert not {upload.ticket for upload in again} & {upload.ticket for upload in arrived}
    add_unreadable(tree)
    assert len(tickets_by_file(tree)) == len(tree.uploads) + 2  # what is no picture has a ticket too


def test_a_folder_that_holds_a_tree_is_left_alone(tmp_path: Path) -> None:
    make_tree(tmp_path, 1, 1, grow_s=0)
    with pytest.raises(UsageError, match="already"):
        make_tree(tmp_path, 1, 1, grow_s=0)


def test_rendered_parts_share_no_picture_and_mix_the_classes() -> None:
    pictures = RenderedPictures(1)
    known, new = (list(islice(pictures.of(part), 8)) for part in ("known", "new"))
    assert sorted(picture.category for picture in known[:4]) == sorted(pictures.categories)
    assert not {picture.read() for picture in known} & {picture.read() for picture in new}
    Image.open(io.BytesIO(known[0].read())).load()


def test_parts_of_a_folder_share_no_source(tmp_path: Path) -> None:
    pictures = FolderPictures(picture_folder(tmp_path), 1)
    sources = {part: {picture.source for picture in pictures.of(part)} for part in ("known", "new")}
    assert sources["known"] and sources["new"] and not sources["known"] & sources["new"]
    assert sources["known"] | sources["new"] == {"shop-a", "shop-b", "shop-c", "shop-d"}


def test_a_tree_of_a_folder_takes_every_picture_once_and_users_keep_their_source(tmp_path: Path) -> None:
    pictures = FolderPictures(picture_folder(tmp_path / "data"), 1)
    tree = make_tree(tmp_path / "run", 1, None, pictures=pictures, grow_s=0)
    more_tickets(tree, None)
    assert len(tree.uploads) == 48
    assert more_tickets(tree, None) == []


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder with pictures for each class"):
        FolderPictures(tmp_path, 1)


@pytest.mark.parametrize(
    ("name", "source"), [("shop_12.jpg", "shop"), ("a_b_3.jpeg", "a_b"), ("plain.png", "plain"), ("x-1.jpg", "x-1")]
)
def test_the_source_is_what_stands_before_the_last_number(name: str, source: str) -> None:
    assert source_of(name) == source


def test_sources_are_dealt_so_that_both_parts_have_every_class() -> None:
    sizes = {"a": ("errors", 9), "b": ("errors", 8), "c": ("screens", 5), "d": ("screens", 4), "e": ("screens", 1)}
    pictures = [Picture(c, ".jpg", source, bytes) for source, (c, size) in sizes.items() for _ in range(size)]
    random.Random(1).shuffle(pictures)
    known = known_sources(pictures)
    for category in ("errors", "screens"):
        ours = [picture for picture in pictures if picture.category == category]
        assert 0.4 < sum(picture.source in known for picture in ours) / len(ours) < 0.6
