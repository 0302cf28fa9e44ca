"""What may lie in the tree: each case builds it for real, lets it be collected, and looks at what became of it.

The input is a sentence; SCENES finds, by pattern, who builds what it says. A sentence without a scene of its own is
read as file names ("1/x.JPG, x.JpG"; escapes, code points and bytes as they are commonly written).
"""

import contextlib
import errno
import os
import re
import socket
import stat
import subprocess
import threading
import time
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance import databases
from tests.collect.conftest import JPEG, Collector
from ticketbot import logs
from ticketbot.collect import listing, opening, walk
from ticketbot.contracts.events import shown_path
from ticketbot.contracts.store import path_of
from ticketbot.review.transfer import csv_cell

EXPECT = {"taken", "staged", "exists", "csv_cell", "skip_reason", "size", "secrets_read", "scan", "alert"}
GIVEN = set()
SECRET = b"\xff\xd8\xff the secret outside of the tree"
RACE_READS = 20_000
UNITS = {"b": 1, "byte": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}


@dataclass
class Ground:
    """A tree under test. `subjects`: the paths that the case is about; `seen`: what was measured besides."""

    tree: Collector
    folder: Path
    patch: object
    subjects: list[bytes] = field(default_factory=list)
    collected: bool = False
    reasons: set[str] = field(default_factory=set)
    seen: dict = field(default_factory=dict)
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def file(self, name, content=None):
        """A picture of its own at this path (bytes or text), about which the case is."""
        path = os.fsencode(name)
        place = os.path.join(os.fsencode(self.tree.root), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(JPEG + path if content is None else content)
        self.subjects.append(path)
        return Path(os.fsdecode(place))

    def place(self, name):
        """A path in the tree, whose folder is there, for something that is no file."""
        path = self.tree.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.subjects.append(os.fsencode(name))
        return path

    def collect(self):
        """Scan, settle, stage; twice, so that what was missed the first time is seen."""
        self.collected = True
        for _ in range(2):
            found = self.tree.scan(5)
            staged = self.tree.stage(self.tree.source.settle_s)
            self.reasons |= {reason for reason, count in (found.refused + staged.refused).items() if count}

    def states(self):
        """Of the case's files alone: (state, reason) by path."""
        return {path: found for path, found in self.tree.files().items() if path in set(self.subjects)}


def run(case, request):
    with databases.each(request) as grounds:
        for folder, db in grounds:
            with contextlib.ExitStack() as closing:
                patch = closing.enter_context(request.getfixturevalue("monkeypatch").context())
                tree = Collector(db, folder, {}).past_history()
                ground = Ground(tree, folder, patch, closing=closing)
                scene_of(case.input)(ground)
                if not ground.collected:
                    ground.collect()
                patch.undo()
                check(case.expect, ground)


def check(expect, ground):
    staged = [path for path, (state, _) in ground.tree.files().items() if state == "staged"]
    subjects = [path for path in staged if path in set(ground.subjects)]
    if isinstance(expect.get("taken"), bool):
        assert (set(subjects) == set(ground.subjects)) if expect["taken"] else not subjects, ground.tree.files()
    elif "taken" in expect:
        assert len(subjects) == expect["taken"], ground.tree.files()
    if "staged" in expect:
        assert len(ground.tree.stored()) == expect["staged"]
    if "skip_reason" in expect:
        found = {reason for _, reason in ground.states().values()} | ground.reasons
        assert expect["skip_reason"] in found, found
    for name, there in expect.get("exists", {}).items():
        places = [*ground.folder.rglob("*"), *Path.cwd().glob("*")]
        assert (name in {place.name for place in places}) == there
    if "csv_cell" in expect:
        assert csv_cell(os.fsdecode(ground.subjects[0].rpartition(b"/")[2])) == expect["csv_cell"]
    if "size" in expect:
        assert ground.seen["staged_bytes"] == ground.seen["final_bytes"]
    if "secrets_read" in expect:
        assert ground.seen["secrets_read"] == expect["secrets_read"]
    if "scan" in expect:
        assert ground.seen["incomplete"] and ground.seen["gone"] == 0
        assert ground.tree.row().incomplete == ground.seen["incomplete"]
    if "alert" in expect:
        assert bool(ground.seen["warnings"]) == expect["alert"]
    _names_are_harmless(ground)


def _names_are_harmless(ground):
    """Whatever a file is called: its bytes are what was kept, one line in the log, nothing invisible on a page."""
    for path in ground.tree.files():
        shown = shown_path(path)
        assert len(shown.splitlines()) <= 1 and logs.visible(shown) == shown
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in shown)
        assert not csv_cell(shown).startswith(("=", "+", "-", "@"))
    assert SECRET not in b"".join(place.read_bytes() for place in (ground.tree.data_dir / "staging").rglob("*.jpg"))


def scene_of(text):
    """Who builds what the sentence says. Raises LookupError."""
    for pattern, scene in SCENES:
        if match := re.search(pattern, text, re.IGNORECASE):
            return lambda ground: scene(ground, match)
    names = names_of(text)
    return lambda ground: [ground.file(name) for name in names]


# --- names as they are written -----------------------------------------------------------------------------------------


def names_of(text):
    """The paths (bytes) that a sentence names. Raises LookupError when it names none."""
    note = re.search(r"\s+\([^()]*\)$", text)
    if note and re.search(r"\.\w{2,5}$", text[: note.start()]):
        text = text[: note.start()]
    parts = [text]
    for separator in (", ", " and "):
        found = text.split(separator)
        if len(found) > 1 and all(re.search(r"\.\w{2,5}$", part) for part in found):
            parts = found
            break
    if not all("." in part or "/" in part for part in parts) and "bytes" not in text:
        raise LookupError(f"nobody knows how to build {text!r}")
    folder = parts[0].rpartition("/")[0] or "1"
    return [os.fsencode(_long(_decoded(part if "/" in part else f"{folder}/{part}"))) for part in parts]


def _long(name):
    """ "1/ name of 255 bytes" is a name of that length."""
    if match := re.fullmatch(r"(?P<folder>[^/]+)/ ?(?:a )?name of (?P<n>\d+) (?P<unit>bytes|characters)", name):
        return f"{match['folder']}/{'n' * (int(match['n']) - 4)}.jpg"
    return name


def _decoded(text):
    r"""Escapes (\n, \", \x1b), code points (U+202E) and bytes (bytes ff fe) as what they mean."""
    plain = {"n": "\n", "r": "\r", "t": "\t", "e": "\x1b", "b": "\b", "a": "\a", '"': '"', "'": "'", "\\": "\\"}
    text = re.sub(r"\bU\+([0-9A-Fa-f]{4,6}) ?", lambda match: chr(int(match[1], 16)), text)
    text = re.sub(r"bytes((?: [0-9a-f]{2}\b)+) ?", lambda match: os.fsdecode(bytes.fromhex(match[1])), text)
    text = re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: os.fsdecode(bytes.fromhex(match[1])), text)
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    text = re.sub(r"\bESC\b", "\x1b", text)
    return re.sub(r"\\(.)", lambda match: plain.get(match[1], match[0]), text)


def _path_in(text, default="2/x.jpg"):
    """The first thing in a sentence that looks like a path in the tree."""
    found = re.search(r"\d+/[^\s,()]*", text)
    return found[0] if found else default


# --- scenes --------------------------------------------------------------------------------------------------------------


def two_users(ground, match):
    same = "same content" in match.string
    for name in (match[1], match[2]):
        ground.file(name, JPEG if same else None)


def sized(ground, match):
    """A sparse file: its size is all that may be looked at."""
    amount, unit = (match["n"], match["unit"]) if match["n"] else (match["n2"], match["unit2"])
    with open(ground.file(_path_in(match.string), b""), "r+b") as file:
        file.truncate(int(amount.replace(",", "")) * UNITS[unit.lower().removesuffix("s")])


def link(ground, match):
    ground.file("1/image001.jpg")
    ground.subjects.clear()
    target = match["target"].strip()
    if re.match(r"\d+/", target):
        target = f"../{target}"
    ground.place(match["name"].strip()).symlink_to(target)


def dangling(ground, match):
    ground.place(_path_in(match.string)).symlink_to("nothing-there.jpg")


def outside_link(ground, match):
    secret = ground.folder / "secret.jpg"
    secret.write_bytes(SECRET)
    ground.place(_path_in(match.string, "2/abs.jpg")).symlink_to(secret)


def hard_link(ground, match):
    ground.file("1/image001.jpg")
    os.link(ground.tree.root / "1" / "image001.jpg", ground.place(_path_in(match.string, "2/hard.jpg")))


def unix_socket(ground, match):
    made = ground.closing.enter_context(socket.socket(socket.AF_UNIX))
    made.bind(str(ground.place(_path_in(match.string, "2/s.jpg"))))


def fifo(ground, match):
    os.mkfifo(ground.place(_path_in(match.string, "2/pipe.jpg")))


def device(ground, match):
    kind = stat.S_IFBLK if "block" in match.string else stat.S_IFCHR
    try:
        os.mknod(ground.place(_path_in(match.string, "2/null.jpg")), kind | 0o666, os.makedev(1, 3))
    except PermissionError:  # only root makes devices: show the walker one that is there
        _list_as_device(ground)


def _list_as_device(ground):
    ground.file(ground.subjects.pop().decode())
    ground.patch.setattr(os.DirEntry, "is_file", lambda *_: False, raising=False)


def folder_named_like_a_picture(ground, match):
    ground.place(_path_in(match.string, "2/dir.jpg")).mkdir()


def deep(ground, match):
    """Made level by level: a path this long cannot be given to the kernel whole."""
    # By rm, which needs no recursion as shutil does.
    ground.closing.callback(subprocess.run, ["rm", "-rf", str(ground.tree.root / "3")], check=True)
    levels = int(match["n"].replace(",", ""))
    descriptor = os.open(ground.tree.root, os.O_RDONLY)
    for number in range(levels):
        name = "3" if number == 0 else "d"
        os.mkdir(name, dir_fd=descriptor)
        inner = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    path = b"/".join([b"3", *[b"d"] * (levels - 1), b"x.jpg"])
    ground.subjects.append(path)
    ground.collect()
    ground.subjects += [found for found in ground.tree.files() if path.startswith(found + b"/")]


def growing(ground, match):
    """Somebody writes to it little by little while we look all the time."""
    every_s, lasts_s = float(match["every"] or 0.1), min(float(match["lasts"] or 3), 5.0)
    path = ground.file(_path_in(match.string, "2/growing.jpg"), b"")
    parts = [JPEG + bytes([number % 251]) * 7350 for number in range(max(2, round(lasts_s / every_s)))]

    def write():
        with open(path, "ab", buffering=0) as file:
            for part in parts:
                file.write(part)
                time.sleep(every_s)

    tree, writer = ground.tree, threading.Thread(target=write)
    settle_s = max(1.0, 4 * every_s)
    tree.settings = tree.settings.model_copy(
        update={"sources": {"erp": tree.source.model_copy(update={"settle_s": settle_s})}}
    )
    tree.now = time.time()
    writer.start()
    ends_at = time.monotonic() + lasts_s + 10 * settle_s
    while not tree.stored() and time.monotonic() < ends_at:
        for step in (tree.scan, tree.stage):
            tree.now = time.time()
            step()
        time.sleep(0.1)
    writer.join()
    ground.collected = True
    (sha256,) = [name.removesuffix(".jpg") for name in tree.stored()]
    ground.seen["staged_bytes"] = path_of(tree.data_dir, sha256).stat().st_size
    ground.seen["final_bytes"] = path.stat().st_size


def never_quiet(ground, match):
    """Touched again before each look: it never settles."""
    path = ground.file(_path_in(match.string, "2/busy.jpg"))
    for number in range(5):
        path.write_bytes(JPEG + bytes([number]))
        ground.tree.scan(5)
        path.write_bytes(JPEG + b"again" + bytes([number]))
        ground.tree.stage(ground.tree.source.settle_s)
    ground.collected = True


def truncated_meanwhile(ground, match):
    path = ground.file("2/cut.jpg", JPEG + b"x" * 50_000)
    ground.tree.scan(5)
    path.write_bytes(JPEG + b"x" * 500)
    ground.collect()
    ground.collect()
    (name,) = ground.tree.stored()
    ground.seen = {
        "staged_bytes": path_of(ground.tree.data_dir, name.removesuffix(".jpg")).stat().st_size,
        "final_bytes": path.stat().st_size,
    }


def swap_race(ground, match):
    """A file (or its folder) turns into a link to a secret and back as fast as it goes, while it is read."""
    secret = ground.folder / "secrets" / "a.jpg"
    secret.parent.mkdir()
    secret.write_bytes(SECRET)
    root, stop = ground.tree.root / "race", threading.Event()
    (root / "2").mkdir(parents=True)
    (root / "2" / "a.jpg").write_bytes(JPEG)
    swap = _swap_folder if re.search(r"directory|folder|parent", match.string) else _swap_file
    swapper = threading.Thread(target=lambda: [swap(root, secret) for _ in iter(stop.is_set, True)])
    swapper.start()
    counts = {"secret": 0, "mine": 0, "refused": 0}
    try:
        ends_at = time.monotonic() + 20
        while sum(counts.values()) < RACE_READS and time.monotonic() < ends_at:
            counts[_read_once(root)] += 1
    finally:
        stop.set()
        swapper.join()
    assert counts["mine"] and counts["refused"], f"there was no race: {counts}"
    ground.seen["secrets_read"] = counts["secret"]
    ground.collected = True


def _swap_file(root, secret):
    (root / "2" / "link").symlink_to(secret)
    os.replace(root / "2" / "link", root / "2" / "a.jpg")
    (root / "2" / "plain").write_bytes(JPEG)
    os.replace(root / "2" / "plain", root / "2" / "a.jpg")


def _swap_folder(root, secret):
    os.rename(root / "2", root / "away")
    (root / "2").symlink_to(secret.parent)
    (root / "2").unlink()
    os.rename(root / "away", root / "2")


def _read_once(root):
    try:
        with opening.Tree(root) as tree:
            descriptor = tree.open_file(b"2/a.jpg")
    except (OSError, opening.ParentGone):
        return "refused"
    try:
        return "secret" if os.read(descriptor, 100) == SECRET else "mine"
    finally:
        os.close(descriptor)


def vanishes(ground, match):
    """Deleted after the folder was listed, before it is opened; and one that goes between the two looks."""
    early, late = ground.file("2/early.jpg"), ground.file("2/late.jpg")
    real = listing._look

    def look(*arguments):
        early.unlink(missing_ok=True)
        real(*arguments)

    with ground.patch.context() as patch:
        patch.setattr(listing, "_look", look)
        ground.reasons |= {reason for reason, count in ground.tree.scan(5).refused.items() if count}
    late.unlink()
    ground.reasons |= set(ground.tree.stage(ground.tree.source.settle_s).refused)
    ground.collect()


def trouble(ground, match):
    """The root is gone, is an empty mount point, or one folder fails: each of those that the sentence names."""
    names = {name: word for name, word in TROUBLE.items() if re.search(word[0], match.string, re.IGNORECASE)}
    assert names, match.string
    for name in ("1/a.jpg", "2/b.jpg", "3/c.jpg"):
        ground.file(name)
    ground.collect()
    before = ground.tree.files()
    ground.seen = {"gone": 0, "warnings": []}
    for _, make in names.values():
        with ground.patch.context() as patch, make(ground, patch):
            report = ground.tree.scan(5, sweep=True)
            ground.tree.stage(ground.tree.source.settle_s)
        assert report.incomplete, names
        ground.seen["incomplete"] = report.incomplete
        ground.seen["warnings"].append(report.incomplete)
        ground.seen["gone"] += report.gone
        assert ground.tree.files() == before
    stuck = ground.tree.row().incomplete
    assert stuck and not ground.tree.scan(5).incomplete, "and it heals by itself"
    with ground.tree.db.write() as session:
        session.get(type(ground.tree.row()), ground.tree.row().id).incomplete = stuck


@contextlib.contextmanager
def _no_root(ground, patch):
    away = ground.tree.root.with_name("unmounted")
    ground.tree.root.rename(away)
    yield
    away.rename(ground.tree.root)


@contextlib.contextmanager
def _empty_root(ground, patch):
    with _no_root(ground, patch):
        ground.tree.root.mkdir()
        yield
        ground.tree.root.rmdir()


def _fails_with(code, names=(b"2",)):
    @contextlib.contextmanager
    def make(ground, patch):
        real = opening.open_directory

        def broken(name, parent):
            if name in names:
                raise OSError(code, os.strerror(code))
            return real(name, parent)

        patch.setattr(opening, "open_directory", broken)
        yield

    return make


@contextlib.contextmanager
def _stale_root(ground, patch):
    def stale(root):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    patch.setattr(opening, "open_root", stale)
    yield


TROUBLE = {
    "missing": (r"root[^/]*(missing|gone|removed|not there)|mount[^/]*(missing|gone|lost)|unmount", _no_root),
    "empty": (r"empty (mount|root|directory|folder)|mount point", _empty_root),
    "stale": (r"stale|ESTALE", _stale_root),
    "eio": (r"\bEIO\b|i/o error|input/output", _fails_with(errno.EIO)),
    "timeout": (r"ETIMEDOUT|EHOSTDOWN|server (is )?down|not responding", _fails_with(errno.ETIMEDOUT)),
}


def unreadable(ground, match):
    """No permission, as another user would have none; we may be root."""
    path = _path_in(match.string, "2/locked.jpg" if "file" in match.string else "2")
    if re.search(r"\.\w{2,5}$", path):
        ground.file(path)
        name, real = os.fsencode(path.rpartition("/")[2]), opening.open_regular
        ground.patch.setattr(opening, "open_regular", lambda one, parent: _locked(one == name, real, one, parent))
    else:
        ground.file(f"{path.rstrip('/')}/b.jpg")
        name, real = os.fsencode(path.rstrip("/").rpartition("/")[2]), opening.open_directory
        ground.patch.setattr(opening, "open_directory", lambda one, parent: _locked(one == name, real, one, parent))
        ground.subjects.append(os.fsencode(path.rstrip("/")))
        ground.subjects.pop(0)


def _locked(locked, real, name, parent):
    if locked:
        raise PermissionError(errno.EACCES, "Permission denied")
    return real(name, parent)


def many(ground, match):
    for number in range(int(match["n"].replace(",", ""))):
        ground.file(f"5/{number:06}.jpg", JPEG + b"%d" % (number % 50))


def over_quota(ground, match):
    tree = ground.tree
    tree.settings = tree.settings.model_copy(
        update={"sources": {"erp": tree.source.model_copy(update={"max_files_per_user": 1})}}
    )
    ground.file("2/a first.jpg")
    tree.collect()
    ground.subjects.clear()
    ground.file("2/one too many.jpg")


def old_mtime(ground, match):
    path = ground.file(_path_in(match.string, "2/odd.jpg"))
    at = 4_102_444_800 if re.search(r"future|21\d\d|2099", match.string) else 0
    os.utime(path, (at, at))


def overwritten(ground, match):
    """Another picture under the same name, after the first was taken: both are ours, the row has the new one."""
    path = ground.file(_path_in(match.string, "1/again.jpg"))
    ground.collect()
    draft = path.with_name("draft")
    draft.write_bytes(JPEG + b"another picture")
    os.replace(draft, path)
    ground.collect()


def normal_forms(ground, match):
    ground.file("1/o\u0308.jpg")
    ground.file("1/\u00f6.jpg")


NUMBER = r"(?P<n>\d[\d,]*)"
SCENES = (
    (r"(root|mount)[^/]*(missing|gone|removed|empty|point)|stale|ESTALE|EIO|ETIMEDOUT|unmount|i/o error", trouble),
    (r"swap.*(link|secret)|(link|secret).*swap", swap_race),
    (r"appends?|growing|(?P<x>writer)", lambda ground, match: growing(ground, _growth(match))),
    (r"(touched|rewritten|overwritten) (every|again and again|all the time)|never (quiet|settles)", never_quiet),
    (r"truncated", truncated_meanwhile),
    (r"(deleted|removed|vanish\w*|unlinked|renamed) (between|before|after|while|during)", vanishes),
    (rf"(?P<depth>){NUMBER} (levels? )?deep", deep),
    (r"depth (?P<n>\d+)", deep),
    (r"unreadable|mode 0*0?00\b|chmod 0|permission|EACCES", unreadable),
    (r"hard ?link", hard_link),
    (r"dangling", dangling),
    (r"(?P<name>[\w./-]+) *(?:->|→) *(?P<target>/(?:etc|root|home|var)\S*)", outside_link),
    (r"(?P<name>[\w./-]+) *(?:->|→) *(?P<target>\S.*)", link),
    (r"sym(bolic )?link|points? (out|to)", outside_link),
    (r"socket", unix_socket),
    (r"fifo|named pipe|\(pipe", fifo),
    (r"(char(acter)?|block)? ?device|/dev/", device),
    (r"\(a (directory|folder)\)|directory named|folder named", folder_named_like_a_picture),
    (rf"{NUMBER} (files|entries|pictures)", many),
    (r"quota", over_quota),
    (r"mtime|1970|future", old_mtime),
    (r"NFC|NFD|normal form", normal_forms),
    (r"overwritten|replaced in place|same name again", overwritten),
    (r"(\d+/[^\s,]+) and (\d+/[^\s,]+), (?:different|same) content", two_users),
    (
        rf"^(?!.*name of).*?(?:(?:sparse|\(|is |of ){NUMBER} ?(?P<unit>bytes?|[KMGT]B)\b"
        r"|(?P<n2>\d+)(?P<unit2>[KMGT]B)\w*\.jpg)",
        lambda ground, match: sized(ground, match),
    ),
    (r"\bempty\b", lambda ground, match: ground.file(_path_in(match.string, "2/empty.jpg"), b"")),
)


def _growth(match):
    """How often and how long the sentence says that somebody writes."""
    text = match.string
    found = re.search(r"^(?:.*?every (?P<every>[\d.]+) ?s)?(?:.*?for (?P<lasts>[\d.]+) ?s)?", text, re.DOTALL)
    return found
