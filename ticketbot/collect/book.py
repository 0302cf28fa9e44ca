"""How does a scan get into the database without holding it up?

Rows are written in batches, each a short transaction, in an order that a kill cannot hurt: a folder's files first, then
that the folder was listed; last of all, and only after a complete scan, what is gone.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

from sqlalchemy import and_, bindparam, delete, select, update

from ticketbot.collect.listing import Listed, Row
from ticketbot.collect.settled import Observation
from ticketbot.db.models import Directory, File, Source
from ticketbot.db.rows import rows
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


def observation(values: tuple[int | None, ...]) -> Observation | None:
    dev, ino, size_bytes, mtime_ns, ctime_ns = values
    if dev is None or ino is None or size_bytes is None or mtime_ns is None or ctime_ns is None:
        return None
    return Observation(dev, ino, size_bytes, mtime_ns, ctime_ns)


class Book:
    """Reads and writes the rows of one source, `batch_rows` at a time."""

    def __init__(self, db: Database, source_id: int, batch_rows: int) -> None:
        self._db = db
        self._source_id = source_id
        self._batch_rows = batch_rows
        self._new: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._folders: list[dict[str, Any]] = []
        # Ids, not objects: a million files that are gone are 8 MB.
        self._gone_files = array("q")
        self._gone_folders: list[bytes] = []

    def folders(self) -> Iterator[tuple[bytes, Listed]]:
        """Every folder as last listed, by path."""
        columns = [DIRECTORY.c.path, *(DIRECTORY.c[name] for name in Listed._fields)]
        query = select(*columns).where(DIRECTORY.c.source_id == self._source_id)
        with self._db.read() as session:
            for path, *listed in session.execute(query).yield_per(1000):
                yield path, Listed(*listed)

    def has_rows(self) -> bool:
        """Whether any path of this source is known and not gone."""
        query = select(FILE.c.id).where(FILE.c.source_id == self._source_id, FILE.c.state != "gone").limit(1)
        with self._db.read() as session:
            return session.execute(query).first() is not None

    def rows_in(self, folder: bytes) -> dict[bytes, Row]:
        """The rows of a folder's own files by name."""
        query = select(FILE.c.path, FILE.c.id, FILE.c.state, FILE.c.reason, *_SEEN).where(
            FILE.c.source_id == self._source_id, FILE.c.folder == folder
        )
        skip = len(folder) + 1 if folder else 0
        with self._db.read() as session:
            found = session.execute(query)
            return {
                path[skip:]: Row(row_id, state, reason, observation(tuple(seen)))
                for path, row_id, state, reason, *seen in found
            }

    def add(self, values: dict[str, Any]) -> None:
        self._new.append({"source_id": self._source_id, **values})
        self._flush_when_full()

    def change(self, row: Row, values: dict[str, Any]) -> None:
        self._changed.append({"row_id": row.id, "old_state": row.state, **values})
        self._flush_when_full()

    def listed(self, path: bytes, listed: Listed) -> None:
        """To be called after the folder's files were added and changed."""
        self._folders.append({"source_id": self._source_id, "path": path, **listed._asdict()})
        self._flush_when_full()

    def gone(self, file_id: int) -> None:
        self._gone_files.append(file_id)

    def gone_folder(self, path: bytes) -> None:
        self._gone_folders.append(path)

    def flush(self) -> None:
        if not (self._new or self._changed or self._folders):
            return
        with self._db.write() as session:
            if self._new:
                session.execute(self._db.insert(FILE).on_conflict_do_nothing(), self._new)
            if self._changed:
                session.connection().execute(_CHANGE, self._changed)
            if self._folders:
                insert = self._db.insert(DIRECTORY)
                new = {name: insert.excluded[name] for name in Listed._fields}
                session.execute(
                    insert.on_conflict_do_update(index_elements=("source_id", "path"), set_=new), self._folders
                )
            failpoint("scan.batch")
        self._new, self._changed, self._folders = [], [], []

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

    def _flush_when_full(self) -> None:
        if len(self._new) + len(self._changed) + len(self._folders) >= self._batch_rows:
            self.flush()
