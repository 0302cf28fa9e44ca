"""How do people label with nothing but a file manager?

    <data_dir>/to-label/               copies of staged pictures without a label, topped up at each poll
    <data_dir>/labelled/<category>/    people move them here (or to labelled/junk/)

What a copy is, its content says, not its name: rename it at will. A picture in two category folders is a conflict, told
and not labelled; a deleted copy means nothing. A folder speaks once: when somebody else relabels the picture later, the
copy that still lies there does not speak again. No suggestion is shown here, so these labels are blind ones.

Offered first: what the champion was unsure of, then the newest, then (a first install has nothing else) history.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ticketbot.db.models import LabelEvent, Picture, SortedCopy
from ticketbot.db.session import Database
from ticketbot.failpoints import failpoint
from ticketbot.review import labels, offer
from ticketbot.review.labels import OnLabel

log = logging.getLogger(__name__)

WHO = "folder"
JUNK = "junk"
# What file managers leave behind.
NOT_PICTURES = frozenset({"thumbs.db", "desktop.ini"})
# Nothing larger is ever staged, so nothing larger can be one of ours.
MAX_BYTES = 25 * 2**20
ROWS_AT_ONCE = 200
# A word takes several statements: fewer at once, so that the database is not held up.
WORDS_AT_ONCE = 20
NAMES_SHOWN = 20
T = TypeVar("T")


@dataclass
class FolderReport:
    """What the category folders said. Names are for people: at most NAMES_SHOWN of each."""

    labelled: int = 0
    # Copies added to to-label.
    offered: int = 0
    copies: int = 0
    read: int = 0
    # "name1 and name2": the same picture in two category folders.
    conflicts: list[str] = field(default_factory=list)
    unknown_folders: list[str] = field(default_factory=list)
    # Pictures that were never staged: bring them in with `ticketbot labels import`.
    foreign: int = 0
    foreign_names: list[str] = field(default_factory=list)


class Copy(NamedTuple):
    """A copy as last read."""

    ino: int
    size_bytes: int
    mtime_ns: int
    sha256: str
    known: bool

    def untouched(self, stat: os.stat_result) -> bool:
        return (self.ino, self.size_bytes, self.mtime_ns) == (_ino(stat), stat.st_size, stat.st_mtime_ns)


def poll(
    db: Database,
    data_dir: Path,
    categories: Sequence[str],
    *,
    now: float,
    to_label_max: int,
    on_label: OnLabel | None = None,
) -> FolderReport:
    """Read what people sorted, then offer them more."""
    report = read_back(db, data_dir, categories, now=now, on_label=on_label)
    report.offered = offer.top_up(db, data_dir, (*categories, JUNK), to_label_max)
    return report


def read_back(
    db: Database, data_dir: Path, categories: Sequence[str], *, now: float, on_label: OnLabel | None = None
) -> FolderReport:
    """Turn what people sorted since the last poll into label events.

    Only new and touched copies are read; 10,000 untouched ones cost a stat each.
    """
    root = data_dir / "labelled"
    names = (*categories, JUNK)
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
    report = FolderReport()
    before = _remembered(db)
    after = _look(root, names, before, report)
    _recognise(db, after)
    said = _sorted_into(after, report)
    touched = {copy.sha256 for path, copy in (before.items() ^ after.items())}
    news = {sha256: category for sha256, category in said.items() if sha256 in touched}
    report.labelled = _record(db, news, now, on_label)
    failpoint("folders.recorded")
    _remember(db, before, after)
    _say(report)
    return report


def _look(root: Path, names: Sequence[str], before: dict[bytes, Copy], report: FolderReport) -> dict[bytes, Copy]:
    found = {}
    for folder in sorted(entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)):
        if folder not in names:
            report.unknown_folders.append(folder)
            continue
        for entry in _pictures_in(root / folder):
            report.copies += 1
            path = os.fsencode(f"{folder}/{entry.name}")
            try:
                known = before.get(path)
                if known and known.untouched(entry.stat(follow_symlinks=False)):
                    found[path] = known
                else:
                    found[path] = _read(entry.path)
                    report.read += 1
            except FileNotFoundError:
                continue  # moved on while we looked: the next poll finds it
            except OSError as error:
                log.warning("cannot read a labelled copy", extra={"copy": entry.name, "reason": error.strerror})
    return found


def _pictures_in(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            ours = not entry.name.startswith(".") and entry.name.lower() not in NOT_PICTURES
            if ours and entry.is_file(follow_symlinks=False):
                yield entry


def _read(path: str) -> Copy:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        stat = os.fstat(fd)
        digest = hashlib.sha256()
        if stat.st_size <= MAX_BYTES:
            while block := file.read(1 << 20):
                digest.update(block)
        return Copy(_ino(stat), stat.st_size, stat.st_mtime_ns, digest.hexdigest(), False)


def _recognise(db: Database, copies: dict[bytes, Copy]) -> None:
    """Mark the copies whose content is a picture of ours; what was foreign may have been imported since."""
    asked = sorted({copy.sha256 for copy in copies.values() if not copy.known})
    ours: set[str] = set()
    for part in _parts(asked):
        with db.read() as session:
            ours.update(
                session.scalars(select(Picture.sha256).where(Picture.sha256.in_(part), Picture.state != "erased"))
            )
    for path, copy in copies.items():
        if copy.sha256 in ours:
            copies[path] = copy._replace(known=True)


def _sorted_into(copies: dict[bytes, Copy], report: FolderReport) -> dict[str, str]:
    """sha256 -> category of every picture that lies in exactly one; the others go into the report."""
    places: defaultdict[str, list[bytes]] = defaultdict(list)
    for path, copy in sorted(copies.items()):
        if copy.known:
            places[copy.sha256].append(path)
        else:
            report.foreign += 1
            report.foreign_names.append(os.fsdecode(path))
    said = {}
    for sha256, paths in places.items():
        categories = {path.partition(b"/")[0].decode() for path in paths}
        if len(categories) == 1:
            said[sha256] = categories.pop()
        else:
            report.conflicts.append(" and ".join(os.fsdecode(path) for path in paths))
    return said


def _record(db: Database, news: dict[str, str], now: float, on_label: OnLabel | None) -> int:
    count = 0
    for part in _parts(sorted(news), WORDS_AT_ONCE):
        with db.write() as session:
            said_before = _last_words(session, part)
            for sha256 in part:
                category, (last_id, last) = news[sha256], said_before.get(sha256, (0, None))
                if last == category:
                    continue
                key = f"folder:{sha256}:{category}:{last_id}"
                said = {"sha256": sha256, "new": category, "who": WHO, "at": now, "how": "folder", "key": key}
                count += labels.record(session, **said, blind=True, on_label=on_label) is not None  # type: ignore[arg-type]
    return count


def _last_words(session: Session, pictures: Sequence[str]) -> dict[str, tuple[int, str | None]]:
    """(event id, category) of what the folders last said about each picture."""
    own = (LabelEvent.sha256.in_(pictures), LabelEvent.how == "folder", LabelEvent.undo_of.is_(None))
    query = select(LabelEvent.sha256, LabelEvent.id, LabelEvent.new).where(*own).order_by(LabelEvent.id)
    return {sha256: (event_id, new) for sha256, event_id, new in session.execute(query)}


def _remembered(db: Database) -> dict[bytes, Copy]:
    columns = [getattr(SortedCopy, name) for name in Copy._fields]
    with db.read() as session:
        return {path: Copy(*copy) for path, *copy in session.execute(select(SortedCopy.path, *columns))}


def _remember(db: Database, before: dict[bytes, Copy], after: dict[bytes, Copy]) -> None:
    """Last of all: after a kill the copies are read again, and the folders say nothing new."""
    changed = [path for path, copy in after.items() if before.get(path) != copy]
    for part in _parts([*(before.keys() - after.keys()), *(path for path in changed if path in before)]):
        with db.write() as session:
            session.execute(delete(SortedCopy).where(SortedCopy.path.in_(part)))
    for part in _parts(changed):
        rows = [{"path": path, **after[path]._asdict()} for path in part]
        with db.write() as session:
            session.execute(db.insert(SortedCopy.__table__).on_conflict_do_nothing(), rows)


def _say(report: FolderReport) -> None:
    del report.conflicts[NAMES_SHOWN:], report.unknown_folders[NAMES_SHOWN:], report.foreign_names[NAMES_SHOWN:]
    if report.labelled:
        log.info("labelled by folder", extra={"pictures": report.labelled})
    for conflict in report.conflicts if report.read else ():
        log.warning("a picture lies in two category folders", extra={"copies": conflict})


def _ino(stat: os.stat_result) -> int:
    """As databases keep it: signed 64 bits."""
    return stat.st_ino - (1 << 64) if stat.st_ino >= 1 << 63 else stat.st_ino


def _parts(items: Sequence[T], size: int = ROWS_AT_ONCE) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
