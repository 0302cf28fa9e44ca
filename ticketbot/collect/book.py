"""How does a scan get into the database without holding it up?

Rows are written in batches, each a short transaction, in an order that a kill cannot hurt: a folder's files first, then
that the folder was listed; last of all, and only after a complete scan, what is gone. One batch is written by a thread
of its own while the walk goes on to the next: the database's work and the file system's cost a processor each.

New files, which are nearly everything in a first scan, bypass SQLAlchemy: many rows in one plain INSERT take a fourth
of the time. A batch needs no sync of its own: the scan's last transaction has one, and what a power cut takes with it
is found again by the next scan.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, select, update

from ticketbot.collect.listing import Listed, Row
from ticketbot.collect.settled import Observation
from ticketbot.db.models import Directory, File, Source
from ticketbot.db.rows import rows, spelled
from ticketbot.db.session import Database
from ticketbot.failpoints import failpoint

FILE = File.__table__
DIRECTORY = Directory.__table__
_SEEN = (FILE.c.dev, FILE.c.ino, FILE.c.size_bytes, FILE.c.mtime_ns, FILE.c.ctime_ns)
# A row that another process changed meanwhile is left alone. What changed is not looked up before it is staged again.
_CHANGE = (
    update(FILE)  # type: ignore[arg-type]
    .where(FILE.c.id == bindparam("row_id"), FILE.c.state == bindparam("old_state"))
    .values({name: bindparam(name) for name in ("state", "reason", "observed_at", *(one.name for one in _SEEN))})
    .values(resolve_due_at=None)
)
# The columns of a new file that differ from file to file. What they share is written into the statement: handing values
# over takes as long as storing them.
NEW = ("path", "folder", "user_name", "first_seen_at", "observed_at", *(one.name for one in _SEEN))
REFUSED = (*NEW, "reason")
FOLDER = ("path", *Listed._fields)
FOLDERS = "SELECT path, mtime_ns, listed_at, clean, others FROM directory WHERE source_id = ?"
ROWS_IN = (
    "SELECT path, id, state, reason, dev, ino, size_bytes, mtime_ns, ctime_ns FROM file"
    " WHERE source_id = ? AND folder = ?"
)
ANY = "SELECT id FROM file WHERE source_id = ? LIMIT 1"
# Rows of one statement: SQLite takes 32,766 values.
ROWS_A_STATEMENT = 500


def source_row(db: Database, name: str) -> Source:
    """The row of a source, made when it is first asked for."""
    query = select(Source).where(Source.name == name)
    with db.read() as session:
        found = session.scalar(query)
    if found is None:
        with db.write() as session:
            session.execute(db.insert(Source.__table__).values(name=name, scan_no=0).on_conflict_do_nothing())
            found = session.scalars(query).one()
    return found


def observation(values: Sequence[int | None]) -> Observation | None:
    """The five numbers of a look at a file; None when the row has none yet."""
    known = [value for value in values if value is not None]
    return Observation(*known) if len(known) == len(values) else None


class Book:
    """Reads and writes the rows of one source, `batch_rows` at a time. Close it: it has a thread and a connection."""

    def __init__(self, db: Database, source_id: int, batch_rows: int) -> None:
        self._db = db
        self._source_id = source_id
        self._batch_rows = batch_rows
        self._batch_values = batch_rows * len(NEW)
        # Whether new files are history; to be set before the first.
        self.history = False
        # One value after the other, NEW, REFUSED and FOLDER of them a row: tuples would keep the collector busy.
        self._new: list[Any] = []
        self._refused: list[Any] = []
        self._changed: list[dict[str, Any]] = []
        self._folders: list[Any] = []
        # Ids, not objects: a million files that are gone are 8 MB.
        self._gone_files = array("q")
        self._gone_folders: list[bytes] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="scan")
        self._writing: Future[None] | None = None
        self._reader: Connection | None = None
        self._is_empty: bool | None = None

    def close(self) -> None:
        self._writer.shutdown()
        if self._reader is not None:
            self._reader.close()

    def folders(self) -> Iterator[tuple[bytes, Listed]]:
        """Every folder as last listed, by path."""
        for path, mtime_ns, listed_at, clean, others in self._read(FOLDERS, self._source_id):
            yield path, Listed(mtime_ns, listed_at, bool(clean), others)

    def has_rows(self) -> bool:
        """Whether any path of this source is known and not gone."""
        query = select(FILE.c.id).where(FILE.c.source_id == self._source_id, FILE.c.state != "gone").limit(1)
        with self._db.read() as session:
            return session.execute(query).first() is not None

    def rows_in(self, folder: bytes) -> dict[bytes, Row]:
        """The rows of a folder's own files by name."""
        if self._is_empty is None:
            self._is_empty = not self._read(ANY, self._source_id)
        if self._is_empty:
            return {}  # nothing was known when this scan began; what it adds it does not ask for
        skip = len(folder) + 1 if folder else 0
        return {
            path[skip:]: Row(row_id, state, reason, observation(seen))
            for path, row_id, state, reason, *seen in self._read(ROWS_IN, self._source_id, folder)
        }

    def _read(self, query: str, *values: Any) -> Sequence[Any]:
        """All rows of a plain query, on a connection kept for it: a session each would take longer than the query."""
        if self._reader is None:
            self._reader = self._db.reader.connect()
        try:
            return self._reader.exec_driver_sql(spelled(self._db, query), values).fetchall()
        finally:
            self._reader.rollback()  # a reader that stays in its transaction would keep the WAL from being emptied

    def add(self, path: bytes, folder: bytes, user: str | None, at: float, look: Observation) -> None:
        """A new file, seen at `at`."""
        self._new += (path, folder, user, at, at, *look)
        if len(self._new) >= self._batch_values:
            self._hand_over()

    def refuse(self, values: dict[str, Any]) -> None:
        """A new file that is not taken: the columns REFUSED."""
        self._refused += [values[name] for name in REFUSED]
        self._hand_over_when_full()

    def change(self, row: Row, values: dict[str, Any]) -> None:
        self._changed.append({"row_id": row.id, "old_state": row.state, **values})
        self._hand_over_when_full()

    def listed(self, path: bytes, listed: Listed) -> None:
        """To be called after the folder's files were added and changed."""
        self._folders += (path, *listed)
        self._hand_over_when_full()

    def gone(self, file_id: int) -> None:
        self._gone_files.append(file_id)

    def gone_folder(self, path: bytes) -> None:
        self._gone_folders.append(path)

    def flush(self) -> None:
        """Write what is left; everything is written when this returns."""
        self._hand_over()
        self._wait()

    def write_gone(self) -> int:
        """Mark what a complete scan did not see; returns how many files."""
        count = 0
        for path in self._gone_folders:
            for ids in self._ids_below(path):
                count += self._mark_gone(ids)
            with self._db.write() as session:
                own = and_(DIRECTORY.c.source_id == self._source_id, DIRECTORY.c.path == path)
                session.execute(delete(DIRECTORY).where(own))  # type: ignore[arg-type]
                session.execute(delete(DIRECTORY).where(self._below(DIRECTORY, path)))  # type: ignore[arg-type]
        for start in range(0, len(self._gone_files), self._batch_rows):
            count += self._mark_gone(self._gone_files[start : start + self._batch_rows].tolist())
        return count

    def _hand_over_when_full(self) -> None:
        count = len(self._new) // len(NEW) + len(self._refused) // len(REFUSED)
        if count + len(self._changed) + len(self._folders) // len(FOLDER) >= self._batch_rows:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the batch to the writer, once it has written the one before; what went wrong there is raised here."""
        self._wait()
        batch = _Batch(self._new, self._refused, self._changed, self._folders)
        if any(batch):
            self._writing = self._writer.submit(self._write, batch)
            self._new, self._refused, self._changed, self._folders = [], [], [], []

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, batch: _Batch) -> None:
        own = {"source_id": str(self._source_id)}
        new = {**own, "history": str(self.history).lower(), "resolve_attempts": "0"}
        with self._db.write(durable=False) as session:
            connection = session.connection()
            self._insert(connection, "file", {**new, "state": "'seen'"}, NEW, batch.new)
            self._insert(connection, "file", {**new, "state": "'refused'"}, REFUSED, batch.refused)
            if batch.changed:
                connection.execute(_CHANGE, batch.changed)
            self._insert(connection, "directory", own, FOLDER, batch.folders)
            failpoint("scan.batch")

    def _insert(
        self, connection: Connection, table: str, shared: dict[str, str], names: tuple[str, ...], values: list[Any]
    ) -> None:
        """Rows of `names`, whose values follow each other, and what all of them share, as SQL."""
        size = len(names) * ROWS_A_STATEMENT
        for start in range(0, len(values), size):
            some = tuple(values[start : start + size])
            query = _insert(table, tuple(shared.items()), names, len(some) // len(names))
            connection.exec_driver_sql(spelled(self._db, query), some)

    def _ids_below(self, path: bytes) -> Iterator[list[int]]:
        last = 0
        while True:
            below = and_(self._below(FILE, path), FILE.c.state != "gone", FILE.c.id > last)
            query = select(FILE.c.id).where(below).order_by(FILE.c.id).limit(self._batch_rows)
            with self._db.read() as session:
                ids = list(session.scalars(query))
            if not ids:
                return
            yield ids
            last = ids[-1]

    def _mark_gone(self, ids: list[int]) -> int:
        query = update(FILE).where(FILE.c.id.in_(ids), FILE.c.state != "gone")  # type: ignore[arg-type]
        with self._db.write() as session:
            return rows(session.execute(query.values(state="gone", reason=None, resolve_due_at=None)))

    def _below(self, table: Any, path: bytes) -> Any:
        # "/" + 1 is "0": everything that begins with path/.
        return and_(table.c.source_id == self._source_id, table.c.path >= path + b"/", table.c.path < path + b"0")


@cache
def _insert(table: str, shared: tuple[tuple[str, str], ...], names: tuple[str, ...], count: int) -> str:
    """INSERT of `count` rows. A file that is there already is left alone, a folder brought up to date."""
    row = f"({', '.join([*(value for _, value in shared), *'?' * len(names)])})"
    columns = ", ".join([*(name for name, _ in shared), *names])
    into = f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * count)}"  # noqa: S608 - our own names; values are bound
    query = into + " ON CONFLICT "
    if table == "file":
        return query + "DO NOTHING"
    new = ", ".join(f"{name} = excluded.{name}" for name in Listed._fields)
    return query + f"(source_id, path) DO UPDATE SET {new}"


class _Batch(NamedTuple):
    """What is written in one transaction."""

    new: list[Any]
    refused: list[Any]
    changed: list[dict[str, Any]]
    folders: list[Any]
