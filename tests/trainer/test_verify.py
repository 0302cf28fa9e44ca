import csv
import struct
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.trainer.conftest import draw, make_folder
from ticketbot.errors import UsageError
from trainer.cli import cli
from trainer.data import verify as looking
from trainer.data.pictures import files_below
from trainer.data.show import sample, show
from trainer.progress import Progress
from trainer.sheet import TILE_PX, Tile, sheet


def verify(folder, **more):
    return looking.verify(folder, Progress(quiet=True), **more)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HUGE = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 13000, 13000, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path):
    """Four pictures, and three files that are none."""
    folder = make_folder(tmp_path / "pictures", kinds=("across", "dots"), each=2)
    (folder / "dots" / "=huge.png").write_bytes(HUGE)
    (folder / "dots" / "page.jpg").write_bytes(b"<html>")
    (folder / "dots" / "of anna").mkdir()
    (folder / "dots" / "of anna" / "page.jpg").write_bytes(b"%PDF-1.4")
    (folder / "notes.txt").write_text("beside the classes: not looked at")
    return folder


def test_what_is_no_picture_is_moved_aside_with_its_reason(folder):
    found = verify(folder)
    aside = folder / ".quarantine" / "dots"
    assert found.n == 7 and found.codes() == {"image_too_large": 1, "not_an_image": 2}
    assert (aside / "=huge.png").read_bytes() == HUGE and (aside / "of anna" / "page.jpg").is_file()
    with open(folder / ".quarantine" / "reasons.csv", newline="") as file:
        assert ["dots/=huge.png", "image_too_large"] in list(csv.reader(file))
    assert verify(folder).bad == [] and (folder / "notes.txt").exists()


def test_a_second_one_of_the_name_replaces_none(folder):
    verify(folder)
    (folder / "dots" / "page.jpg").write_bytes(b"another")
    verify(folder)
    assert (folder / ".quarantine" / "dots" / "page-2.jpg").read_bytes() == b"another"
    assert (folder / ".quarantine" / "dots" / "page.jpg").read_bytes() == b"<html>"


@pytest.mark.parametrize(("act", "left"), [("deleted", 4), ("left", 7)])
def test_deleting_is_asked_for(folder, act, left):
    assert len(verify(folder, act=act).bad) == 3
    assert sum(len(files_below(one)) for one in looking.class_folders(folder)) == left
    assert not (folder / ".quarantine").exists()


def test_large_pictures_are_made_smaller_in_their_place(tmp_path):
    dots = tmp_path / "pictures" / "dots"
    dots.mkdir(parents=True)
    draw("dots", 1).resize((900, 300)).save(dots / "wide.jpg")
    draw("dots", 2).resize((300, 900)).save(dots / "tall.gif")
    draw("dots", 3).resize((300, 900)).save(dots / "tall.png")
    draw("dots", 4).save(dots / "small.jpg")
    small = (dots / "small.jpg").read_bytes()
    assert verify(tmp_path / "pictures", max_size=150).resized == 3
    sizes = {path.name: size_of(path) for path in dots.iterdir()}
    assert sizes.pop("small.jpg") and (dots / "small.jpg").read_bytes() == small
    assert sizes == {"wide.jpg": (150, 50), "tall.png": (50, 150), "tall-2.png": (50, 150)}
    assert verify(tmp_path / "pictures", max_size=150).resized == 0


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize("max_size", [0, 10_000])
def test_a_size_no_picture_can_have_is_refused(folder, max_size):
    with pytest.raises(UsageError, match="--max-size"):
        verify(folder, max_size=max_size)


def test_a_folder_without_files_is_refused(tmp_path):
    (tmp_path / "dots").mkdir()
    with pytest.raises(UsageError, match="a folder for each class"):
        verify(tmp_path)


def test_the_command_ends_with_1_when_something_was_no_picture(folder):
    first, second = (CliRunner().invoke(cli, ["verify", str(folder)]) for _ in range(2))
    assert first.exit_code == 1 and "dots/=huge.png: image_too_large\n" in first.stdout
    assert "7 files: 4 pictures, 0 made smaller, 3 quarantined (image_too_large 1, not_an_image 2)" in first.stdout
    assert second.exit_code == 0 and "4 files: 4 pictures, 0 made smaller, 0 quarantined" in second.stdout


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 30)), st.integers(1, 60), st.integers())
def test_a_sample_is_as_even_as_the_classes_allow(sizes, count, seed):
    found = {name: [f"{name}{number}" for number in range(size)] for name, size in sizes.items()}
    chosen = sample(found, count, seed)
    assert sum(map(len, chosen.values())) == min(count, sum(sizes.values()))
    assert all(set(paths) <= set(found[name]) and len(set(paths)) == len(paths) for name, paths in chosen.items())
    most = max(map(len, chosen.values()), default=0)
    assert all(len(chosen.get(name, [])) >= min(size, most - 1) for name, size in sizes.items())
    assert chosen == sample(found, count, seed)


def test_a_sheet_shows_what_can_be_read(folder, tmp_path):
    done = CliRunner().invoke(cli, ["show", str(folder), "--out", str(tmp_path / "sheet.png")])
    assert done.exit_code == 0
    with Image.open(tmp_path / "sheet.png") as page:
        assert page.width == 8 * (TILE_PX + 8) + 8 and page.height > 2 * TILE_PX
        assert len(page.convert("RGB").getcolors(2**20)) > 50
    assert show(folder, seed=7).tobytes() == show(folder, seed=7).tobytes()


def test_a_sheet_has_a_row_for_what_is_too_much_for_one():
    tile = Tile(np.zeros((TILE_PX, TILE_PX, 3), np.uint8), ("a", "b"))
    assert sheet([("dots", [tile] * 3)], columns=2).height > sheet([("dots", [tile] * 2)], columns=2).height
