"""Who builds what a sentence about a tree says. Each scene gets the ground (area_tree.Ground) and the regex match."""

import contextlib
import errno
import os
import re
import socket
import stat
import subprocess
import threading
import time

from tests.acceptance.tree_names import path_in
from tests.collect.conftest import JPEG
from ticketbot.collect import listing, opening
from ticketbot.contracts.store import path_of

SECRET = b"\xff\xd8\xff the secret outside of the tree"
RACE_READS = 20_000
UNITS = {"b": 1, "byte": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}


def two_users(ground, match):
    same = "same content" in match.string
    for name in (match[1], match[2]):
        ground.file(name, JPEG if same else None)


def sized(ground, match):
    """A sparse file: its size is all that may be looked at."""
    amount, unit = (match["n"], match["unit"]) if match["n"] else (match["n2"], match["unit2"])
    with open(ground.file(path_in(match.string), b""), "r+b") as file:
        file.truncate(int(amount.replace(",", "")) * UNITS[unit.lower().removesuffix("s")])


def link(ground, match):
    ground.file("1/image001.jpg")
    ground.subjects.clear()
    target = match["target"].strip()
    if re.match(r"\d+/", target):
        target = f"../{target}"
    ground.place(match["name"].strip()).symlink_to(target)


def dangling(ground, match):
    ground.place(path_in(match.string)).symlink_to("nothing-there.jpg")


def outside_link(ground, match):
    secret = ground.folder / "secret.jpg"
    secret.write_bytes(SECRET)
    ground.place(path_in(match.string, "2/abs.jpg")).symlink_to(secret)


def hard_link(ground, match):
    ground.file("1/image001.jpg")
    os.link(ground.tree.root / "1" / "image001.jpg", ground.place(path_in(match.string, "2/hard.jpg")))


def unix_socket(ground, match):
    made = ground.closing.enter_context(socket.socket(socket.AF_UNIX))
    made.bind(str(ground.place(path_in(match.string, "2/s.jpg"))))


def fifo(ground, match):
    os.mkfifo(ground.place(path_in(match.string, "2/pipe.jpg")))


def device(ground, match):
    kind = stat.S_IFBLK if "block" in match.string else stat.S_IFCHR
    try:
        os.mknod(ground.place(path_in(match.string, "2/null.jpg")), kind | 0o666, os.makedev(1, 3))
    except PermissionError:  # only root makes devices: show the walker one that is there
        _list_as_device(ground)


def _list_as_device(ground):
    ground.file(ground.subjects.pop().decode())
    ground.patch.setattr(os.DirEntry, "is_file", lambda *_: False, raising=False)


def folder_named_like_a_picture(ground, match):
    ground.place(path_in(match.string, "2/dir.jpg")).mkdir()


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
    path = ground.file(path_in(match.string, "2/growing.jpg"), b"")
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
    path = ground.file(path_in(match.string, "2/busy.jpg"))
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
        # On a busy machine all of them may fall into one turn of the swapper: on until both were seen.
        while (sum(counts.values()) < RACE_READS or not all(counts[one] for one in ("mine", "refused"))) and (
            time.monotonic() < ends_at
        ):
            counts[_read_once(root)] += 1
    finally:
        stop.set()
        swapper.join()
    assert counts["mine"] and counts["refused"], f"there was no race: {counts}"
    ground.seen["secrets_read"] = counts["secret"]
    ground.collected = True


def swapped_once(ground, match):
    """Between our listing and our opening it turned into something else: a link to a secret, or another file."""
    path = ground.file(path_in(match.string, "2/swapped.jpg"))
    ground.tree.scan(5)
    draft = path.with_name("draft")
    if re.search(r"another (file|picture)|other (file|content)|different (file|picture)", match.string):
        draft.write_bytes(JPEG + b"another picture")
    elif re.search(r"director|folder", match.string):
        path.unlink()
        path.mkdir()
    elif re.search(r"fifo|pipe|socket", match.string, re.IGNORECASE):
        os.mkfifo(draft)
    else:
        secret = ground.folder / "secret.jpg"
        secret.write_bytes(SECRET)
        draft.symlink_to(secret)
    if draft.is_symlink() or draft.exists():
        os.replace(draft, path)
    ground.reasons |= set(ground.tree.stage(ground.tree.source.settle_s).refused)
    ground.seen["secrets_read"] = 0  # `_names_are_harmless` greps what was staged
    if path.is_file() and not path.is_symlink():
        ground.collect()
    ground.collected = True


def in_parts(ground, match):
    """Written in halves with a rest between, or made full size first: taken only when it is whole and quiet."""
    path = ground.file(path_in(match.string, "2/parts.jpg"), b"")
    whole = JPEG + bytes(range(251)) * 400
    if re.search(r"prealloc|full size|sparse first|reserved", match.string):
        with open(path, "r+b") as file:
            file.truncate(len(whole))
    else:
        path.write_bytes(whole[: len(whole) // 2])
    ground.tree.scan(5)
    ground.tree.stage(ground.tree.source.settle_s / 2)
    assert not ground.tree.stored(), "taken before it was quiet for settle_s"
    path.write_bytes(whole)
    ground.collect()
    ground.collect()
    (name,) = ground.tree.stored()
    ground.seen["staged_bytes"] = path_of(ground.tree.data_dir, name.removesuffix(".jpg")).stat().st_size
    ground.seen["final_bytes"] = len(whole)


def renamed_into_place(ground, match):
    path = ground.file(path_in(match.string, "2/x.jpg"), b"")
    path.unlink()
    draft = path.with_name("x.tmp")
    draft.write_bytes(JPEG + b"whole")
    ground.tree.scan(5)
    draft.rename(path)
    ground.collect()


def clock_back(ground, match):
    ground.file("2/a.jpg")
    ground.tree.scan(5)
    ground.tree.now -= 3600
    ground.collect()


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


@contextlib.contextmanager
def _forbidden_root(ground, patch):
    def locked(root):
        raise PermissionError(errno.EACCES, "Permission denied")

    patch.setattr(opening, "open_root", locked)
    yield


TROUBLE = {
    "missing": (
        r"root[^/]*(missing|gone|removed|not there)|(mount|share)[^/]*(missing|gone|lost|away)|unmount|not mounted",
        _no_root,
    ),
    "empty": (r"empty (mount|root|directory|folder)|mount point", _empty_root),
    "stale": (r"stale|ESTALE", _stale_root),
    "eio": (r"\bEIO\b|i/o error|input/output", _fails_with(errno.EIO)),
    "timeout": (r"ETIMEDOUT|EHOSTDOWN|server (is )?down|not responding", _fails_with(errno.ETIMEDOUT)),
    "forbidden": (
        r"(permission|EACCES|EPERM|unreadable|not readable)[^/]*root|root[^/]*(permission|unreadable|EACCES)",
        _forbidden_root,
    ),
    "other": (r"other (root|mount|device|file ?system)|replaced by an empty", _empty_root),
}


def unreadable(ground, match):
    """No permission, as another user would have none; we may be root."""
    path = path_in(match.string, "2/locked.jpg" if "file" in match.string else "2")
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
    path = ground.file(path_in(match.string, "2/odd.jpg"))
    at = 4_102_444_800 if re.search(r"future|21\d\d|2099", match.string) else 0
    os.utime(path, (at, at))


def overwritten(ground, match):
    """Another picture under the same name, after the first was taken: both are ours, the row has the new one."""
    path = ground.file(path_in(match.string, "1/again.jpg"))
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
    (
        r"(root|mount|share)[^/]*(missing|gone|removed|empty|point|unmount|permission|unreadable|away)"
        r"|(root|mount|share)[^/]*not (there|mounted)|stale|ESTALE|EIO|ETIMEDOUT"
        r"|unmount|i/o error|server (is )?down|(permission|unreadable|EACCES)[^/]*root",
        trouble,
    ),
    (
        r"(swap|replac|exchang|turn|chang)\w*.*(link|secret).*(loop|race|again and again|while|during|times"
        r"|between stat)"
        r"|(link|secret).*(swap|race)|in a loop.*(link|secret)",
        swap_race,
    ),
    (r"(swap|replac|exchang|turn|becom|chang)\w* .*(between|after|before|while)", swapped_once),
    (r"swap.*(link|secret)", swap_race),
    (r"(half|halves|parts|pieces|paus)|prealloc|full size", in_parts),
    (r"then renamed|renamed (into place|from)|rename\w* to|atomic", renamed_into_place),
    (r"clock (is )?(set )?back|clock jump", clock_back),
    (r"appends?|growing|(?P<x>writer)", lambda ground, match: growing(ground, _growth(match))),
    (r"(touched|rewritten|overwritten) (every|again and again|all the time)|never (quiet|settles)", never_quiet),
    (r"truncated", truncated_meanwhile),
    (r"(deleted|removed|vanish\w*|unlinked|renamed|moved away) (between|before|after|while|during)", vanishes),
    (rf"(?P<depth>){NUMBER} (levels? )?deep", deep),
    (r"depth (?P<n>\d+)", deep),
    (r"unreadable|mode 0*0?00\b|chmod 0|permission|EACCES|noperm|no_?read|forbidden|\(0{3,4}\)", unreadable),
    (r"hard ?link", hard_link),
    (r"dangling", dangling),
    (r"(?P<name>[\w./-]+) *(?:->|→) *(?P<target>/(?:etc|root|home|var)\S*)", outside_link),
    (r"(?P<name>[\w./-]+) *(?:->|→) *(?P<target>\S.*)", link),
    (r"sym(bolic )?link|points? (out|to)", outside_link),
    (r"socket", unix_socket),
    (r"fifo|named pipe|\(pipe|mkfifo", fifo),
    (r"(char(acter)?|block)? ?device|/dev/|\((char|block|c|b) \d", device),
    (r"\(a (directory|folder)\)|directory named|folder named", folder_named_like_a_picture),
    (r"quota|more files than|too many files (of|by|for) (a|one) user", over_quota),
    (rf"{NUMBER} (files|entries|pictures)", many),
    (r"mtime|1970|future", old_mtime),
    (r"NFC|NFD|normal form", normal_forms),
    (r"overwritten|replaced in place|same name again", overwritten),
    (r"(\d+/[^\s,]+) and (\d+/[^\s,]+), (?:different|same) content", two_users),
    (
        rf"^(?!.*name of).*?(?:(?:sparse|\(|is |of |, |with ){NUMBER} ?(?P<unit>bytes?|[KMGT]B)\b"
        r"|(?P<n2>\d+)(?P<unit2>[KMGT]B)\w*\.jpg)",
        lambda ground, match: sized(ground, match),
    ),
    (
        r"\bempty\b|(without|no|zero) (any )?(bytes|content)",
        lambda ground, match: ground.file(path_in(match.string, "2/empty.jpg"), b""),
    ),
)


def _growth(match):
    """How often and how long the sentence says that somebody writes."""
    return re.search(r"^(?:.*?every (?P<every>[\d.]+) ?s)?(?:.*?for (?P<lasts>[\d.]+) ?s)?", match.string, re.DOTALL)
