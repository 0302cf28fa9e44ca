"""How does a settled file become a picture of ours?"""

import errno
import hashlib
import os
import resource
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from tests.collect.conftest import JPEG
from ticketbot.collect import opening, staging
from ticketbot.contracts import store
from ticketbot.db.models import Directory, File, FileTicket, Picture
from ticketbot.errors import StorageError, UsageError


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_settled_file_is_copied_under_its_hash(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg", JPEG)
    tree.scan(5)
    report = tree.stage(10)
    assert (report.staged, report.bytes_copied, report.left) == (1, len(JPEG), 0)
    file = tree.file(b"1/a.jpg")
    assert (file.state, file.sha256) == ("staged", sha256(JPEG))
    assert staging.path_of(tree.data_dir, file.sha256).read_bytes() == JPEG
    with staging.open_staged(tree.data_dir, file.sha256) as opened:
        assert opened.read() == JPEG
    picture = tree.pictures()[file.sha256]
    assert (picture.state, picture.size_bytes, picture.wanted) == ("staged", len(JPEG), True)


def test_it_waits_for_the_second_look(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg")
    tree.scan(5)
    assert tree.stage(9).staged == 0
    assert tree.files() == {b"1/a.jpg": ("seen", None)}
    assert tree.stage(1).staged == 1


def test_a_file_that_grew_settles_anew(collector):
    tree = collector().past_history()
    path = tree.write("1/a.jpg")
    tree.scan(5)
    path.write_bytes(JPEG * 5)
    assert (tree.stage(10).staged, tree.files()[b"1/a.jpg"]) == (0, ("settling", None))
    assert tree.stage(9).staged == 0
    assert tree.stage(1).staged == 1
    assert tree.stored() == [f"{sha256(JPEG * 5)}.jpg"]


def test_our_clock_set_back_costs_one_wait_and_no_day(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg")
    tree.scan(5)
    tree.now -= 86_400
    tree.stage()
    assert tree.stage(10).staged == 1


def test_the_same_content_of_two_users_is_one_picture(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg", JPEG)
    tree.write("2/b.jpg", JPEG)
    assert tree.collect().staged == 2
    assert len(tree.pictures()) == len(tree.stored()) == 1


def test_the_same_name_of_two_users_is_two_pictures(collector):
    tree = collector().past_history()
    tree.write("1/image001.jpg", JPEG + b"one")
    tree.write("2/image001.jpg", JPEG + b"two")
    tree.collect()
    assert tree.stored() == sorted(f"{sha256(JPEG + which)}.jpg" for which in (b"one", b"two"))


@pytest.mark.parametrize(
    ("history", "wanted", "looked_up"),
    [("index", False, False), ("classify", True, False), ("deliver", True, True)],
)
def test_history_is_staged_and_wanted_as_the_setting_says(collector, history, wanted, looked_up):
    tree = collector({"sources.erp.history": history})
    tree.write("1/old.jpg", JPEG)
    tree.scan()
    tree.stage(10)
    assert tree.pictures()[sha256(JPEG)].wanted is wanted
    assert (tree.file(b"1/old.jpg").resolve_due_at is not None) is looked_up


def test_history_that_comes_again_as_news_is_wanted(collector):
    tree = collector()
    tree.write("1/old.jpg", JPEG)
    tree.scan()
    tree.stage(10)
    tree.write("1/new.jpg", JPEG)
    tree.collect()
    assert tree.pictures()[sha256(JPEG)].wanted


def test_news_is_staged_before_history(collector):
    tree = collector()
    for number in range(5):
        tree.write(f"1/old {number}.jpg")
    tree.scan()
    tree.write("1/new.jpg")
    tree.scan(10)
    report = tree.stage(10, limit=1)
    assert (report.staged, tree.files()[b"1/new.jpg"]) == (1, ("staged", None))
    assert report.left > 0 and tree.stage().left == 0


def test_a_budget_ends_the_round_and_says_what_is_left(collector, monkeypatch):
    monkeypatch.setattr(staging, "ROWS_AT_ONCE", 2)
    tree = collector()
    for number in range(6):
        tree.write(f"1/{number}.jpg")
    tree.scan()
    report = tree.stage(10, budget_s=0)
    assert (report.staged, report.left) == (2, 4)


# --- what is refused ---


def test_an_empty_file_is_refused_and_taken_when_it_fills(collector):
    tree = collector().past_history()
    path = tree.write("1/a.jpg", b"")
    tree.collect()
    assert tree.files() == {b"1/a.jpg": ("refused", "empty")}
    path.write_bytes(JPEG)  # does not touch the folder
    tree.stage(60)
    assert tree.stage(10).staged == 1


def test_a_file_that_grows_too_large_is_refused(collector):
    tree = collector({"sources.erp.max_file_mb": 1}).past_history()
    path = tree.write("1/a.jpg")
    tree.scan(5)
    with open(path, "r+b") as file:
        file.truncate(2**20 + 1)
    tree.stage(10)
    tree.stage(10)
    assert tree.files() == {b"1/a.jpg": ("refused", "too_large")}
    assert tree.stored() == []


def test_a_deleted_file_vanished_and_is_gone_at_the_next_scan(collector):
    tree = collector().past_history()
    path = tree.write("1/a.jpg")
    tree.scan(5)
    path.unlink()
    assert tree.stage(10).refused == {"vanished": 1}
    assert tree.files() == {b"1/a.jpg": ("refused", "vanished")}
    tree.scan(5)
    assert tree.files() == {b"1/a.jpg": ("gone", None)}


def test_a_file_that_was_away_for_a_moment_is_taken_although_its_folder_looks_unchanged(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg")
    for _ in range(3):
        tree.scan(1)
    before = os.stat(tree.root / "1")
    (tree.root / "1" / "a.jpg").rename(tree.root.parent / "away")
    tree.stage(10)
    (tree.root.parent / "away").rename(tree.root / "1" / "a.jpg")
    os.utime(tree.root / "1", ns=(before.st_atime_ns, before.st_mtime_ns))
    tree.scan(5)
    assert tree.stage(10).staged == 1


def test_a_file_swapped_for_a_link_is_refused_and_the_secret_not_read(collector, tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(JPEG + b"secret")
    tree = collector().past_history()
    path = tree.write("1/a.jpg")
    tree.scan(5)
    path.unlink()
    path.symlink_to(secret)
    assert tree.stage(10).refused == {"swapped": 1}
    assert tree.stored() == []


def test_a_folder_swapped_for_a_link_is_not_entered(collector, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.jpg").write_bytes(JPEG + b"secret")
    tree = collector().past_history()
    tree.write("1/a.jpg")
    tree.scan(5)
    (tree.root / "1").rename(tree.root / "0")
    (tree.root / "1").symlink_to(tmp_path / "outside")
    tree.stage(10)
    assert tree.stored() == []
    tree.scan(5)
    assert tree.files()[b"1/a.jpg"] == ("gone", None)


def test_a_fifo_in_the_files_place_does_not_hold_us_up(collector):
    tree = collector().past_history()
    path = tree.write("1/a.jpg")
    tree.scan(5)
    path.unlink()
    os.mkfifo(path)
    assert tree.stage(10).refused == {"swapped": 1}


def test_permission_is_looked_at_again(collector, monkeypatch):
    tree = collector().past_history()
    tree.write("1/a.jpg")
    tree.scan(5)
    with monkeypatch.context() as patch:
        patch.setattr(opening, "open_regular", _raise(PermissionError(errno.EACCES, "Permission denied")))
        assert tree.stage(10).refused == {"permission": 1}
        assert tree.stage(10).refused == {}
    assert tree.files() == {b"1/a.jpg": ("refused", "permission")}
    assert tree.stage(60).staged == 1


def _raise(error):
    def wrapped(*_, **__):
        raise error

    return wrapped


def test_trouble_with_the_disk_of_the_erp_refuses_nothing(collector, monkeypatch):
    tree = collector().past_history()
    tree.write("1/a.jpg")
    tree.scan(5)
    with monkeypatch.context() as patch:
        patch.setattr(opening, "open_regular", _raise(OSError(errno.EIO, "Input/output error")))
        assert "Input/output" in tree.stage(10).incomplete
    assert tree.stage(10).staged == 1


def test_a_missing_mount_refuses_nothing(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg")
    tree.scan(5)
    tree.root.rename(tree.root.with_name("unmounted"))
    assert tree.stage(10).incomplete
    tree.root.mkdir()  # the empty folder under the mount
    assert tree.stage(10).refused == {}
    tree.root.rmdir()
    tree.root.with_name("unmounted").rename(tree.root)
    assert tree.stage(10).staged == 1


def test_a_user_over_quota_waits_and_others_do_not(collector):
    tree = collector({"sources.erp.max_files_per_user": 2}).past_history()
    for number in range(5):
        tree.write(f"1/{number}.jpg")
    tree.write("2/a.jpg")
    report = tree.collect()
    assert (report.staged, report.refused) == (3, {"quota": 3})
    assert tree.stage(10).staged == 0
    with tree.db.write() as session:
        session.execute(update(Picture).values(model_id="m1"))  # looked at: no longer waiting
    assert tree.stage(10).staged == 2


def test_an_erased_picture_is_not_collected_again(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg", JPEG)
    with tree.db.write() as session:
        session.add(Picture(sha256=sha256(JPEG), state="erased", size_bytes=1, staged_at=0.0))
    assert tree.collect().refused == {"erased": 1}
    assert tree.files() == {b"1/a.jpg": ("refused", "erased")}
    assert tree.stored() == [] and tree.file(b"1/a.jpg").sha256 is None
    tree.scan(5, sweep=True)
    assert tree.stage(100).refused == {}


def test_erased_between_the_copy_and_the_row(collector, monkeypatch):
    tree = collector().past_history()
    tree.write("1/a.jpg", JPEG)
    with tree.db.write() as session:
        session.add(Picture(sha256=sha256(JPEG), state="erased", size_bytes=1, staged_at=0.0))
    monkeypatch.setattr(staging, "_erased", lambda *_: set())
    assert tree.collect().refused == {"erased": 1}
    assert tree.stored() == [] and tree.files() == {b"1/a.jpg": ("refused", "erased")}


# --- changes afterwards ---


def test_an_archived_picture_comes_back_with_a_new_file(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg", JPEG)
    tree.collect()
    store.remove(tree.data_dir, sha256(JPEG))
    with tree.db.write() as session:
        session.execute(update(Picture).values(state="archived"))
    tree.write("2/b.jpg", JPEG)
    tree.collect()
    assert tree.pictures()[sha256(JPEG)].state == "staged"
    assert tree.stored() == [f"{sha256(JPEG)}.jpg"]


def test_an_overwritten_file_becomes_another_picture_and_asks_for_its_ticket_again(collector):
    tree = collector().past_history()
    path = tree.write("1/a.jpg", JPEG)
    tree.collect()
    with tree.db.write() as session:
        session.add(FileTicket(file_id=tree.file(b"1/a.jpg").id, ticket="7", resolved_at=0.0))
        session.execute(update(File).values(resolve_due_at=None))
    path.write_bytes(JPEG + b"corrected")
    tree.scan(5, sweep=True)
    assert tree.stage(10).staged == 1
    file = tree.file(b"1/a.jpg")
    assert file.sha256 == sha256(JPEG + b"corrected") and file.resolve_due_at is not None


def test_a_touched_file_keeps_its_ticket(collector):
    tree = collector().past_history()
    path = tree.write("1/a.jpg", JPEG)
    tree.collect()
    with tree.db.write() as session:
        session.add(FileTicket(file_id=tree.file(b"1/a.jpg").id, ticket="7", resolved_at=0.0))
        session.execute(update(File).values(resolve_due_at=None))
    os.utime(path, (1, 1))
    tree.scan(5, sweep=True)
    assert tree.stage(10).staged == 1
    assert tree.file(b"1/a.jpg").resolve_due_at is None


def test_a_file_that_is_gone_is_not_looked_up(collector):
    tree = collector().past_history()
    path = tree.write("1/a.jpg", JPEG)
    tree.collect()
    path.unlink()
    tree.scan(5)
    assert tree.file(b"1/a.jpg").resolve_due_at is None
    tree.write("1/a.jpg", JPEG)
    tree.collect()
    assert tree.file(b"1/a.jpg").resolve_due_at is not None


# --- races, real ones ---


def test_a_file_that_grows_while_it_is_copied_is_thrown_away(collector, monkeypatch):
    tree = collector().past_history()
    path = tree.write("1/a.jpg", JPEG * 1000)
    tree.scan(5)
    real = os.read

    def growing(fd, count):
        with open(path, "ab") as file:
            file.write(b"more")
        return real(fd, min(count, 1000))

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", growing)
        assert tree.stage(10).staged == 0
    assert tree.files() == {b"1/a.jpg": ("settling", None)} and tree.stored() == []
    assert tree.stage(10).staged == 1


def test_a_writer_that_takes_its_time_is_never_staged_half(collector):
    tree = collector({"sources.erp.settle_s": 0.5}).past_history()
    path = tree.write("2/growing.jpg", b"")
    parts = [JPEG + bytes([number]) * 1000 for number in range(12)]

    def write():
        with open(path, "ab", buffering=0) as file:
            for part in parts:
                file.write(part)
                time.sleep(0.1)

    writer = threading.Thread(target=write)
    writer.start()
    tree.now = time.time()
    staged = []
    while not staged:
        tree.now = time.time()
        tree.scan()
        tree.now = time.time()
        tree.stage()
        staged = tree.stored()
        time.sleep(0.05)
    writer.join()
    assert staged == [f"{sha256(b''.join(parts))}.jpg"]


def test_a_swap_race_never_yields_the_secret(tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    root = tmp_path / "tree"
    (root / "2").mkdir(parents=True)
    target = root / "2" / "a.jpg"
    target.write_bytes(b"mine")
    link, plain = root / "2" / "link", root / "2" / "plain"
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            link.symlink_to(secret)
            os.replace(link, target)
            plain.write_bytes(b"mine")
            os.replace(plain, target)

    swapper = threading.Thread(target=swap)
    swapper.start()
    read = {"mine": 0, "refused": 0}
    try:
        with opening.Tree(root) as tree:
            ends_at = time.monotonic() + 30
            while time.monotonic() < ends_at and (sum(read.values()) < 20_000 or not all(read.values())):
                try:
                    fd = tree.open_file(b"2/a.jpg")
                except OSError:
                    read["refused"] += 1
                    continue
                assert os.read(fd, 10) != b"secret"
                os.close(fd)
                read["mine"] += 1
    finally:
        stop.set()
        swapper.join()
    assert read["mine"] and read["refused"]  # else there was no race


def test_two_workers_stage_every_file_once(collector):
    tree = collector().past_history()
    for number in range(60):
        tree.write(f"{number % 3}/{number}.jpg")
    tree.scan(5)
    tree.now += 10
    reports = []
    workers = [threading.Thread(target=lambda: reports.append(tree.stage())) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(report.staged for report in reports) == 60
    assert len(tree.pictures()) == len(tree.stored()) == 60


# --- our own disk ---


def test_no_room_is_said_clearly_and_loses_nothing(collector, monkeypatch):
    tree = collector().past_history()
    for number in range(5):
        tree.write(f"1/{number}.jpg")
    tree.scan(5)
    real, calls = store.Incoming.write, []

    def full(content, block):
        calls.append(block)
        if len(calls) == 3:
            raise StorageError("cannot write to the data folder: No space left on device")
        real(content, block)

    with monkeypatch.context() as patch:
        patch.setattr(store.Incoming, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            tree.stage(10)
    assert sorted(tree.files().values()) == [("seen", None)] * 3 + [("staged", None)] * 2
    assert list((tree.data_dir / "staging" / "tmp").iterdir()) == []
    assert tree.stage().staged == 3


def test_a_disk_that_does_not_sync_keeps_no_row(collector, monkeypatch):
    tree = collector().past_history()
    for number in range(3):
        tree.write(f"1/{number}.jpg")
    tree.scan(5)
    with monkeypatch.context() as patch:
        patch.setattr(store.Incoming, "sync", _raise(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(StorageError, match="Input/output"):
            tree.stage(10)
    assert {*tree.files().values()} == {("seen", None)} and tree.pictures() == {}
    assert list((tree.data_dir / "staging" / "tmp").iterdir()) == []
    assert tree.stage().staged == 3


def test_a_database_on_the_same_full_disk_is_no_second_error(collector, monkeypatch):
    tree = collector().past_history()
    tree.write("1/a.jpg")
    tree.scan(5)
    tree.now += 10
    with monkeypatch.context() as patch:
        patch.setattr(store, "incoming", _raise(StorageError("full")))
        patch.setattr(staging._Staging, "_write_rows", _raise(OperationalError("", {}, Exception("disk is full"))))
        with pytest.raises(StorageError):
            tree.stage()
    assert tree.stage().staged == 1


def test_a_real_limit_on_file_size(tmp_path):
    code = f"""
import resource, sys
from pathlib import Path
from ticketbot.contracts import store
from ticketbot.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with store.incoming(Path({str(tmp_path)!r})) as new:
        new.write(b"x" * 5000)
        store.keep([new])
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot write to the data folder: File too large" in done.stdout
    assert list((tmp_path / "staging" / "tmp").iterdir()) == []


def test_left_over_temporary_files_are_swept(tmp_path):
    folder = tmp_path / "staging" / "tmp"
    folder.mkdir(parents=True)
    for name, age_s in (("1-old.part", 7200), ("2-new.part", 60)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (10_000 - age_s, 10_000 - age_s))
    assert store.sweep(tmp_path, now=10_000) == 1
    assert [path.name for path in folder.iterdir()] == ["2-new.part"]


def test_a_torn_file_under_the_hash_is_replaced(tmp_path):
    target = store.path_of(tmp_path, sha256(JPEG))
    target.parent.mkdir(parents=True)
    target.write_bytes(JPEG[:5])
    with store.incoming(tmp_path) as new:
        new.write(JPEG)
        store.keep([new])
    assert target.read_bytes() == JPEG


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_hash_has_a_place(tmp_path, name):
    with pytest.raises(ValueError, match="not a sha256"):
        store.path_of(tmp_path, name)


def test_memory_stays_flat_for_a_large_file(collector):
    tree = collector().past_history()
    with open(tree.write("1/a.jpg"), "r+b") as file:
        file.truncate(24 * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert tree.collect().bytes_copied == 24 * 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10 * 1024


# --- pictures that people hand us ---


def test_an_imported_file_is_staged_and_not_classified_by_itself(collector, tmp_path):
    tree = collector()
    (tmp_path / "mine.jpg").write_bytes(JPEG)
    found = staging.import_file(tree.db, tree.data_dir, tmp_path / "mine.jpg", max_bytes=100, now=1.0)
    assert found == sha256(JPEG)
    assert (tree.pictures()[found].wanted, tree.stored()) == (False, [f"{found}.jpg"])


@pytest.mark.parametrize("kind", ["missing", "empty", "large", "link", "folder", "fifo"])
def test_what_cannot_be_imported_says_why(collector, tmp_path, kind):
    tree = collector()
    path = tmp_path / "mine.jpg"
    make = {
        "missing": lambda: None,
        "empty": lambda: path.write_bytes(b""),
        "large": lambda: path.write_bytes(b"x" * 101),
        "link": lambda: path.symlink_to("/etc/hostname"),
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }
    make[kind]()
    with pytest.raises(UsageError, match=r"mine\.jpg"):
        staging.import_file(tree.db, tree.data_dir, path, max_bytes=100, now=1.0)
    assert tree.stored() == []


def test_a_changed_folder_is_listed_again_after_a_file_vanished(collector):
    tree = collector().past_history()
    path = tree.write("1/a.jpg")
    for _ in range(3):
        tree.scan(5)
    path.unlink()
    tree.stage(10)
    with tree.db.read() as session:
        assert session.scalar(select(Directory.clean).where(Directory.path == b"1")) is False
