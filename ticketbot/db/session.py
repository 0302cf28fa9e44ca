"""How do we open the database so that nothing is done twice?

SQLite: WAL, synchronous=FULL, BEGIN IMMEDIATE for everything that writes (a deferred transaction that read first
fails with "database is locked" at once: 658 of 800 in a trial; the driver's own default processed 173 of 800 twice).
PostgreSQL: READ COMMITTED; claims use FOR UPDATE SKIP LOCKED. Transactions stay short: no file or network work inside.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from ticketbot.errors import SettingsError, StorageError

BUSY_TIMEOUT_MS = 10_000
# Our own transactions last milliseconds: who holds the lock for a second is in trouble.
LOCK_PATIENCE_S = 1.0
# A PostgreSQL that says nothing at all (a firewall that drops) is away; the driver's own default is 130 s.
CONNECT_S = 10
# RETURNING, which claims use.
SQLITE_LEAST = (3, 35)
# Moving the WAL into the database syncs both. With SQLite's 1,000 pages a first scan would do that every 2,000 files;
# its batches may wait for 32 MB.
UNSYNCED_PAGES = 8_000
# WAL needs shared memory, which these do not give across hosts.
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p")


class Database:
    """Two engines on one URL: `write()` sessions lock at BEGIN, `read()` sessions never write.

    Use `with db.write() as session:` (commits at the end, rolls back on an exception) and `with db.read() as session:`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            _check_place(url)
        self.engine = self._engine("IMMEDIATE")
        self.reader = self._engine("DEFERRED") if self.is_sqlite else self.engine
        self.unsynced = self._engine("IMMEDIATE", "NORMAL") if self.is_sqlite else self.engine
        self._write = sessionmaker(self.engine, expire_on_commit=False)
        self._write_unsynced = sessionmaker(self.unsynced, expire_on_commit=False)
        self._read = sessionmaker(self.reader, expire_on_commit=False)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Session]:
        """`durable=False`: SQLite syncs it with the next durable one; a power cut before may take it back. For what is
        found again anyhow, like the batches of a scan."""
        with (self._write if durable else self._write_unsynced).begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._read() as session:
            yield session

    def insert(self, table: Any) -> Any:
        """This dialect's INSERT: `db.insert(T).values(…).on_conflict_do_nothing()`."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def for_claim(self, query: Any) -> Any:
        """Pass over rows another worker is claiming (PostgreSQL); SQLite's BEGIN IMMEDIATE already excludes it."""
        return query if self.is_sqlite else query.with_for_update(skip_locked=True)

    def can_write(self) -> bool:
        """Could somebody write now? False when it is read-only, or locked by one who does not let go.

        Raises SQLAlchemyError when PostgreSQL does not answer at all.
        """
        if not self.is_sqlite:
            with self.engine.connect() as connection:
                return connection.scalar(text("SHOW transaction_read_only")) == "off"
        try:
            with closing(sqlite3.connect(self.path, timeout=LOCK_PATIENCE_S, isolation_level=None)) as probe:
                probe.execute("BEGIN IMMEDIATE")
                probe.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True

    def shrink_log(self) -> bool:
        """Move SQLite's log (WAL) into the database and cut it to nothing; it only ever grows by itself.

        False when somebody reads or writes just now: then it is done another time. PostgreSQL does it by itself.
        """
        if not self.is_sqlite:
            return True
        own = sqlite3.connect(self.path, timeout=LOCK_PATIENCE_S, isolation_level=None)
        try:
            return own.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        except sqlite3.Error:
            return False
        finally:
            own.close()

    @property
    def path(self) -> str:
        """SQLite's file."""
        return self.url.removeprefix("sqlite:///").split("?")[0]

    def close(self) -> None:
        for engine in (self.engine, self.reader, self.unsynced):
            engine.dispose()

    def forget_connections(self) -> None:
        """After a fork: leave the parent's connections alone and open our own."""
        for engine in (self.engine, self.reader, self.unsynced):
            engine.dispose(close=False)

    def _engine(self, begin: str, synchronous: str = "FULL") -> Engine:
        if not self.is_sqlite:
            if not self.url.startswith("postgresql"):
                raise SettingsError("database.url must begin with postgresql+psycopg:// or sqlite:///")
            try:
                options = {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 10}
                return create_engine(self.url, connect_args=_patience(self.url), **options)
            except ModuleNotFoundError as error:
                do = "pip install 'ticketbot[postgres]', and begin it with postgresql+psycopg://"
                raise SettingsError(f"database.url needs {error.name}, which is not installed: {do}") from None
            except ValueError as error:  # of a port that is no number
                raise SettingsError(f"database.url cannot be read: {error}") from None
        engine = create_engine(self.url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def _connect(connection: Any, _record: Any) -> None:
            _prepare(connection, synchronous)

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql(f"BEGIN {begin}")

        return engine


def _patience(url: str) -> dict[str, int]:
    """The driver's options for a new connection; what the url says itself counts more."""
    ours = url.startswith("postgresql+psycopg") and "connect_timeout" not in make_url(url).query
    return {"connect_timeout": CONNECT_S} if ours else {}


def _prepare(connection: Any, synchronous: str) -> None:
    connection.isolation_level = None  # BEGIN is ours, see above
    cursor = connection.cursor()
    _use_wal(cursor)
    for pragma in (f"synchronous={synchronous}", f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    if synchronous == "NORMAL":
        cursor.execute(f"PRAGMA wal_autocheckpoint={UNSYNCED_PAGES}")
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """Two that switch a new file to WAL at once: SQLite tells one "locked" without waiting its timeout."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _check_place(url: str) -> None:
    if sqlite3.sqlite_version_info < SQLITE_LEAST:
        least = ".".join(map(str, SQLITE_LEAST))
        do = f"{least} is needed; take a newer Python, or PostgreSQL (database.url)"
        raise SettingsError(f"this Python brings SQLite {sqlite3.sqlite_version}: {do}")
    path = url.removeprefix("sqlite:///").split("?")[0]
    if not path or path == ":memory:":
        return
    kind = _file_system(Path(path).absolute().parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise SettingsError(
            f"database.url: SQLite on {kind} can lose data; put general.data_dir on a local disk or use PostgreSQL"
        )


def _file_system(folder: Path) -> str:
    """Type of the mount that holds `folder`, "" when it cannot be told."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, point, fstype, *_ = line.split(" ")
        inside = str(folder) == point or str(folder).startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fstype
    return kind


def connect(url: str, *, make_folder: bool = True) -> Database:
    """Open a database; for SQLite its folder is made."""
    if make_folder and url.startswith("sqlite:///"):
        folder = Path(url.removeprefix("sqlite:///").split("?")[0]).absolute().parent
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise StorageError(f"the folder {folder} cannot be made: {error.strerror}") from None
    return Database(url)
