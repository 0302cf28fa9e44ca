"""Where do the bytes of a picture lie, and how do they get there whole?

    <data_dir>/staging/<aa>/<sha256>.jpg      aa = the first two digits of the hash
    <data_dir>/staging/tmp/                   what is being written; left-overs of a killed process are swept

Order of a write: temporary file, sync, rename, sync of the folder. Only then may a row say that the picture is there.
The name is always .jpg, whatever the format: nobody goes by it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ticketbot.contracts.files import sync_folder
from ticketbot.errors import StorageError
from ticketbot.failpoints import failpoint

SHA256 = re.compile(r"[0-9a-f]{64}")
# Nothing is written for longer than this: an older temporary file has lost its writer.
LEFT_OVER_AFTER_S = 3600.0
# A disk answers many fsyncs at once about as fast as one.
SYNCS_AT_ONCE = 16
# From so many contents on, the file system is synced as a whole, twice, instead of every file and folder of its own:
# 10,000 small files take a tenth of the time. It also waits for what others wrote there, so not for a few.
WHOLE_FROM = 32
# Linux has it, others need not.
_SYNCFS: Any = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def path_of(data_dir: Path, sha256: str) -> Path:
    """The place of a staged picture; raises ValueError for anything but 64 hex digits."""
    if not SHA256.fullmatch(sha256):
        raise ValueError(f"not a sha256: {sha256!r}")
    return data_dir / "staging" / sha256[:2] / f"{sha256}.jpg"


def open_staged(data_dir: Path, sha256: str) -> BinaryIO:
    """The staged bytes, open for reading; raises FileNotFoundError when the picture is archived or erased."""
    return open(path_of(data_dir, sha256), "rb")


class Incoming:
    """Bytes on their way into the store: write(), then `keep`, or they are dropped."""

    def __init__(self, data_dir: Path, temporary: Path, file: BinaryIO) -> None:
        self._temporary = temporary
        self._file = file
        self._digest = hashlib.sha256()
        self.data_dir = data_dir
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, block: bytes) -> None:
        self._digest.update(block)
        self.size_bytes += len(block)
        view = memoryview(block)
        with _said():
            while view:
                view = view[self._file.write(view) :]

    def keep(self) -> str:
        """`keep` this one alone; returns its sha256."""
        keep([self])
        return self.sha256

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def name(self) -> Path:
        """Rename to the place of the content, if it is not there already; returns the folder to sync."""
        target = path_of(self.data_dir, self.sha256)
        if not _is_there(target, self.size_bytes):
            os.rename(self._temporary, target)
        return target.parent


def keep(contents: Iterable[Incoming]) -> None:
    """Put contents under their hashes, durably. The same content twice is one file.

    Raises StorageError; then some may be under their hash, which does no harm.
    """
    contents = list(contents)
    if not contents:
        return
    whole = contents[0].data_dir / "staging" if len(contents) >= WHOLE_FROM and _SYNCFS else None
    with _said(), ThreadPoolExecutor(SYNCS_AT_ONCE) as threads:
        failpoint("store.written")
        if whole is None:
            list(threads.map(Incoming.sync, contents))
        else:
            _sync_file_system(whole)
        failpoint("store.synced")
        if _make_folders({path_of(one.data_dir, one.sha256).parent for one in contents}) and whole is None:
            sync_folder(contents[0].data_dir / "staging")
        # Also of what was there already: its writer may have been killed between the rename and this.
        folders = {content.name() for content in contents}
        failpoint("store.renamed")
        if whole is None:
            list(threads.map(sync_folder, folders))
        else:
            _sync_file_system(whole)


def _sync_file_system(folder: Path) -> None:
    """Wait until all that was written to the file system of `folder` is on its disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _SYNCFS(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


@contextmanager
def incoming(data_dir: Path) -> Iterator[Incoming]:
    """A place to write to; what was not kept by the end of the block is removed.

    Raises StorageError when the disk is full, read-only or over quota.
    """
    folder = data_dir / "staging" / "tmp"
    with _said():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{os.getpid()}-{secrets.token_hex(8)}.part"
        file = open(temporary, "xb", buffering=0)  # noqa: SIM115 - closed below, where errors are not the disk's
    try:
        with file:
            yield Incoming(data_dir, temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def remove(data_dir: Path, sha256: str) -> None:
    path_of(data_dir, sha256).unlink(missing_ok=True)


def sweep(data_dir: Path, now: float) -> int:
    """Remove temporary files that lost their writer; returns how many."""
    removed = 0
    folder = data_dir / "staging" / "tmp"
    for path in folder.glob("*.part") if folder.is_dir() else ():
        try:
            if path.stat().st_mtime < now - LEFT_OVER_AFTER_S:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def _is_there(target: Path, size_bytes: int) -> bool:
    try:
        return target.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def _make_folders(folders: Iterable[Path]) -> bool:
    """Make those that are missing; True when there were any, whose parent is to be synced."""
    missing = [folder for folder in folders if not folder.is_dir()]
    for folder in missing:
        folder.mkdir(parents=True, exist_ok=True)
    return bool(missing)


@contextmanager
def _said() -> Iterator[None]:
    """Trouble with our own disk in words that say what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write to the data folder: {error.strerror}; make room or correct its rights, "
            "then the same pictures are taken again"
        ) from error
