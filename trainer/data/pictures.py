"""Which pictures do we learn from, with whose labels, and which belong together?

A snapshot says all of it. A folder per class says the labels; what belongs together is found: look-alikes, and the
source in front of the last "_<number>" of the file name when names have one.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts import cleaned, snapshot
from ticketbot.errors import ImageError, Refused, UsageError
from ticketbot.imaging.decode import DecoderPool
from ticketbot.imaging.resize import to_input
from ticketbot.judge import lookalike
from trainer.data.cache import Cache
from trainer.progress import Progress

DECODERS = 2
TIMEOUT_S = 20.0
SOURCE = re.compile(r"(.+)_\d+")
EXTRA = "extra"  # the split of what is learned from and never measured or calibrated on


@dataclass(frozen=True)
class View:
    """How a network looks at a picture: canonical size, input size (px), geometry ("squish" or "pad")."""

    canonical_px: int
    px: int
    geometry: str

    @property
    def kind(self) -> str:
        return f"input-{self.canonical_px}-{self.px}-{self.geometry}"


@dataclass(frozen=True)
class Picture:
    """`label` is a number in Dataset.classes; `split` "train", "holdout", EXTRA or, not decided yet, ""."""

    sha256: str
    path: Path
    label: int
    group: str = ""
    user: str = ""
    split: str = ""


@dataclass(frozen=True)
class Dataset:
    """Readable pictures, and the unreadable ones as (path, label, error code); all of them below `root`."""

    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    unreadable: tuple[tuple[Path, int, str], ...] = ()
    is_snapshot: bool = False
    root: Path = Path()

    def labels(self) -> NDArray[np.int64]:
        return np.array([one.label for one in self.pictures], dtype=np.int64)

    def only(self, wanted: Callable[[Picture], bool]) -> Dataset:
        return replace(self, pictures=tuple(one for one in self.pictures if wanted(one)))


def read(
    folder: Path,
    cache: Cache,
    view: View,
    progress: Progress,
    classes: Sequence[str] = (),
    also: Sequence[View] = (),
) -> Dataset:
    """A snapshot or a folder per class; unreadable pictures are set aside. Raises UsageError.

    classes: the numbering to use (a bundle's); by default the data's own. also: other views that will be asked for,
    of the same canonical size, so that each picture is decoded once.
    """
    found = _of_snapshot(folder, classes) if snapshot.is_snapshot(folder) else _of_folder(folder, classes)
    read_well = _looked_at(found, cache, (view, *also), progress)
    return read_well if found.is_snapshot else _grouped(read_well, cache)


def inputs(pictures: Sequence[Picture], cache: Cache, view: View) -> NDArray[np.uint8]:
    """What the network sees: N x px x px x 3."""
    if not pictures:
        return np.zeros((0, view.px, view.px, 3), np.uint8)
    with DecoderPool(DECODERS, TIMEOUT_S) as pool:
        return np.stack([_input(one, cache, view, pool) for one in pictures])


def relabelled(data: Dataset, path: Path) -> Dataset:
    """The rows of cleaned.csv (name,label): another label is taken over, a picture without a row is left out.

    name: path below the data folder, file name, or sha256. Raises UsageError.
    """
    rows = cleaned.read_cleaned(path, data.classes)
    kept = [(one, label) for one in data.pictures if (label := _word(one, data.root, rows)) is not None]
    return replace(data, pictures=tuple(replace(one, label=data.classes.index(label)) for one, label in kept))


def name_of(picture: Picture, root: Path) -> str:
    """The name of a picture in suspects, decisions and cleaned.csv: its path below the data folder, with "/"."""
    return picture.path.relative_to(root).as_posix()


def _word(picture: Picture, root: Path, rows: Mapping[str, str]) -> str | None:
    names = (picture.sha256, name_of(picture, root), picture.path.name)
    return next((rows[name] for name in names if name in rows), None)


def _of_snapshot(folder: Path, classes: Sequence[str]) -> Dataset:
    found = snapshot.read(folder)
    names = tuple(classes) or found.classes
    if unknown := sorted({item.label for item in found.items} - set(names)):
        raise UsageError(f"{folder}: {unknown[0]!r} is not a class; there are {', '.join(names)}")
    root = Path(found.root)
    items = tuple(
        Picture(item.sha256, root / item.file, names.index(item.label), item.group, item.user, item.split)
        for item in found.items
    )
    return Dataset(names, items, is_snapshot=True, root=root)


def _of_folder(folder: Path, classes: Sequence[str]) -> Dataset:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    folders = sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    names = tuple(classes) or tuple(one.name for one in folders if any(one.iterdir()))
    if unknown := [one.name for one in folders if one.name not in names and any(one.iterdir())]:
        raise UsageError(f"{folder}: the folder {unknown[0]} is not a class; there are {', '.join(names)}")
    files = [(path, names.index(one.name)) for one in folders if one.name in names for path in files_below(one)]
    if not files:
        raise UsageError(f"{folder}: no pictures; it needs a folder for each class, or a {snapshot.SNAPSHOT}")
    return Dataset(names, tuple(Picture(_sha256(path), path, label) for path, label in files), root=folder)


def files_below(folder: Path) -> list[Path]:
    """Every file in a folder and its subfolders, sorted; hidden files and folders are passed over."""
    found: list[Path] = []
    for one in sorted(folder.iterdir()):
        if one.name.startswith("."):
            continue
        if one.is_dir() and not one.is_symlink():
            found += files_below(one)
        elif one.is_file():
            found.append(one)
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _looked_at(data: Dataset, cache: Cache, views: Sequence[View], progress: Progress) -> Dataset:
    """Every picture's inputs and look-alike hash into the cache; those that cannot be read set aside."""
    good, bad = [], []
    with DecoderPool(DECODERS, TIMEOUT_S) as pool, ThreadPoolExecutor(DECODERS) as threads:
        codes = threads.map(lambda one: _look(one, cache, views, pool), data.pictures)
        for number, (one, code) in enumerate(zip(data.pictures, codes, strict=True), 1):
            progress.say("reading pictures", number, len(data.pictures))
            if code is None:
                good.append(one)
            else:
                progress.note(f"not read: {one.path} ({code})")
                bad.append((one.path, one.label, code))
    return replace(data, pictures=tuple(good), unreadable=tuple(bad))


def _look(picture: Picture, cache: Cache, views: Sequence[View], pool: DecoderPool) -> str | None:
    if all(cache.get(kind, picture.sha256) is not None for kind in ("phash", *(view.kind for view in views))):
        return None
    try:
        _decoded(picture, cache, views, pool)
    except ImageError as error:
        return error.code
    except OSError as error:
        raise UsageError(f"{picture.path} cannot be read: {error.strerror}") from None
    return None


def _input(picture: Picture, cache: Cache, view: View, pool: DecoderPool) -> NDArray[np.uint8]:
    found = cache.get(view.kind, picture.sha256)
    return found if found is not None else _decoded(picture, cache, (view,), pool)


def _decoded(picture: Picture, cache: Cache, views: Sequence[View], pool: DecoderPool) -> NDArray[np.uint8]:
    """What the first of the views sees; all of them, and the look-alike hash, into the cache."""
    try:
        rgb = pool.decode(picture.path.read_bytes(), max_px=views[0].canonical_px).rgb
    except Refused as error:
        raise error if isinstance(error, ImageError) else ImageError("decode_timeout") from None
    cache.of("phash", picture.sha256, lambda: np.frombuffer(lookalike.phash(rgb), np.uint8))
    seen = [to_input(rgb, view.px, view.geometry) for view in views]
    for view, one in zip(views, seen, strict=True):
        cache.put(view.kind, picture.sha256, one)
    return seen[0]


def _grouped(data: Dataset, cache: Cache) -> Dataset:
    """Give pictures that belong together one group: joined by look-alike hash and by source."""
    alike = look_alikes(data.pictures, cache)
    sources = source_names([one.path.name for one in data.pictures], data.labels().tolist())
    groups = joined(alike, sources)
    pictures = zip(data.pictures, groups, sources, strict=True)
    return replace(data, pictures=tuple(replace(one, group=str(g), user=s or "") for one, g, s in pictures))


def look_alikes(pictures: Sequence[Picture], cache: Cache) -> list[int]:
    """Equal numbers for look-alikes, whoever they come from."""
    return lookalike.groups([_hash(cache, one) for one in pictures])


def _hash(cache: Cache, picture: Picture) -> bytes:
    found = cache.get("phash", picture.sha256)
    assert found is not None, "every picture that was read has its hash"
    return found.tobytes()


def source_names(names: Sequence[str], labels: Sequence[int]) -> list[str | None]:
    """The source of each file name, in front of its last _<number>; all None when names do not tell sources.

    They do when nine in ten have one, none has over half of the pictures (IMG_0001.jpg is a camera's counter), and each
    class has three or more: `ticket_17.jpg` names the class.
    """
    found = [match[1] if (match := SOURCE.fullmatch(Path(name).stem)) else None for name in names]
    counts = Counter(one for one in found if one)
    of_class: dict[int, set[str]] = {label: set() for label in labels}
    for label, one in zip(labels, found, strict=True):
        if one:
            of_class[label].add(one)
    told = sum(counts.values()) >= 0.9 * len(names) and min(len(one) for one in of_class.values()) >= 3
    return found if told and max(counts.values()) <= len(names) / 2 else [None] * len(names)


def joined(alike: Sequence[int], sources: Sequence[str | None]) -> list[int]:
    """Group numbers: pictures that share a look-alike group or a source share one, over any number of steps."""
    parent: dict[object, object] = {}

    def root(one: object) -> object:
        while parent.setdefault(one, one) != one:
            one = parent[one]
        return one

    for number, source in zip(alike, sources, strict=True):
        if source is not None:
            parent[root(("source", source))] = root(number)
    roots = [root(number) for number in alike]
    first: dict[object, int] = {}
    return [first.setdefault(one, len(first)) for one in roots]
