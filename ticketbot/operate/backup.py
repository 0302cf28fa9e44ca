"""How does an installation get into a folder, whole and while it runs?

    backup.json     what is in it: version, schema, rows a table, and the sha256 of every other file; written last
    database.db     SQLite, by its online backup        or    database.dump    PostgreSQL, by pg_dump (custom format)
    models/<id>/    every bundle the database speaks of that is still on disk
    secret.key, secret_key    with which secrets and sessions are encrypted and signed
    settings.toml   the settings file, for reference
    staged.txt      which pictures are staged (sha256 and size a line): by reference, or with them in pictures/

The database comes first: whatever it speaks of was there before, and bundles and pictures never change. A folder
without backup.json was cut off and is no backup. Only its owner may read it: it holds keys.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, make_url, select, text
from sqlalchemy.orm import Session

from ticketbot import __version__
from ticketbot.contracts import store
from ticketbot.contracts.files import sha256_of, sync_folder, write_json
from ticketbot.db import Database, migrate
from ticketbot.db.models import Audit, Base, Model, Picture
from ticketbot.errors import NotReady, StorageError, UsageError
from ticketbot.operate import verify
from ticketbot.settings import Settings, environment_without_ours

FORMAT_VERSION = 1
MANIFEST = "backup.json"
SQLITE, DUMP, STAGED, SETTINGS = "database.db", "database.dump", "staged.txt", "settings.toml"
KEYS = ("secret.key", "secret_key")
PG_TIMEOUT_S = 6 * 3600.0
# In the log of deeds: what says when the last one was made.
DEED = "backup"
# What a killed backup left half written is nobody's any more.
LEFT_OVER_AFTER_S = 24 * 3600.0


@dataclass(frozen=True)
class Manifest:
    """backup.json. `rows`: a table's name -> how many; `files`: relative path -> sha256."""

    version: str
    schema: str
    created_at: float
    database: str
    rows: dict[str, int]
    pictures: int
    pictures_inside: bool
    models: list[str]
    models_missing: list[str]
    files: dict[str, str]
    format_version: int = FORMAT_VERSION


def default_folder(settings: Settings, now: float) -> Path:
    return settings.data_dir / "backups" / time.strftime("ticketbot-%Y-%m-%dT%H%M%SZ", time.gmtime(now))


def note(db: Database, folder: Path, who: str, now: float) -> None:
    """Write down that `folder` was made, for doctor and /metrics."""
    with db.write() as session:
        session.add(Audit(at=now, who=who, what=DEED, detail={"folder": str(folder)}))


def last_at(session: Session) -> float | None:
    """When the last backup was made, wherever it went; None: never."""
    return session.scalar(select(Audit.at).where(Audit.what == DEED).order_by(Audit.at.desc()).limit(1))


def tidy(settings: Settings, keep: int, now: float) -> list[Path]:
    """Remove all but the newest `keep` of the backups in data_dir/backups, and what killed ones left there.

    What is no whole backup with a name of ours stays. Returns what was removed. Raises StorageError.
    """
    place = settings.data_dir / "backups"
    whole = sorted(one for one in place.glob("ticketbot-*Z") if (one / MANIFEST).is_file())
    too_many = whole[: max(0, len(whole) - keep)]
    left = [one for one in place.glob(".ticketbot-*.tmp") if now - one.stat().st_mtime > LEFT_OVER_AFTER_S]
    try:
        for one in too_many:
            (one / MANIFEST).unlink()  # half removed it is no backup any more
            shutil.rmtree(one)
        for one in left:
            shutil.rmtree(one)
    except OSError as error:
        raise StorageError(f"cannot remove the old backup {one}: {error.strerror or error}") from error
    return [*too_many, *left]


def make(db: Database, settings: Settings, config: Path | None, out: Path, now: float, *, pictures: bool) -> Manifest:
    """Write a backup into the new folder `out`, then read it again and compare; the service may run all along.

    `pictures`: with the staged pictures themselves, not only their list. Raises UsageError, StorageError, NotReady.
    """
    if out.exists():
        raise UsageError(f"{out} is there already; name a new folder")
    draft = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True, mode=0o700)
        manifest = _fill(db, settings, config, draft, now, pictures)
        write_json(draft / MANIFEST, asdict(manifest))
        verify.backup(draft)
        sync_folder(draft)
        os.rename(draft, out)
        sync_folder(out.parent)
    except OSError as error:
        raise StorageError(f"cannot write the backup to {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _fill(db: Database, settings: Settings, config: Path | None, folder: Path, now: float, pictures: bool) -> Manifest:
    schema = migrate.current(db)
    if schema is None:
        raise NotReady("there is nothing to back up yet: the database has no schema")
    rows, models, staged = _sqlite(db, folder) if db.is_sqlite else _postgres(db, folder)
    missing = [one for one in models if not _copy_folder(settings.data_dir / "models" / one, folder / "models" / one)]
    for name in KEYS:
        _copy(settings.data_dir / name, folder / name)
    if config is not None:
        _copy(config, folder / SETTINGS)
    (folder / STAGED).write_text("".join(f"{sha256} {size}\n" for sha256, size in staged))
    if pictures:
        for sha256, _ in staged:
            _copy(store.path_of(settings.data_dir, sha256), folder / "pictures" / sha256[:2] / f"{sha256}.jpg")
    files = {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    return Manifest(
        version=__version__,
        schema=schema,
        created_at=now,
        database=SQLITE if db.is_sqlite else DUMP,
        rows=rows,
        pictures=len(staged),
        pictures_inside=pictures,
        models=[one for one in models if one not in missing],
        models_missing=missing,
        files=files,
    )


Facts = tuple[dict[str, int], list[str], list[tuple[str, int]]]


def _sqlite(db: Database, folder: Path) -> Facts:
    """SQLite's own online backup: writers go on, the copy is of one moment."""
    source = sqlite3.connect(db.path)
    target = sqlite3.connect(folder / SQLITE)
    try:
        source.backup(target, pages=2048, sleep=0.01)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a WAL beside it
    finally:
        target.close()
        source.close()
    copy = Database(f"sqlite:///{folder / SQLITE}")
    try:
        with copy.reader.connect() as connection:
            return _facts(connection)
    finally:
        copy.close()
        _one_file(folder / SQLITE)


def _one_file(path: Path) -> None:
    """Whoever opens it switches WAL on again: back to one file."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()


def _postgres(db: Database, folder: Path) -> Facts:
    """pg_dump of the very moment whose rows are counted (an exported snapshot)."""
    with db.engine.connect() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        snapshot = str(connection.scalar(text("SELECT pg_export_snapshot()")))
        facts = _facts(connection)
        options = ["--format=custom", f"--snapshot={snapshot}", "--no-owner", f"--file={folder / DUMP}"]
        run_pg(db.url, "pg_dump", *options)
    return facts


def _facts(connection: Connection) -> Facts:
    tables = Base.metadata.sorted_tables
    there = set(connection.dialect.get_table_names(connection))
    rows = {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in tables
        if table.name in there
    }
    models = list(connection.scalars(select(Model.id).where(Model.state != "retired").order_by(Model.id)))
    staged = select(Picture.sha256, Picture.size_bytes).where(Picture.state == "staged").order_by(Picture.sha256)
    return rows, models, [(row[0], row[1]) for row in connection.execute(staged)]


def run_pg(url: str, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on this database; the password goes by the environment, not the command line.

    Raises NotReady when the program is not installed, StorageError when it fails.
    """
    if shutil.which(program) is None:
        raise NotReady(
            f"{program} is not installed here (apt-get install postgresql-client); it must be as new as the server"
        )
    parsed = make_url(url)
    environment = environment_without_ours()
    if parsed.password is not None:
        environment["PGPASSWORD"] = str(parsed.password)
    address = parsed.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    done = subprocess.run(
        [program, f"--dbname={address}", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PG_TIMEOUT_S,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no word why"]
        raise StorageError(f"{program} failed: {lines[0][:300]}")


def _copy_folder(source: Path, target: Path) -> bool:
    """False when the folder is not there (a bundle that was tidied away)."""
    if not source.is_dir():
        return False
    for path in sorted(source.iterdir()):
        if path.is_file():
            _copy(path, target / path.name)
    return True


def _copy(source: Path, target: Path) -> bool:
    try:
        with open(source, "rb") as reader:
            target.parent.mkdir(parents=True, exist_ok=True)
            with written(target) as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def written(path: Path) -> Iterator[Any]:
    """A new file for its owner only, on disk when the block ends."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
