"""Which pictures do the users of the demo upload? Rendered ones without end, or those of a folder per class.

Both give a "known" part, which people will label, and a "new" part, which arrives later. For a folder the parts share
no source: a source is what the file name says before its last `_<number>`, and its pictures resemble each other.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from ticketbot.errors import UsageError
from ticketbot.render import CATEGORIES, render_jpeg

Part = Literal["known", "new"]
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class Picture:
    """`source`: whence it comes; pictures of one source resemble each other ("" when none resemble).

    `read` can be sent to another process.
    """

    category: str
    suffix: str
    source: str
    read: Callable[[], bytes]


class Pictures(Protocol):
    categories: tuple[str, ...]

    def of(self, part: Part) -> Iterator[Picture]:
        """The pictures of a part, each once, in an order that mixes the classes."""


class RenderedPictures:
    """Drawn when read; all classes equally often; never ends. The parts have no picture in common."""

    categories: tuple[str, ...] = CATEGORIES

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def of(self, part: Part) -> Iterator[Picture]:
        order = random.Random(f"{self._seed}-{part}")
        number = 0
        while True:
            for category in order.sample(self.categories, len(self.categories)):
                number += 1
                yield Picture(category, ".jpg", "", _drawing(category, f"{self._seed}-{part}-{number}"))


def _drawing(category: str, dice: str) -> Callable[[], bytes]:
    return partial(_draw, category, dice)


def _draw(category: str, dice: str) -> bytes:
    return render_jpeg(category, random.Random(dice))


class FolderPictures:
    """The pictures of `folder/<class>/`. Raises UsageError when fewer than two classes have pictures."""

    def __init__(self, folder: Path, seed: int) -> None:
        found = list(_pictures_below(folder))
        self.categories = tuple(sorted({picture.category for picture in found}))
        if len(self.categories) < 2:
            raise UsageError(f"{folder} needs a folder with pictures for each class, at least two of them")
        known = known_sources(found)
        found = in_runs(found, random.Random(seed))
        self._parts: dict[Part, list[Picture]] = {
            "known": [picture for picture in found if picture.source in known],
            "new": [picture for picture in found if picture.source not in known],
        }

    def of(self, part: Part) -> Iterator[Picture]:
        return iter(self._parts[part])


def _pictures_below(folder: Path) -> Iterator[Picture]:
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield Picture(path.parent.name, path.suffix, source_of(path.name), path.read_bytes)


def source_of(name: str) -> str:
    """`shop-till_12.jpg` -> `shop-till`; a name without number is its own source."""
    return re.sub(r"_\d+$", "", name.rsplit(".", 1)[0])


def in_runs(pictures: list[Picture], rng: random.Random) -> list[Picture]:
    """Shuffled, but up to three of one source follow each other, as the pictures of a ticket do."""
    pictures = rng.sample(pictures, len(pictures))
    by_source: dict[str, list[Picture]] = {}
    for picture in pictures:
        by_source.setdefault(picture.source, []).append(picture)
    runs: list[list[Picture]] = []
    for waiting in by_source.values():
        while waiting:
            length = rng.choice([1, 1, 2, 3])
            runs.append(waiting[:length])
            waiting = waiting[length:]
    rng.shuffle(runs)
    return [picture for run in runs for picture in run]


def known_sources(pictures: list[Picture]) -> set[str]:
    """Sources for the known part, so that of every class about half the pictures are in either part.

    The largest source first, each to the part that has less of its classes.
    """
    by_source: dict[str, Counter[str]] = {}
    for picture in pictures:
        by_source.setdefault(picture.source, Counter())[picture.category] += 1
    ahead: Counter[str] = Counter()  # class -> how many more the known part has
    known = set()
    for source, counts in sorted(by_source.items(), key=lambda item: (-item[1].total(), item[0])):
        goes_known = sum(ahead[category] * count for category, count in counts.items()) <= 0
        known |= {source} if goes_known else set()
        ahead.update(counts) if goes_known else ahead.subtract(counts)
    return known
