"""What does the trainer learn from, as a file?

A snapshot is a folder with `snapshot.json`: which pictures, whose words, and who is kept out of training. The pictures
themselves stay where `root` says (relative to the snapshot's folder), so that a snapshot of 100,000 pictures is one
small file; `pack` copies them in for a trip to another machine.

Format versions:
    1  the first one
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ticketbot.contracts.files import canonical_json, write_json
from ticketbot.errors import UsageError

FORMAT_VERSION = 1
SNAPSHOT = "snapshot.json"
SPLITS = ("train", "holdout")


@dataclass(frozen=True)
class Item:
    """One labelled picture. `group`: its look-alikes share it and are never split; `split` is for ever."""

    sha256: str
    file: str
    label: str
    group: str
    user: str
    split: str
    # Labelled without seeing a suggestion.
    blind: bool = False


@dataclass(frozen=True)
class Snapshot:
    classes: tuple[str, ...]
    root: str
    items: tuple[Item, ...]
    created_at: float
    # The last label event that is in it.
    labels_until: int = 0
    format_version: int = FORMAT_VERSION

    @property
    def hash(self) -> str:
        """Names the contents: same pictures, labels and splits, same hash; wherever it lies."""
        facts = sorted((item.sha256, item.label, item.split) for item in self.items)
        return hashlib.sha256(canonical_json([list(self.classes), facts])).hexdigest()


def write(folder: Path, snapshot: Snapshot) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SNAPSHOT, {**asdict(snapshot), "hash": snapshot.hash})


def is_snapshot(folder: Path) -> bool:
    return (folder / SNAPSHOT).is_file()


def read(folder: Path) -> Snapshot:
    """Read a snapshot; `root` comes back absolute. Raises UsageError with what is wrong."""
    path = folder / SNAPSHOT
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
        if value["format_version"] != FORMAT_VERSION:
            raise UsageError(f"{path}: format_version {value['format_version']}; this program reads {FORMAT_VERSION}")
        declared = value.pop("hash")
        items = tuple(Item(**item) for item in value.pop("items"))
        snapshot = Snapshot(**{**value, "items": items, "classes": tuple(value["classes"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if snapshot.hash != declared:
        raise UsageError(f"{path}: its hash does not fit its contents; it was changed or cut")
    for item in snapshot.items:
        if item.split not in SPLITS or item.label not in snapshot.classes:
            raise UsageError(f"{path}: bad entry for {item.sha256}: {item.label}, {item.split}")
    return replace(snapshot, root=str((folder / snapshot.root).resolve()))


def pack(folder: Path, out: Path) -> None:
    """Copy a snapshot with its pictures into `out`, for training on another machine; users' names stay here."""
    snapshot = read(folder)
    pictures = out / "pictures"
    pictures.mkdir(parents=True)
    for item in snapshot.items:
        shutil.copyfile(Path(snapshot.root) / item.file, pictures / f"{item.sha256}.jpg")
    items = tuple(replace(item, file=f"{item.sha256}.jpg", user="") for item in snapshot.items)
    write(out, replace(snapshot, root="pictures", items=items))
