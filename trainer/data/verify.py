"""Is every file in this folder a picture we can learn from?

Our decoder answers, the one that serves: other libraries call a file of 2 KB that claims 13000 x 13000 pixels fine.
What it refuses is moved to DIR/.quarantine/<class>/ (hidden folders are passed over by every training, ours and
fastai's) and noted in DIR/.quarantine/reasons.csv, unless deleting was asked for.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ticketbot.contracts.files import write_whole
from ticketbot.contracts.tables import csv_cell
from ticketbot.errors import ImageError, Refused, UsageError
from ticketbot.imaging.decode import MAX_PX, DecoderPool, encode_jpeg, encode_png
from trainer.data.pictures import DECODERS, TIMEOUT_S, files_below
from trainer.progress import Progress

QUARANTINE, REASONS = ".quarantine", "reasons.csv"
JPEG_QUALITY = 92  # what is learned from should not show the resizing
QUARANTINED, DELETED, LEFT = "quarantined", "deleted", "left"


@dataclass
class Report:
    """`bad`: (name, code, what was done with it); names are paths below the folder."""

    n: int = 0
    resized: int = 0
    bad: list[tuple[str, str, str]] = field(default_factory=list)

    def codes(self) -> Counter[str]:
        return Counter(code for _, code, _ in self.bad)


def verify(folder: Path, progress: Progress, *, act: str = QUARANTINED, max_size: int | None = None) -> Report:
    """Look at every file in folder/<class>/. act: what is done with those that are no pictures.

    max_size: pictures with a longer side (px) are replaced by smaller ones, JPEG as JPEG, anything else as PNG.
    Raises UsageError.
    """
    if max_size is not None and not 1 <= max_size <= MAX_PX:
        raise UsageError(f"--max-size must be 1 to {MAX_PX}, not {max_size}")
    paths, report = [path for one in class_folders(folder) for path in files_below(one)], Report()
    if not paths:
        raise UsageError(f"{folder}: no files; it needs a folder for each class")
    for number, (path, code, resized) in enumerate(_looked_at(paths, max_size), 1):
        progress.say("looking", number, len(paths))
        report.n += 1
        report.resized += resized
        if code:
            name = path.relative_to(folder).as_posix()
            report.bad.append((name, code, act))
            ACTS[act](folder, path, code)
    return report


def class_folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


def _looked_at(paths: list[Path], max_size: int | None) -> Iterator[tuple[Path, str, bool]]:
    """(path, error code or "", was it made smaller)."""
    with DecoderPool(DECODERS, TIMEOUT_S) as pool, ThreadPoolExecutor(DECODERS) as threads:
        found = threads.map(partial(_look, pool=pool, max_size=max_size), paths)
        yield from ((path, code, resized) for path, (code, resized) in zip(paths, found, strict=True))


def _look(path: Path, pool: DecoderPool, max_size: int | None) -> tuple[str, bool]:
    try:
        picture = pool.decode(path.read_bytes(), max_px=max_size or 64)
    except ImageError as error:
        return error.code, False
    except Refused:  # no decoder was free in time; says nothing about the picture
        raise UsageError(f"{path}: this machine is too busy to decode it; try again") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if max_size is None or max(picture.width, picture.height) <= max_size:
        return "", False
    _replace(path, picture.rgb, picture.format == "JPEG")
    return "", True


def _replace(path: Path, rgb, as_jpeg: bool) -> None:
    suffixes, data = ((".jpg", ".jpeg"), encode_jpeg(rgb, JPEG_QUALITY)) if as_jpeg else ((".png",), encode_png(rgb))
    target = path if path.suffix.lower() in suffixes else _free(path.with_suffix(suffixes[0]))
    write_whole(target, data)
    if target != path:
        path.unlink()


def _quarantine(folder: Path, path: Path, code: str) -> None:
    name = path.relative_to(folder)
    target = _free(folder / QUARANTINE / name)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)
    with open(folder / QUARANTINE / REASONS, "a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerow([csv_cell(name.as_posix()), code])


def _free(path: Path) -> Path:
    """`path`, or with a number behind its stem when there is one already."""
    number, found = 1, path
    while found.exists() or found.is_symlink():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def _delete(_folder: Path, path: Path, _code: str) -> None:
    path.unlink()


def _leave(_folder: Path, _path: Path, _code: str) -> None:
    """Only said."""


ACTS: dict[str, Callable[[Path, Path, str], None]] = {QUARANTINED: _quarantine, DELETED: _delete, LEFT: _leave}
