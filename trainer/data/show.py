"""What is in this folder? A sheet with some pictures of every class: the article's show_batch."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from ticketbot.errors import UsageError
from trainer.data.pictures import files_below
from trainer.data.verify import class_folders
from trainer.sheet import sheet, tiles


def show(folder: Path, *, count: int = 64, seed: int = 7) -> Image.Image:
    """The sheet. Raises UsageError when there is nothing to show."""
    found = {one.name: files_below(one) for one in class_folders(folder)}
    chosen = sample(found, count, seed)
    if not chosen:
        raise UsageError(f"{folder}: no pictures; it needs a folder for each class")
    return sheet(
        (f"{name}: {len(found[name])} files", tiles(paths, [(path.name,) for path in paths]))
        for name, paths in chosen.items()
    )


def sample(found: Mapping[str, Sequence[Path]], count: int, seed: int) -> dict[str, list[Path]]:
    """About `count` files, as evenly over the classes as there are any; the same seed, the same files."""
    left = {name: _shuffled(paths, f"{seed} {name}") for name, paths in sorted(found.items()) if paths}
    chosen: dict[str, list[Path]] = {name: [] for name in left}
    while count > 0 and any(left.values()):
        for name in left:
            if left[name] and count > 0:
                chosen[name].append(left[name].pop())
                count -= 1
    return {name: sorted(paths) for name, paths in chosen.items() if paths}


def _shuffled(paths: Sequence[Path], seed: str) -> list[Path]:
    mixed = sorted(paths)
    random.Random(seed).shuffle(mixed)  # noqa: S311 - a lot, not a secret
    return mixed
