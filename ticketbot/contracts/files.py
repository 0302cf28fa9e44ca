"""How do we write a file so that a reader sees the old one or the new one, never half of one?"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ticketbot.failpoints import failpoint


def write_whole(path: Path, data: bytes) -> None:
    """Write beside the target, fsync, rename, fsync the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        failpoint("files.written")
        os.fsync(file.fileno())
    failpoint("files.synced")
    os.replace(temporary, path)
    failpoint("files.renamed")
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """The same bytes for the same value: what hashes and signatures are made over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
