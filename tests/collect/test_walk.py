"""Which files are there? Real trees, real hostile names."""

import errno
import logging
import os
import shutil
import subprocess
import threading

import pytest
from sqlalchemy import select

from ticketbot.collect import listing, opening, walk
from ticketbot.db.models import Directory, File

HOSTILE_NAMES = [
    b"; touch pwned;.jpg",
    b"$(touch pwned).jpg",
    b"`id`.jpg",
    b"a b.jpg",
    b"a\nb.jpg",
    b"a\rb.jpg",
    b"a\tb.jpg",
    b"a\x1b[31mred.jpg",
    b"bytes \xff\xfe.jpg",
    b"\xc3\x28.jpg",
    "\u202egpj.exe.jpg".encode(),
    "\u2028line.jpg".encode(),
    "Fehler beim Öffnen.jpg".encode(),
    "o\u0308.jpg".encode(),
    "日本語.jpg".encode(),
    "\U0001f4a9.jpg".encode(),
    b'"quoted".jpg',
    b"'single'.jpg",
    b"<script>alert(1)<!script>.jpg",
    b"{{7*7}}.jpg",
    b"%s%n.jpg",
    b"=cmd|calc.jpg",
    b"-rf.jpg",
    b"--help.jpg",
    b"~root.jpg",
    b"*.jpg",
    b"a?b.jpg",
    b"CON.jpg",
    b"..jpg.jpg",
    b" .jpg",
    b".jpg",
    b"x.JPG",
    b"x.JpG",
    b"x.jpeg",
    b"n" * 251 + b".jpg",
]


def walked_into(found):
    return found.folders_listed + found.folders_unchanged


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_is_only_a_name(tmp_path, name):
    (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    fd = opening.open_root(tmp_path)
    wanted = listing.Wanted((".jpg", ".jpeg"), False, (), 100)
    found = listing.read(fd, wanted, {}, too_deep=False)
    os.close(fd)
    assert [*found.files] == [name] and not found.refused


def test_every_hostile_name_is_a_row_of_its_own(collector):
    tree = collector()
    for name in HOSTILE_NAMES:
        tree.write(f"1/{os.fsdecode(name)}")
    assert tree.scan().new == len(HOSTILE_NAMES)
    assert set(tree.files()) == {b"1/" + name for name in HOSTILE_NAMES}
    assert tree.file(b"1/bytes \xff\xfe.jpg").user == "1"


def test_the_same_name_of_two_users_is_two_files(collector):
    tree = collector()
    tree.write("1/image001.jpg")
    tree.write("2/image001.jpg")
    tree.scan()
    assert {tree.file(path).user for path in tree.files()} == {"1", "2"}


def test_a_user_that_is_no_text_is_kept_as_what_can_be_shown(collector):
    tree = collector()
    tree.write(os.fsdecode(b"\xff\xfe/a.jpg"))
    tree.scan()
    assert tree.file(b"\xff\xfe/a.jpg").user == "\\xff\\xfe"


def test_other_names_are_counted_and_not_kept(collector):
    tree = collector()
    for name in ("1/x.jpg.exe", "1/letter.pdf", "1/jpg", "2/x.png", "2/good.jpg"):
        tree.write(name)
    report = tree.scan()
    assert (report.new, report.refused["extension"]) == (1, 4)
    assert [*tree.files()] == [b"2/good.jpg"]
    assert tree.scan(5).refused["extension"] == tree.scan(5).refused["extension"] == 4
    tree.write("2/y.png")
    assert tree.scan(5).refused["extension"] == 5


def test_links_pipes_and_sockets_are_refused_and_never_opened(collector, make_socket):
    tree = collector()
    tree.write("1/image001.jpg")
    (tree.root / "2").mkdir()
    (tree.root / "2" / "rel.jpg").symlink_to("../1/image001.jpg")
    (tree.root / "2" / "abs.jpg").symlink_to("/etc/hostname")
    (tree.root / "2" / "up").symlink_to("..")
    (tree.root / "2" / "dangling.jpg").symlink_to("nothing")
    os.mkfifo(tree.root / "2" / "pipe.jpg")
    make_socket(tree.root / "2" / "s.jpg")
    report = tree.scan()
    assert (report.new, report.refused["not_regular"]) == (1, 6)
    refused = {path for path, state in tree.files().items() if state == ("refused", "not_regular")}
    assert refused == {b"2/" + n for n in (b"rel.jpg", b"abs.jpg", b"up", b"dangling.jpg", b"pipe.jpg", b"s.jpg")}


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
def test_a_device_is_refused(collector):
    tree = collector()
    os.mknod(tree.root / "null.jpg", 0o20666, os.makedev(1, 3))
    tree.scan()
    assert tree.files() == {b"null.jpg": ("refused", "not_regular")}


def test_a_folder_named_like_a_picture_is_walked(collector):
    tree = collector()
    tree.write("2/dir.jpg/in.jpg")
    tree.scan()
    assert [*tree.files()] == [b"2/dir.jpg/in.jpg"]


def test_fifty_gigabytes_are_refused_without_reading(collector):
    tree = collector()
    with open(tree.write("2/sparse50GB.jpg"), "r+b") as file:
        file.truncate(50 * 2**30)
    tree.scan()
    assert tree.files() == {b"2/sparse50GB.jpg": ("refused", "too_large")}
    assert tree.file(b"2/sparse50GB.jpg").size_bytes == 50 * 2**30


@pytest.fixture
def remove_deep(tmp_path):
    """pytest's own clean-up recurses and would fail at this depth."""
    yield
    subprocess.run(["rm", "-rf", str(tmp_path / "erp")], check=True)


def test_three_thousand_folders_deep(collector, remove_deep):
    tree = collector()
    fd = os.open(tree.root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("deep.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    report = tree.scan()
    assert tree.files() == {b"/".join([b"d"] * 9): ("refused", "too_deep")}
    assert report.folders_listed == 9 and report.incomplete is None


@pytest.mark.parametrize(("max_depth", "taken"), [(0, 1), (1, 2), (2, 3)])
def test_max_depth_counts_folders_below_the_root(collector, max_depth, taken):
    tree = collector({"sources.erp.max_depth": max_depth})
    for name in ("a.jpg", "1/a.jpg", "1/2/a.jpg"):
        tree.write(name)
    assert tree.scan().new == taken


def test_a_larger_max_depth_lets_a_folder_in(collector):
    tree = collector({"sources.erp.max_depth": 1})
    tree.write("1/2/a.jpg")
    tree.scan()
    assert tree.files() == {b"1/2": ("refused", "too_deep")}
    deeper = collector({"sources.erp.max_depth": 2})
    deeper.scan(10, sweep=True)
    assert deeper.files() == {b"1/2": ("gone", None), b"1/2/a.jpg": ("seen", None)}


def test_magic_bytes_decide_where_names_say_nothing(collector):
    overrides = {"sources.erp.match": "magic", "sources.erp.suffixes": [".jpg", ".png", ".webp"]}
    tree = collector(overrides)
    tree.write("file/0/file1", b"\xff\xd8\xff\xe0 a jpeg")
    tree.write("file/0/file2", b"\x89PNG\r\n\x1a\n a png")
    tree.write("file/0/file3", b"RIFF\x10\0\0\0WEBPVP8 ")
    tree.write("file/0/file4", b"RIFF\x10\0\0\0WAVEfmt ")
    tree.write("file/0/file5", b"%PDF-1.7")
    tree.write("file/0/file6.jpg", b"GIF89a is not asked for")
    assert tree.scan().refused["extension"] == 3
    assert set(tree.files()) == {b"file/0/file1", b"file/0/file2", b"file/0/file3"}


def test_magic_bytes_are_read_of_regular_files_only(collector, make_socket):
    tree = collector({"sources.erp.match": "magic"})
    os.mkfifo(tree.root / "pipe")
    make_socket(tree.root / "sock")
    (tree.root / "link").symlink_to("/etc/hostname")
    assert tree.scan().refused["not_regular"] == 3


def test_a_swap_between_look_and_open_reads_nothing(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"\xff\xd8\xff secret")
    (tmp_path / "a").write_bytes(b"\xff\xd8\xff mine")
    fd = opening.open_root(tmp_path)
    try:
        look = listing.Observation.of(os.stat("a", dir_fd=fd))
        (tmp_path / "a").unlink()
        (tmp_path / "a").symlink_to("secret")
        with pytest.raises(OSError) as caught:
            listing.starts_like_a_picture(b"a", fd, look, (b"\xff\xd8\xff",))
        assert opening.reason_of(caught.value) == "swapped"
        (tmp_path / "a").unlink()
        os.link(secret, tmp_path / "a")
        assert not listing.starts_like_a_picture(b"a", fd, look, (b"\xff\xd8\xff",))
    finally:
        os.close(fd)


# --- the second scan ---


def test_an_unchanged_folder_is_listed_again_once_and_then_skipped(collector):
    tree = collector()
    for user in range(5):
        tree.write(f"{user}/a.jpg")
    assert tree.scan().folders_listed == 6
    assert tree.scan(1).folders_listed == 6  # too soon: the mtime may hide a file of the same moment
    assert tree.scan(5).folders_listed == 6
    report = tree.scan(5)
    assert (report.folders_listed, report.folders_unchanged) == (0, 6)


def test_a_new_file_is_found_in_its_folder_alone(collector):
    tree = collector()
    for user in range(5):
        tree.write(f"{user}/a.jpg")
    for _ in range(3):
        tree.scan(5)
    tree.write("3/b.jpg")
    report = tree.scan(5)
    assert (report.new, report.folders_listed) == (1, 1)


def test_a_new_folder_below_an_unchanged_one_is_found(collector):
    tree = collector()
    tree.write("1/2/3/a.jpg")
    for _ in range(3):
        tree.scan(5)
    tree.write("1/2/4/b.jpg")
    assert tree.scan(5).new == 1
    assert tree.files()[b"1/2/4/b.jpg"] == ("seen", None)


def test_an_overwrite_in_place_is_found_by_the_sweep(collector):
    tree = collector()
    path = tree.write("1/a.jpg")
    for _ in range(3):
        tree.scan(5)
    with open(path, "r+b") as file:
        file.write(b"other content, the folder does not know")
    assert tree.scan(5).changed == 0
    assert tree.scan(5, sweep=True).changed == 1
    assert tree.files() == {b"1/a.jpg": ("settling", None)}


def test_a_sweep_of_an_unchanged_tree_writes_nothing_but_its_date(collector):
    tree = collector()
    tree.write("1/a.jpg")
    for _ in range(3):
        tree.scan(5)
    report = tree.scan(5, sweep=True)
    assert (report.folders_listed, report.new, report.changed, report.gone) == (2, 0, 0, 0)
    assert tree.row().swept_at > tree.now - 5


def test_a_deleted_file_is_gone_and_comes_back_as_seen(collector):
    tree = collector()
    path = tree.write("1/a.jpg")
    tree.write("1/b.jpg")
    tree.scan()
    path.unlink()
    assert tree.scan(5).gone == 1
    assert tree.files()[b"1/a.jpg"] == ("gone", None)
    assert tree.scan(5).gone == 0
    tree.write("1/a.jpg")
    tree.scan(5)
    assert tree.files()[b"1/a.jpg"] == ("seen", None)


def test_a_deleted_folder_takes_all_below_it_and_nothing_beside_it(collector):
    tree = collector()
    for name in ("1/2/a.jpg", "1/2/3/b.jpg", "1/2-x/c.jpg", "1/20/d.jpg", "1/2.jpg"):
        tree.write(name)
    tree.scan()
    shutil.rmtree(tree.root / "1" / "2")
    assert tree.scan(5).gone == 2
    gone = {path for path, state in tree.files().items() if state == ("gone", None)}
    assert gone == {b"1/2/a.jpg", b"1/2/3/b.jpg"}
    with tree.db.read() as session:
        assert {*session.scalars(select(Directory.path))} == {b"", b"1", b"1/2-x", b"1/20"}


def test_a_folder_that_comes_back_brings_its_files_back(collector):
    tree = collector()
    tree.write("1/2/a.jpg")
    tree.write("1/b.jpg")
    tree.scan()
    (tree.root / "1" / "2").rename(tree.root.parent / "away")
    assert tree.scan(5).gone == 1
    (tree.root.parent / "away").rename(tree.root / "1" / "2")
    tree.scan(5)
    assert tree.files()[b"1/2/a.jpg"] == ("seen", None)


def test_a_file_that_becomes_a_folder_and_back(collector):
    tree = collector()
    path = tree.write("1/a.jpg")
    tree.scan()
    path.unlink()
    tree.write("1/a.jpg/in.jpg")
    tree.scan(5)
    assert tree.files() == {b"1/a.jpg": ("gone", None), b"1/a.jpg/in.jpg": ("seen", None)}
    shutil.rmtree(path)
    tree.write("1/a.jpg")
    tree.scan(5)
    assert tree.files() == {b"1/a.jpg": ("seen", None), b"1/a.jpg/in.jpg": ("gone", None)}


def test_a_file_replaced_by_a_link_is_refused(collector):
    tree = collector()
    path = tree.write("1/a.jpg")
    tree.scan()
    path.unlink()
    path.symlink_to("/etc/hostname")
    tree.scan(5)
    assert tree.files() == {b"1/a.jpg": ("refused", "not_regular")}


# --- trouble is never deletion ---


def test_a_missing_root_is_incomplete_and_deletes_nothing(collector):
    tree = collector()
    tree.write("1/a.jpg")
    tree.scan()
    tree.root.rename(tree.root.with_name("unmounted"))
    report = tree.scan(5, sweep=True)
    assert "No such file" in report.incomplete and report.gone == 0
    assert tree.row().incomplete == report.incomplete
    assert tree.files() == {b"1/a.jpg": ("seen", None)}
    tree.root.with_name("unmounted").rename(tree.root)
    assert tree.scan(5).incomplete is None
    assert tree.row().incomplete is None


def test_an_empty_folder_under_a_missing_mount_is_no_deletion(collector):
    tree = collector()
    tree.write("1/a.jpg")
    tree.scan()
    tree.root.rename(tree.root.with_name("unmounted"))
    tree.root.mkdir()
    (tree.root / "NOT MOUNTED.txt").write_text("")
    report = tree.scan(5)
    assert "is it mounted" in report.incomplete
    assert tree.files() == {b"1/a.jpg": ("seen", None)}


def test_a_restored_tree_with_new_inodes_is_the_same_tree(collector):
    tree = collector()
    tree.write("1/a.jpg")
    tree.scan()
    shutil.copytree(tree.root, tree.root.with_name("restored"))
    shutil.rmtree(tree.root)
    tree.root.with_name("restored").rename(tree.root)
    tree.write("2/b.jpg")
    report = tree.scan(5)
    assert (report.incomplete, report.new, report.history) == (None, 1, False)


def test_a_tree_that_is_really_emptied_is_gone(collector):
    tree = collector()
    path = tree.write("a.jpg")
    tree.scan()
    path.unlink()
    assert tree.scan(5).gone == 1


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("call", ["open", "scandir"])
def test_trouble_in_one_folder_deletes_nothing_anywhere(collector, monkeypatch, code, call):
    tree = collector()
    tree.write("1/a.jpg")
    tree.write("2/b.jpg")
    tree.write("3/c.jpg")
    tree.scan()
    (tree.root / "3" / "c.jpg").unlink()
    real, bad_inode = getattr(os, call), os.stat(tree.root / "2").st_ino

    def failing(what, *arguments, **options):
        fd = real(what, *arguments, **options) if call == "open" else what
        if isinstance(fd, int) and os.fstat(fd).st_ino == bad_inode:
            if call == "open":
                os.close(fd)
            raise OSError(code, os.strerror(code))
        return fd if call == "open" else real(what)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        report = tree.scan(5, sweep=True)
    assert os.strerror(code) in report.incomplete and report.incomplete.endswith(": 2")
    assert {state for state, _ in tree.files().values()} == {"seen"}
    assert tree.scan(5).gone == 1  # what was missing then is still missing


def test_what_an_incomplete_scan_missed_is_still_found_missing_much_later(collector, monkeypatch):
    tree = collector()
    tree.write("1/a.jpg")
    tree.write("1/b.jpg")
    tree.scan()
    (tree.root / "1" / "a.jpg").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(walk._Walk, "finish", _incomplete(walk._Walk.finish))
        for _ in range(4):
            tree.scan(5)
    assert tree.files()[b"1/a.jpg"] == ("seen", None)
    assert tree.scan(5).gone == 1


def _incomplete(finish):
    def wrapped(self, now):
        self.report.incomplete = "as if"
        finish(self, now)

    return wrapped


def test_a_folder_we_may_not_enter_is_refused_and_the_scan_goes_on(collector, monkeypatch):
    tree = collector()
    tree.write("1/a.jpg")
    tree.write("2/b.jpg")
    real = opening.open_directory

    def locked(name, parent_fd):
        if name == b"2":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, parent_fd)

    with monkeypatch.context() as patch:
        patch.setattr(opening, "open_directory", locked)
        for _ in range(2):
            assert tree.scan(5).incomplete is None
    assert tree.files() == {b"1/a.jpg": ("seen", None), b"2": ("refused", "permission")}
    tree.scan(5, sweep=True)
    assert tree.files() == {b"1/a.jpg": ("seen", None), b"2": ("gone", None), b"2/b.jpg": ("seen", None)}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_chmod_0_on_a_folder(collector):
    tree = collector()
    tree.write("2/b.jpg")
    (tree.root / "2").chmod(0)
    try:
        tree.scan()
        assert tree.files() == {b"2": ("refused", "permission")}
    finally:
        (tree.root / "2").chmod(0o755)


def test_a_file_deleted_between_listing_and_look_is_counted(collector, monkeypatch):
    tree = collector()
    tree.write("1/a.jpg")
    tree.write("1/b.jpg")
    tree.scan()
    monkeypatch.setattr(listing, "_look", _deleting(tree.root / "1" / "a.jpg", listing._look))
    report = tree.scan(5)
    assert (report.refused["vanished"], report.gone, report.incomplete) == (1, 1, None)
    assert tree.files() == {b"1/a.jpg": ("gone", None), b"1/b.jpg": ("seen", None)}


def _deleting(path, look):
    def wrapped(*arguments):
        path.unlink(missing_ok=True)
        look(*arguments)

    return wrapped


# --- history ---


def test_what_the_first_scan_finds_is_history(collector):
    tree = collector()
    tree.write("1/old.jpg")
    assert tree.scan().history
    assert tree.row().history_until > 0
    tree.write("1/new.jpg")
    assert not tree.scan(5).history
    assert (tree.file(b"1/old.jpg").history, tree.file(b"1/new.jpg").history) == (True, False)


def test_after_an_empty_first_scan_everything_is_news(collector):
    tree = collector().past_history()
    tree.write("1/a.jpg")
    tree.scan(5)
    assert not tree.file(b"1/a.jpg").history


def test_history_goes_on_until_a_scan_is_complete(collector, monkeypatch):
    tree = collector()
    tree.write("1/a.jpg")
    monkeypatch.setattr(walk._Walk, "finish", _incomplete(walk._Walk.finish))
    tree.scan()
    assert tree.row().history_until is None
    monkeypatch.undo()
    tree.write("2/b.jpg")
    tree.scan(5)
    assert tree.file(b"2/b.jpg").history and tree.row().history_until > 0


def test_a_first_scan_before_the_mount_does_not_make_the_old_tree_news(collector):
    tree = collector()
    tree.scan()  # the empty folder under the mount point
    tree.root.rename(tree.root.with_name("under"))
    tree.write("1/years old.jpg")
    assert tree.scan(5).history
    assert tree.file(b"1/years old.jpg").history


def test_a_scan_told_to_stop_is_incomplete_and_keeps_what_it_found(collector):
    tree = collector()
    for number in range(9):
        tree.write(f"{number}/a.jpg")
    looks = iter(range(100))
    report = tree.scan(stop=lambda: next(looks) >= 5)
    assert "stopped" in report.incomplete and 0 < report.new < 9
    assert tree.scan(5).new == 9 - report.new


# --- size ---


def test_batches_smaller_than_a_folder(collector):
    tree = collector({"collect.batch_rows": 3})
    for number in range(20):
        tree.write(f"1/{number}.jpg")
    assert tree.scan().new == 20
    assert len(tree.files()) == 20
    shutil.rmtree(tree.root / "1")
    assert tree.scan(5).gone == 20


def test_no_descriptor_is_left_open(collector):
    tree = collector()
    for number in range(30):
        tree.write(f"{number}/{number}/a.jpg")
    tree.scan()
    before = len(os.listdir("/proc/self/fd"))
    tree.scan(5)
    tree.scan(5, sweep=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_long_scan_says_how_far_it_is(collector, caplog):
    tree = collector({"collect.progress_s": 0})
    for number in range(3):
        tree.write(f"{number}/a.jpg")
    with caplog.at_level(logging.INFO, logger="ticketbot.collect.walk"):
        tree.scan()
    assert [record.folders for record in caplog.records if record.message == "scanning"][-1] == 4


def test_two_scans_at_once_make_every_row_once(collector):
    tree = collector({"collect.batch_rows": 7})
    for number in range(40):
        tree.write(f"{number % 4}/{number}.jpg")
    threads = [threading.Thread(target=tree.scan) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with tree.db.read() as session:
        assert len(session.scalars(select(File.path)).all()) == 40
