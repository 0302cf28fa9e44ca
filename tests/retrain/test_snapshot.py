"""From label rows to what the trainer learns from."""

import json
import shutil
import threading

import pytest

from tests.support import shelf as make_rows
from ticketbot.contracts import snapshot as contract
from ticketbot.db.models import Picture
from ticketbot.errors import NotReady, TrainingFailed
from ticketbot.imaging.decode import DecoderPool
from ticketbot.retrain import snapshot

TWO = {"general.categories": ["reports", "errors"], "retrain.min_per_category": 2}


@pytest.fixture
def settings(settings_with):
    return settings_with(TWO)


@pytest.fixture
def decoders():
    pool = DecoderPool(1, timeout_s=10)
    yield pool
    pool.close()


def labelled(db, settings, n=5, start=0, **how):
    """n labelled pictures a class; sha256 -> label."""
    found = {}
    for number, name in enumerate(settings.categories):
        for seed in range(start, start + n):
            sha256 = make_rows.stage_colour(db, settings, number, seed=seed, user=f"u{seed}")
            make_rows.label(db, sha256, name, **how)
            found[sha256] = name
    return found


def make(db, settings, decoders, name="one", **options):
    return snapshot.make(db, settings, decoders, settings.data_dir / "snapshots" / name, 5.0, **options)


def test_labels_become_a_snapshot_that_reads_back(db, settings, decoders):
    labels = labelled(db, settings)
    made = make(db, settings, decoders)
    read = contract.read(settings.data_dir / "snapshots" / "one")
    assert {item.sha256: item.label for item in read.items} == labels
    assert read.hash == made.hash
    assert all((settings.data_dir / "staging" / item.file).is_file() for item in read.items)
    assert {item.user for item in read.items} == {f"u{n}" for n in range(5)}
    assert [item.split for item in read.items].count("holdout") == 2
    assert read.labels_until == 10


def test_the_decoded_size_and_hash_are_kept_on_the_picture(db, settings, decoders):
    labelled(db, settings)
    make(db, settings, decoders)
    with db.read() as session:
        for picture in session.query(Picture):
            assert (picture.width, picture.height, picture.format) == (96, 96, "JPEG")
            assert len(picture.phash) == 32


def test_the_same_labels_make_the_same_snapshot(db, settings, decoders):
    labelled(db, settings)
    first, second = make(db, settings, decoders), make(db, settings, decoders, "two")
    assert first == second


def test_a_side_is_for_ever(db, settings, decoders):
    labelled(db, settings)
    first = {item.sha256: item.split for item in make(db, settings, decoders).items}
    labelled(db, settings, n=20, start=100)
    second = {item.sha256: item.split for item in make(db, settings, decoders, "two").items}
    assert {sha256: second[sha256] for sha256 in first} == first
    assert list(second.values()).count("holdout") == 10


def test_look_alikes_share_a_group_and_a_side(db, settings, decoders):
    labelled(db, settings)
    pixels = make_rows.picture(0, px=96, seed=2)
    for quality in (88, 91, 95):
        sha256 = make_rows.stage(db, settings, make_rows.jpeg(pixels, quality))
        make_rows.label(db, sha256, "reports")
    made = make(db, settings, decoders)
    twins = [item for item in made.items if item.group == _group_of(made, pixels)]
    assert len(twins) == 4
    assert len({item.split for item in twins}) == 1


def _group_of(made, pixels):
    import hashlib

    sha256 = hashlib.sha256(make_rows.jpeg(pixels, 91)).hexdigest()
    return next(item.group for item in made.items if item.sha256 == sha256)


def test_junk_and_other_words_are_not_learned(db, settings, decoders):
    labels = labelled(db, settings)
    make_rows.label(db, make_rows.stage_colour(db, settings, 2), "junk")
    make_rows.label(db, make_rows.stage_colour(db, settings, 3), "letters")
    make_rows.stage_colour(db, settings, 3, seed=8)  # nobody said anything
    assert len(make(db, settings, decoders).items) == len(labels)


def test_what_was_labelled_with_a_suggestion_in_sight_is_only_trained_on(db, settings, decoders):
    labelled(db, settings, n=10, how="page", suggested="reports")
    assert {item.split for item in make(db, settings, decoders).items} == {"train"}


def test_an_erased_or_archived_picture_is_not_in_it(db, settings, decoders):
    labels = labelled(db, settings)
    with db.write() as session:
        session.get(Picture, next(iter(labels))).state = "archived"
    assert len(make(db, settings, decoders).items) == len(labels) - 1
    assert snapshot.labels_now(db, settings.categories) == {"reports": 4, "errors": 5}


def test_an_unreadable_picture_is_left_out_and_a_class_that_falls_short_says_so(db, settings, decoders):
    labels = labelled(db, settings, n=2)
    broken = make_rows.stage(db, settings, b"not a picture")
    make_rows.label(db, broken, "reports")
    assert broken not in {item.sha256 for item in make(db, settings, decoders).items}
    gone = next(sha256 for sha256, name in labels.items() if name == "errors")
    settings.staged_path(gone).write_bytes(b"")
    with db.write() as session:
        session.get(Picture, gone).phash = None
    with pytest.raises(NotReady, match="errors 1"):
        make(db, settings, decoders, "two")


def test_it_stops_when_told(db, settings, decoders):
    labelled(db, settings)
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(TrainingFailed):
        make(db, settings, decoders, stopping=stopping)


def test_it_can_be_packed_for_another_machine(db, settings, decoders, tmp_path):
    labelled(db, settings)
    made = make(db, settings, decoders)
    contract.pack(settings.data_dir / "snapshots" / "one", tmp_path / "packed")
    shutil.rmtree(settings.data_dir / "staging")
    assert contract.read(tmp_path / "packed").hash == made.hash


def test_a_changed_snapshot_is_refused(db, settings, decoders):
    labelled(db, settings)
    make(db, settings, decoders)
    path = settings.data_dir / "snapshots" / "one" / "snapshot.json"
    value = json.loads(path.read_text())
    value["items"][0]["label"] = "errors" if value["items"][0]["label"] == "reports" else "reports"
    path.write_text(json.dumps(value))
    with pytest.raises(Exception, match="does not fit"):
        contract.read(path.parent)
