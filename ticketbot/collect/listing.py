"""What is in this folder, and does it mean anything new?

One folder is listed and compared with its rows. Which files are taken, and what a difference means, is decided here
without a database; walk.py goes from folder to folder, book.py writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ticketbot.collect import opening
from ticketbot.collect.settled import Observation
from ticketbot.settings import Source

# First bytes of the formats our decoder knows, by the suffix that names them in the settings.
MAGIC: Mapping[str, tuple[bytes, ...]] = {
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".gif": (b"GIF87a", b"GIF89a"),
    ".bmp": (b"BM",),
    ".webp": (b"RIFF",),
}
MAGIC_BYTES = 12
# Two listings of an unchanged folder must lie so far apart: some file systems keep times by the two seconds.
CLEAN_AFTER_S = 2.0
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
# Reasons that may have gone although the file looks the same; all others stand as long as it does.
NOT_OF_THE_FILE = frozenset({"vanished", "swapped", "not_regular", "too_large", "too_deep"})


class Row(NamedTuple):
    """What the database knows about a path."""

    id: int
    state: str
    reason: str | None
    seen: Observation | None


class Listed(NamedTuple):
    """A folder as last listed. `listed_at`: when a listing first saw this mtime; `others`: names of no picture."""

    mtime_ns: int
    listed_at: float
    clean: bool
    others: int


class Wanted(NamedTuple):
    """Which files a source takes."""

    suffixes: tuple[str, ...]
    by_magic: bool
    magic: tuple[bytes, ...]
    max_bytes: int


def wanted_by(source: Source) -> Wanted:
    suffixes = tuple(suffix.lower() for suffix in source.suffixes)
    magic = tuple(start for suffix in suffixes for start in MAGIC.get(suffix, ()))
    return Wanted(suffixes, source.match == "magic", magic, source.max_file_mb * 2**20)


@dataclass
class Listing:
    """A folder's names: files to take, files to refuse and why, folders, and how many others."""

    files: dict[bytes, Observation] = field(default_factory=dict)
    refused: dict[bytes, tuple[Observation | None, str]] = field(default_factory=dict)
    folders: list[bytes] = field(default_factory=list)
    vanished: int = 0
    others: int = 0


def read(fd: int, wanted: Wanted, rows: Mapping[bytes, Row], *, too_deep: bool) -> Listing:
    """List an open folder. `too_deep`: its folders lie below max_depth. Raises OSError when it cannot be listed."""
    found = Listing()
    suffixes, by_magic, look = wanted.suffixes, wanted.by_magic, _look
    with os.scandir(fd) as entries:
        for entry in entries:
            name = entry.name.encode(_ENCODING, _ERRORS)  # os.fsencode asks for the kind of its argument first
            if entry.is_file(follow_symlinks=False):  # asked first: of a million names nearly all are files
                if by_magic or entry.name.lower().endswith(suffixes):
                    look(fd, entry, name, wanted, rows, found)
                else:
                    found.others += 1
            elif not entry.is_dir(follow_symlinks=False):
                found.refused[name] = (None, "not_regular")
            elif too_deep:
                found.refused[name] = (None, "too_deep")
            else:
                found.folders.append(name)
    return found


def _look(
    fd: int, entry: os.DirEntry[str], name: bytes, wanted: Wanted, rows: Mapping[bytes, Row], found: Listing
) -> None:
    try:
        look = Observation.of(entry.stat(follow_symlinks=False))
        if wanted.by_magic and not (
            _is_known(rows.get(name), look) or starts_like_a_picture(name, fd, look, wanted.magic)
        ):
            found.others += 1
            return
    except OSError as error:
        reason = opening.reason_of(error)
        if reason is None:
            raise
        if reason == "vanished":
            found.vanished += 1
        else:
            found.refused[name] = (None, reason)
        return
    if look.size_bytes > wanted.max_bytes:
        found.refused[name] = (look, "too_large")
    else:
        found.files[name] = look


def _is_known(row: Row | None, look: Observation) -> bool:
    return row is not None and row.seen == look


def starts_like_a_picture(name: bytes, parent_fd: int, look: Observation, magic: tuple[bytes, ...]) -> bool:
    """Read the first bytes of the very file that was looked at. An empty one may become a picture."""
    if look.size_bytes == 0:
        return True
    fd = opening.open_regular(name, parent_fd)
    try:
        opened = Observation.of(os.fstat(fd))
        start = os.read(fd, MAGIC_BYTES)
    finally:
        os.close(fd)
    same_file = (opened.dev, opened.ino) == (look.dev, look.ino)
    return same_file and start.startswith(magic) and (start[:4] != b"RIFF" or start[8:12] == b"WEBP")


def change(row: Row | None, look: Observation | None, reason: str | None) -> dict[str, Any] | None:
    """What becomes of a path's row: the columns to set, None when nothing is new. `row` None: the path is new."""
    if row and _still_true(row, look, reason):
        return None
    if reason is not None:
        return {"state": "refused", "reason": reason, **columns(look)}
    state = "seen" if row is None or row.state == "gone" else "settling"
    return {"state": state, "reason": None, **columns(look)}


def _still_true(row: Row, look: Observation | None, reason: str | None) -> bool:
    if row.state == "refused" and (reason or row.reason in NOT_OF_THE_FILE):
        return (row.reason, row.seen) == (reason, look)
    if row.state == "gone" or row.seen is None or look is None:
        return False
    if row.state == "staged":
        return row.seen.same_content_as(look)
    return reason is None and row.seen == look


def columns(look: Observation | None) -> dict[str, int | None]:
    return {name: getattr(look, name, None) for name in Observation._fields}


def listed(before: Listed | None, mtime_ns: int, now: float, others: int, *, unsure: bool) -> Listed:
    """What to remember of a folder just listed. `unsure`: something in it must be looked at again by the next scan.

    A clean folder is skipped while its mtime stays. Our clock set back means: count from this listing on.
    """
    if before is None or before.mtime_ns != mtime_ns or now < before.listed_at:
        return Listed(mtime_ns, now, False, others)
    clean = not unsure and (before.clean or now - before.listed_at >= CLEAN_AFTER_S)
    return Listed(mtime_ns, before.listed_at, clean, others)
