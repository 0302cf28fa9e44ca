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
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

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
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
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
    """Bytes on their way into the store: write(), then `keep`, or they are dropped at the end of the block."""

    def __init__(self, data_dir: Path, temporary: str, descriptor: int) -> None:
        self._temporary: str | None = temporary
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self._sha256: str | None = None
        self._staging = f"{data_dir}/staging"
        self.data_dir = data_dir
        self.size_bytes = 0

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        if self._temporary is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._temporary)

    @property
    def sha256(self) -> str:
        return self._sha256 or self._digest.hexdigest()

    def write(self, block: bytes) -> None:
        self._digest.update(block)
        self.size_bytes += len(block)
        view = memoryview(block)
        with _SAID:
            while view:
                view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """No more bytes; what was written stays. A batch that waits to be kept holds no descriptors."""
        self._sha256 = self.sha256
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def keep(self) -> str:
        """`keep` this one alone; returns its sha256."""
        keep([self])
        return self.sha256

    def sync(self) -> None:
        if self._temporary is not None:
            _sync(self._temporary)

    @property
    def folder(self) -> str:
        """Where `path_of` has it; plain text, because thousands are asked for."""
        return f"{self._staging}/{self.sha256[:2]}"

    def name(self) -> str:
        """Rename to the place of the content, if it is not there already; returns the folder to sync."""
        folder = self.folder
        target = f"{folder}/{self.sha256}.jpg"
        if self._temporary is not None and not _is_there(target, self.size_bytes):
            os.rename(self._temporary, target)
            self._temporary = None
        return folder


def keep(contents: Iterable[Incoming]) -> None:
    """Put contents under their hashes, durably. The same content twice is one file.

    Raises StorageError; then some may be under their hash, which does no harm.
    """
    contents = list(contents)
    if not contents:
        return
    for one in contents:
        one.close()
    whole = contents[0].data_dir / "staging" if len(contents) >= WHOLE_FROM and _SYNCFS else None
    with _SAID, ThreadPoolExecutor(SYNCS_AT_ONCE) as threads:
        failpoint("store.written")
        if whole is None:
            list(threads.map(Incoming.sync, contents))
        else:
            _sync_file_system(whole)
        failpoint("store.synced")
        if _make_folders({one.folder for one in contents}) and whole is None:
            _sync(contents[0].data_dir / "staging")
        # Also of what was there already: its writer may have been killed between the rename and this.
        folders = {content.name() for content in contents}
        failpoint("store.renamed")
        if whole is None:
            list(threads.map(_sync, folders))
        else:
            _sync_file_system(whole)


def _sync(path: str | Path) -> None:
    """A file or a folder; whichever descriptor wrote it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file_system(folder: Path) -> None:
    """Wait until all that was written to the file system of `folder` is on its disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _SYNCFS(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def incoming(data_dir: Path) -> Incoming:
    """`with incoming(data_dir) as new:` a place to write to; what was not kept by the end of the block is removed.

    Raises StorageError when the disk is full, read-only or over quota.
    """
    folder = f"{data_dir}/staging/tmp"
    temporary = f"{folder}/{os.getpid()}-{secrets.token_hex(8)}.part"
    with _SAID:
        try:
            descriptor = os.open(temporary, _NEW, 0o666)
        except FileNotFoundError:  # the first one
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(temporary, _NEW, 0o666)
    return Incoming(data_dir, temporary, descriptor)


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


def _is_there(target: str, size_bytes: int) -> bool:
    try:
        return os.stat(target).st_size == size_bytes
    except FileNotFoundError:
        return False


def _make_folders(folders: Iterable[str]) -> bool:
    """Make those that are missing; True when there were any, whose parent is to be synced."""
    missing = [folder for folder in folders if not os.path.isdir(folder)]
    for folder in missing:
        os.makedirs(folder, exist_ok=True)
    return bool(missing)


class _InOurWords:
    """Trouble with our own disk in words that say what to do."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise StorageError(
                f"cannot write to the data folder: {error.strerror}; make room or correct its rights, "
                "then the same pictures are taken again"
            ) from error


_SAID = _InOurWords()
