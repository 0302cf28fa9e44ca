"""Where in data_dir do the bytes and names of a picture lie?

staging/        the picture itself
cache/          renderings for browsers; the trainer's decoded pictures and features, by content
inbound/        copies fetched from a ticket system: told by their content
to-label/, labelled/    copies that people sort, by whatever name: told by their content
trainings/<n>/  a snapshot lists pictures and users: the whole folder goes
anything else   suspects, contact sheets, reports, exports: a file that names the picture goes
models/         kept: a bundle holds weights and rendered golden pictures, no picture of a user
backups/        kept and named in the report: they are of a time before
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ticketbot.contracts import store
from ticketbot.settings import Settings

# Copies and sheets carry the first digits of a hash in their names.
MARK_DIGITS = 16
TOKEN = re.compile(rb"[0-9a-f]{16,64}")
# Looked after by others here, or not for us to touch.
NOT_OTHER = frozenset({"staging", "cache", "inbound", "to-label", "labelled", "trainings", "models", "backups"})
MAX_READ_BYTES = 200 * 2**20


def erase(settings: Settings, sizes: Mapping[str, int], shared: Collection[str], report: Any) -> None:
    """Remove the bytes of these pictures (sha256 -> size) and every file that names them; counts into `report`.

    shared: contents that stay, whose copies may still be called after the erased user.
    """
    root = settings.data_dir
    marks = {sha256[:MARK_DIGITS].encode() for sha256 in sizes}
    for sha256 in sizes:
        store.remove(root, sha256)
    report.cached += sum(_remove(path) for path in _files(root / "cache") if _stem(path) in sizes)
    report.fetched += sum(_remove(path) for path in _files(root / "inbound") if _content(path) in sizes)
    for place in ("to-label", "labelled"):
        for path in list(_files(root / place)):
            report.copies += _forget_copy(path, sizes, shared, place)
    report.erased_trainings = []
    for folder in sorted((root / "trainings").glob("*")):
        if any(mentions(path, marks) for path in _files(folder)):
            shutil.rmtree(folder)
            report.trainings += 1
            report.erased_trainings.append(folder.name)
    report.other_files += sum(_remove(path) for path in _others(root) if mentions(path, marks))
    report.backups = sorted(path.name for path in (root / "backups").glob("*"))


def trainings_of(report: Any) -> list[int]:
    """The numbers of the trainings whose folders went."""
    return [int(name) for name in report.__dict__.pop("erased_trainings", []) if name.isdigit()]


def mentions(path: Path, marks: Collection[bytes]) -> bool:
    """Does a file's name or text hold the hash of one of these pictures, or the beginning of it?"""
    if any(word[:MARK_DIGITS] in marks for word in TOKEN.findall(os.fsencode(path.name))):
        return True
    try:
        if path.stat().st_size > MAX_READ_BYTES:
            return False
        return any(word[:MARK_DIGITS] in marks for word in TOKEN.findall(path.read_bytes()))
    except OSError:
        return False


def _forget_copy(path: Path, sizes: Mapping[str, int], shared: Collection[str], folder: str) -> int:
    """1 when the copy of an erased picture was removed. A shared one loses only its name."""
    sha256 = _content(path)
    if sha256 in sizes:
        return _remove(path)
    if sha256 in shared:
        if folder == "to-label":
            _remove(path)  # offered again, under another file's name
        else:
            path.rename(path.with_name(f"{sha256[:MARK_DIGITS]}{path.suffix}"))
    return 0


def _content(path: Path) -> str:
    """The sha256 of a copy, "" when it cannot be read. All are read: names say nothing."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _others(root: Path) -> Iterator[Path]:
    """Files of data_dir that no rule above is about; the database and the key are not looked into."""
    for entry in sorted(root.iterdir()):
        if entry.name in NOT_OTHER or entry.name.startswith("ticketbot.db") or entry.name == "secret.key":
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from list(_files(entry))
        elif entry.is_file() and not entry.is_symlink():
            yield entry


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names if not Path(place, name).is_symlink())


def _stem(path: Path) -> str:
    return path.name.lstrip(".").partition(".")[0]


def _remove(path: Path) -> int:
    path.unlink(missing_ok=True)
    return 1
