"""How does an installation come back from a backup, here or on another machine?

Only into an empty place: an installation that is there is never written over. Afterwards the copy is compared with
what the backup says. Pictures come from the backup when it holds them, else from another staging area; those that are
nowhere are staged again from the tree by the next scans, where their files still are.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, inspect, select, update

from ticketbot.contracts import bundle, store
from ticketbot.contracts.files import sha256_of, sync_folder
from ticketbot.db import Database, connect, migrate
from ticketbot.db.models import Audit, Base, Directory, File, Lease
from ticketbot.errors import Conflict, StorageError
from ticketbot.operate import backup, verify
from ticketbot.settings import Settings

AT_ONCE = 500


@dataclass
class Report:
    """What was put back. `to_stage`: files to be staged anew; `lost`: pictures that are nowhere."""

    rows: int = 0
    models: int = 0
    pictures: int = 0
    to_stage: int = 0
    lost: int = 0
    schema: str = ""


def restore(settings: Settings, folder: Path, now: float, *, who: str, staging: Path | None = None) -> Report:
    """Put the backup in `folder` back into the installation of these settings.

    staging: another installation's staging area, to take pictures from. Raises UsageError (no good backup), Conflict
    (something is there already), StorageError, NotReady (made by a newer version).
    """
    manifest = verify.backup(folder)
    _must_be_empty(settings)
    report = Report(rows=sum(manifest["rows"].values()))
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        report.models = _models(settings, folder, manifest)
        for name in backup.KEYS:
            _put(folder / name, settings.data_dir / name)
        _database(settings, folder, manifest)
    except OSError as error:
        raise StorageError(f"cannot write to {settings.data_dir}: {error.strerror or error}") from error
    db = Database(settings.database_url)
    try:
        _compare(db, manifest)
        migrate.upgrade(db)
        report.schema = migrate.current(db) or ""
        missing = _pictures(settings, folder, staging, report)
        _after(db, missing, report, who, folder, now)
    finally:
        db.close()
    return report


def _must_be_empty(settings: Settings) -> None:
    db = connect(settings.database_url)
    try:
        if inspect(db.reader).get_table_names():
            raise Conflict(
                f"there is an installation at {settings.data_dir} already: a backup goes only into an empty database "
                "and data folder; move the old ones away first"
            )
    finally:
        db.close()
    if (settings.data_dir / "models").is_dir() and any((settings.data_dir / "models").iterdir()):
        raise Conflict(f"{settings.data_dir / 'models'} holds models already; move them away first")


def _database(settings: Settings, folder: Path, manifest: dict[str, Any]) -> None:
    url, source = settings.database_url, folder / manifest["database"]
    is_file = source.suffix == ".db"
    if is_file != url.startswith("sqlite"):
        kinds = ("PostgreSQL", "SQLite") if is_file else ("SQLite", "PostgreSQL")
        raise Conflict(f"database.url is {kinds[0]}, but the backup is of {kinds[1]}; set database.url accordingly")
    if not is_file:
        backup.run_pg(url, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", str(source))
        return
    place = Path(url.removeprefix("sqlite:///").split("?")[0])
    for left in place.parent.glob(f"{place.name}-*"):
        left.unlink()  # of the empty database that was looked at just now
    place.unlink(missing_ok=True)
    _put(source, place)


def _models(settings: Settings, folder: Path, manifest: dict[str, Any]) -> int:
    for model_id in manifest["models"]:
        for path in sorted((folder / "models" / model_id).iterdir()):
            _put(path, settings.data_dir / "models" / model_id / path.name)
        bundle.read(settings.data_dir / "models" / model_id)
    return len(manifest["models"])


def _compare(db: Database, manifest: dict[str, Any]) -> None:
    """The copy holds as many rows as the backup says, in its schema. Raises StorageError."""
    if migrate.current(db) != manifest["schema"]:
        raise StorageError(f"the restored database has schema {migrate.current(db)} instead of {manifest['schema']}")
    with db.read() as session:
        for table in Base.metadata.sorted_tables:
            if table.name in manifest["rows"]:
                count = session.scalar(select(func.count()).select_from(table))
                if count != manifest["rows"][table.name]:
                    expected = manifest["rows"][table.name]
                    raise StorageError(f"the restored table {table.name} has {count} rows instead of {expected}")


def _pictures(settings: Settings, folder: Path, staging: Path | None, report: Report) -> list[str]:
    """Put the staged pictures back. -> the hashes of those that are nowhere"""
    missing = []
    for line in (folder / backup.STAGED).read_text().splitlines():
        sha256, _, size = line.partition(" ")
        place = store.path_of(settings.data_dir, sha256)
        if place.is_file() and place.stat().st_size == int(size):
            report.pictures += 1
            continue
        roots = [folder / "pictures", *([staging] if staging else [])]
        found = next((path for root in roots if (path := root / sha256[:2] / f"{sha256}.jpg").is_file()), None)
        if found is not None and sha256_of(found) == sha256:
            _put(found, place)
            report.pictures += 1
        else:
            missing.append(sha256)
    return missing


def _after(db: Database, missing: list[str], report: Report, who: str, folder: Path, now: float) -> None:
    """Files whose picture is nowhere are looked at again; nobody holds anything any more; say who restored what."""
    known: set[str] = set()
    for start in range(0, len(missing), AT_ONCE):
        some = missing[start : start + AT_ONCE]
        with db.write() as session:
            mine = (File.sha256.in_(some), File.state == "staged")
            known |= set(session.scalars(select(File.sha256).where(*mine)))
            changed = session.execute(update(File).where(*mine).values(state="seen", observed_at=now))
            report.to_stage += changed.rowcount  # type: ignore[attr-defined]
    report.lost = len(set(missing) - known)
    with db.write() as session:
        session.execute(update(Lease).values(until=0.0))
        session.execute(update(Directory).values(clean=False))
        detail = {"backup": folder.name, "rows": report.rows, "to_stage": report.to_stage, "lost": report.lost}
        session.add(Audit(at=now, who=who, what="restored", detail=detail))


def _put(source: Path, target: Path) -> None:
    """Copy, if it is there; whole or not at all, for its owner only."""
    if not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    with open(source, "rb") as reader, backup.written(draft) as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
    os.replace(draft, target)
    sync_folder(target.parent)
