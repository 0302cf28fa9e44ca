"""How do we look at a picture once, however often we train on it?

Everything is kept by content hash: the input a network sees (after the one decode and the one resize), the look-alike
hash, and features by the version of the body that made them. A wrong label never makes an entry wrong. The small
body's ONNX graph is kept too (trainer.graphs): only its last layer changes from one training to the next.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketbot.errors import StorageError

VERSION = "1"  # changes when imaging.decode or imaging.resize give other pixels


class Cache:
    """Arrays in a folder, by kind and content hash. Two trainings may share it: entries are written whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"v{VERSION}"

    def get(self, kind: str, sha256: str) -> NDArray | None:
        try:
            return np.load(self._path(kind, sha256), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def put(self, kind: str, sha256: str, array: NDArray) -> None:
        """Raises StorageError: full or read-only, which is no fault of the picture's."""
        path = self._path(kind, sha256)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                np.save(file, array, allow_pickle=False)
            os.replace(temporary, path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise StorageError(f"the cache {self.folder} (--cache) cannot be written: {error.strerror}") from error

    def of(self, kind: str, sha256: str, make: Callable[[], NDArray]) -> NDArray:
        """The entry, made when it is not there."""
        found = self.get(kind, sha256)
        if found is None:
            found = make()
            self.put(kind, sha256, found)
        return found

    def file(self, kind: str, name: str, make: Callable[[Path], None]) -> Path:
        """A file, made where it is not there: make(path) writes it. It is there whole or not at all."""
        path = self.folder / kind / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{uuid.uuid4().hex}.{name}")
            try:
                make(temporary)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        return path

    def _path(self, kind: str, sha256: str) -> Path:
        return self.folder / kind / sha256[:2] / f"{sha256}.npy"


def default_folder() -> Path:
    """Where caches belong on this machine."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ticketbot-trainer"
