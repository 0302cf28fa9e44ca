"""How do labels come from elsewhere, and how do they leave?

    import   a folder per category (DIR/<category>/*.jpg), or a CSV with `label` and `sha256` or `name`
    export   a CSV (sha256,label,who,at,how), or a folder per category

An import is somebody's word like any other: an event with `how` "import". The same import again changes nothing.
Content in two categories is a conflict, told and not labelled. Cells that a spreadsheet would run as a formula get a '
in front on the way out and lose it on the way in.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from ticketbot.contracts import store
from ticketbot.contracts.files import sync_folder
from ticketbot.contracts.tables import csv_cell, plain_cell
from ticketbot.db.models import File, Label, LabelEvent, Picture
from ticketbot.db.session import Database
from ticketbot.errors import UsageError
from ticketbot.failpoints import failpoint
from ticketbot.review import labels
from ticketbot.review.labels import OnLabel

# Stages a picture and returns its sha256; raises UsageError for a file that is not taken.
Stage = Callable[[Path], str]
JUNK = "junk"
COLUMNS = ("sha256", "label", "who", "at", "how")
# A word takes several statements: few at once, so that the database is not held up.
WORDS_AT_ONCE = 20


@dataclass
class ImportReport:
    """`unchanged` had this label already; `refused` is (name, why) of everything that was not taken."""

    labelled: int = 0
    unchanged: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


def import_folder(
    db: Database,
    folder: Path,
    categories: Sequence[str],
    *,
    stage: Stage,
    who: str,
    now: float,
    on_label: OnLabel | None = None,
) -> ImportReport:
    """Label every picture in DIR/<category>/; files at the top are ignored. Raises UsageError when DIR is no folder."""
    report = ImportReport()
    said = _Said(report)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from None
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            continue
        if entry.name not in (*categories, JUNK):
            report.refused.append((entry.name, f"not a category; categories: {', '.join(categories)}"))
            continue
        for path in sorted(Path(entry.path).iterdir()):
            if not path.name.startswith("."):
                said.by_file(path, f"{entry.name}/{path.name}", entry.name, stage)
    _record(db, said.labels(), report, who, now, on_label)
    return report


def import_csv(
    db: Database,
    path: Path,
    categories: Sequence[str],
    *,
    stage: Stage,
    who: str,
    now: float,
    on_label: OnLabel | None = None,
) -> ImportReport:
    """Label what a CSV names: by `sha256`, or by `name` (a file beside the CSV, else a collected path or file name).

    Raises UsageError when the file is no such CSV.
    """
    report = ImportReport()
    said = _Said(report)
    rows = _rows(path)
    collected = _collected(db, {row["name"] for row in rows if row.get("name") and not row.get("sha256")})
    for row in rows:
        sha256, name, label = row.get("sha256", "").strip().lower(), row.get("name", ""), row["label"].strip()
        if label not in (*categories, JUNK):
            report.refused.append((name or sha256, f"{label!r} is not a category"))
        elif sha256:
            said.by_hash(sha256, name or sha256, label)
        elif beside := _beside(path.parent, name):
            said.by_file(beside, name, label, stage)
        elif len(found := collected.get(name, set())) == 1:
            said.by_hash(next(iter(found)), name, label)
        else:
            report.refused.append((name, "several pictures have this name" if found else "there is no such picture"))
    _record(db, said.labels(), report, who, now, on_label)
    return report


def import_words(
    db: Database,
    words: Iterable[tuple[str, str]],
    categories: Sequence[str],
    *,
    who: str,
    now: float,
    on_label: OnLabel | None = None,
) -> ImportReport:
    """Label pictures that are here by (sha256, label)."""
    report = ImportReport()
    said = _Said(report)
    for sha256, label in words:
        if label in (*categories, JUNK):
            said.by_hash(sha256, sha256, label)
        else:
            report.refused.append((sha256, f"{label!r} is not a category"))
    _record(db, said.labels(), report, who, now, on_label)
    return report


def export_csv(db: Database, path: Path) -> int:
    """Write every label, sorted by sha256; returns how many. `at` is ISO 8601, UTC. The file is written whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    count = 0
    try:
        with open(draft, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for sha256, label, who, at, how in _labels(db):
                when = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
                writer.writerow([csv_cell(cell) for cell in (sha256, label, who, when, how)])
                count += 1
            file.flush()
            os.fsync(file.fileno())
        failpoint("export.written")
        os.replace(draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)
    return count


def export_folder(db: Database, data_dir: Path, folder: Path) -> int:
    """Copy every labelled picture that is staged to FOLDER/<category>/<sha256>.jpg; returns how many are there."""
    count = 0
    for sha256, label, *_ in _labels(db):
        target = folder / label / f"{sha256}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".part")
        try:
            shutil.copyfile(store.path_of(data_dir, sha256), draft)
        except FileNotFoundError:
            continue  # archived: its bytes are in the ERP only
        os.replace(draft, target)
        count += 1
    return count


class _Said:
    """Collects what an import says, picture by picture."""

    def __init__(self, report: ImportReport) -> None:
        self._report = report
        self._labels: dict[str, dict[str, str]] = {}

    def by_file(self, path: Path, name: str, label: str, stage: Stage) -> None:
        try:
            self.by_hash(stage(path), name, label)
        except UsageError as error:
            self._report.refused.append((name, str(error)))

    def by_hash(self, sha256: str, name: str, label: str) -> None:
        if not store.SHA256.fullmatch(sha256):
            self._report.refused.append((name, "not a sha256"))
            return
        self._labels.setdefault(sha256, {}).setdefault(label, name)

    def labels(self) -> Mapping[str, str]:
        """sha256 -> label, without the pictures that are in two categories."""
        found = {}
        for sha256, names in self._labels.items():
            if len(names) == 1:
                found[sha256] = next(iter(names))
            else:
                self._report.refused.append((" and ".join(names.values()), "the same picture in two categories"))
        return found


def _record(
    db: Database, said: Mapping[str, str], report: ImportReport, who: str, now: float, on_label: OnLabel | None
) -> None:
    items = sorted(said.items())
    for start in range(0, len(items), WORDS_AT_ONCE):
        with db.write() as session:
            for sha256, label in items[start : start + WORDS_AT_ONCE]:
                own = session.get(Label, sha256)
                if own is not None and own.category == label:
                    report.unchanged += 1
                    continue
                key = f"import:{sha256}:{labels.version(session, sha256)}:{label[:40]}"
                word: dict[str, Any] = {"sha256": sha256, "new": label, "who": who, "at": now, "how": "import"}
                try:
                    labels.record(session, **word, key=key, on_label=on_label)
                except UsageError as error:
                    report.refused.append((sha256, str(error)))
                else:
                    report.labelled += 1
        failpoint("import.part")


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV as {column: text}; names of files may hold bytes that are no text (surrogateescape)."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if "label" not in columns or not columns & {"sha256", "name"}:
                raise UsageError(f"{path}: needs the columns label and sha256, or label and name")
            return [
                {column: plain_cell(cell or "") for column, cell in row.items() if column in columns} for row in reader
            ]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV file: {error}") from None


def _beside(folder: Path, name: str) -> Path | None:
    """The file a name means below the CSV's folder; never one outside of it."""
    parts = Path(name).parts
    if not name or "\0" in name or Path(name).is_absolute() or ".." in parts:
        return None
    path = folder / name
    return path if path.is_file() and path.resolve().is_relative_to(folder.resolve()) else None


def _collected(db: Database, names: Iterable[str]) -> dict[str, set[str]]:
    """name -> hashes of the collected files with this path or this last part of it; one pass over the files."""
    wanted = set(names)
    found: dict[str, set[str]] = {}
    if not wanted:
        return found
    with db.read() as session:
        query = select(File.path, File.sha256).where(File.sha256.is_not(None)).execution_options(yield_per=1000)
        for path, sha256 in session.execute(query):
            text = os.fsdecode(path)
            for name in {text, text.rpartition("/")[2]} & wanted:
                found.setdefault(name, set()).add(str(sha256))
    return found


def _labels(db: Database) -> Iterator[tuple[str, str, str, float, str]]:
    """sha256, label, who, at, how of every label; `how` is that of the last event that said so."""
    said = (LabelEvent.sha256 == Label.sha256, LabelEvent.new == Label.category, LabelEvent.at == Label.at)
    how = select(func.max(LabelEvent.how)).where(*said).correlate(Label).scalar_subquery()
    own = select(Label.sha256, Label.category, Label.who, Label.at, func.coalesce(how, ""))
    query = own.join(Picture, Picture.sha256 == Label.sha256).where(Picture.state != "erased").order_by(Label.sha256)
    with db.read() as session, session.execute(query.execution_options(yield_per=1000)) as rows:
        yield from rows
