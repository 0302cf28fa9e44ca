"""Which files are there?

The tree is walked folder by folder through descriptors (opening.py), without recursion, at most max_depth deep. A
folder whose mtime is what two listings at least 2 s apart saw is not listed again: a rescan costs one look per folder,
however many files there are. A write into an existing file does not touch its folder, so a sweep, nightly, lists all.

What a scan did not see is gone only when the whole scan went well: a missing mount, a stale handle or a disk in trouble
must not read as "all files were deleted". A mount that is missing leaves an empty folder behind, so a root that is
another folder than before, with nothing in it that we know, counts as trouble too.
"""

from __future__ import annotations

import logging
import os
import re
import stat as stat_module
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ticketbot.collect import listing, opening
from ticketbot.collect.book import Book, source_row
from ticketbot.collect.listing import Listed
from ticketbot.collect.opening import Clock
from ticketbot.contracts.events import shown_path
from ticketbot.db import tombstones
from ticketbot.db.models import Source as SourceRow
from ticketbot.db.session import Database
from ticketbot.failpoints import failpoint
from ticketbot.settings import Collect, Source

log = logging.getLogger(__name__)


FIRST_FOLDER = "^(?P<user>[^/]+)/"


@dataclass
class ScanReport:
    """What a scan found: counts of files, and why it was not complete (None: it was)."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    # Skip reason -> newly refused. "extension" counts every name that is no picture; "vanished" leaves no row.
    refused: Counter[str] = field(default_factory=Counter)
    folders_listed: int = 0
    folders_unchanged: int = 0
    incomplete: str | None = None
    # These files were here before we were: see the setting `history`.
    history: bool = False


@dataclass
class _Folder:
    """An open folder and the names of the folders in it still to visit."""

    path: bytes
    fd: int
    todo: list[bytes]
    # Folders that a row says we could not enter: name -> row.
    blocked: dict[bytes, listing.Row]


class NotMounted(Exception):
    """The root is another folder than before and holds nothing we know."""


def scan(
    db: Database,
    name: str,
    source: Source,
    collect: Collect,
    *,
    now: float,
    sweep: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> ScanReport:
    """Look through a source's tree once and bring the file rows up to date.

    `sweep` lists every folder, also those whose mtime did not change; `stop()` ends it between two folders. Trouble
    with the tree is never raised: it is in the report and in the row's `incomplete`.
    """
    walk = _Walk(db, source_row(db, name), source, collect, Clock(now), sweep)
    walk.stop = stop
    try:
        walk.run()
    except NotMounted as error:
        walk.report.incomplete = str(error)
    except OSError as error:
        walk.report.incomplete = f"{error.strerror}: the root {source.root}"
    finally:
        walk.close()
    walk.finish(now)
    return walk.report


class _Walk:
    def __init__(
        self, db: Database, row: SourceRow, source: Source, collect: Collect, clock: Clock, sweep: bool
    ) -> None:
        self.db, self.row, self.source, self.clock, self.sweep = db, row, source, clock, sweep
        self.wanted = listing.wanted_by(source)
        self.user = re.compile(source.path)
        # The pattern of the defaults reads the user out of the folder: once a folder is enough.
        self.user_is_folder = source.path == FIRST_FOLDER
        self.book = Book(db, row.id, collect.batch_rows)
        self.report = ScanReport()
        self.open: list[_Folder] = []
        self.root_id: str | None = None
        self.files = 0
        self.stop: Callable[[], bool] = lambda: False
        # Folders as last listed, and the folders in each.
        self.before: dict[bytes, Listed] = {}
        self.inside: dict[bytes, list[bytes]] = defaultdict(list)
        self.any_erased = False
        self.progress_s = collect.progress_s
        self.progress_at = collect.progress_s

    def run(self) -> None:
        self._remember()
        fd = opening.open_root(self.source.root)
        try:
            self._begin(fd)
        except BaseException:
            os.close(fd)
            raise
        self._enter(b"", fd)
        while self.open:
            if self.stop():
                self.report.incomplete = "stopped before its end"
                break
            folder = self.open[-1]
            if folder.todo:
                self._visit(folder, folder.todo.pop())
            else:
                os.close(self.open.pop().fd)
            self._say_how_far()
        self.book.flush()
        failpoint("scan.flushed")

    def close(self) -> None:
        for folder in self.open:
            os.close(folder.fd)
        self.book.close()

    def finish(self, now: float) -> None:
        """Write what only the end can tell: what is gone, whether it was complete."""
        if self.report.incomplete is None:
            failpoint("scan.gone")
            self.report.gone = self.book.write_gone()
        with self.db.write() as session:
            row = session.merge(self.row)
            row.scan_no += 1
            row.scanned_at = now
            row.incomplete = self.report.incomplete
            if self.report.incomplete is None:
                row.root_id = self.root_id
                row.swept_at = now if self.sweep or row.swept_at is None else row.swept_at
                row.history_until = row.history_until if not self.report.history else now
            failpoint("scan.finish")
        self._say_done()

    def _remember(self) -> None:
        with self.db.read() as session:
            self.any_erased = tombstones.salt_of(session) is not None
        for path, listed in self.book.folders():
            self.before[path] = listed
            self.report.refused["extension"] += listed.others
            if path:
                parent, _, name = path.rpartition(b"/")
                self.inside[parent].append(name)

    def _begin(self, fd: int) -> None:
        """Is this the tree we know, and is it new to us?"""
        stat = os.fstat(fd)
        self.root_id = f"{stat.st_dev}:{stat.st_ino}"
        known = self.book.has_rows()
        if self.row.root_id not in (None, self.root_id):
            if known and not self._knows_any(fd):
                raise NotMounted(
                    f"the root {self.source.root} is another folder than before, and nothing we know is in it: "
                    "is it mounted? (for another tree, use another source name)"
                )
            if not known:
                self.row.history_until = None  # what we scanned was the folder under a missing mount
        self.report.history = self.book.history = self.row.history_until is None

    def _knows_any(self, fd: int) -> bool:
        names = set(self.inside[b""]) | {name for name, row in self.book.rows_in(b"").items() if row.state != "gone"}
        with os.scandir(fd) as entries:
            return any(os.fsencode(entry.name) in names for entry in entries)

    def _visit(self, parent: _Folder, name: bytes) -> None:
        path = parent.path + b"/" + name if parent.path else name
        try:
            if path in self.before and path not in self.inside:
                stat = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
                if stat_module.S_ISDIR(stat.st_mode) and self._is_unchanged(path, stat.st_mtime_ns):
                    return
            fd = opening.open_directory(name, parent.fd)
        except OSError as error:
            self._cannot(path, error, parent.blocked.get(name))
            return
        if name in parent.blocked:
            self.book.gone(parent.blocked[name].id)
        self._enter(path, fd)

    def _is_unchanged(self, path: bytes, mtime_ns: int) -> bool:
        before = self.before.get(path)
        if self.sweep or before is None or not before.clean or before.mtime_ns != mtime_ns:
            return False
        self.report.folders_unchanged += 1
        return True

    def _enter(self, path: bytes, fd: int) -> None:
        folder = _Folder(path, fd, [], {})
        self.open.append(folder)
        try:
            mtime_ns = os.fstat(fd).st_mtime_ns
            if self._is_unchanged(path, mtime_ns):
                folder.todo = list(self.inside.get(path, ())) if len(self.open) <= self.source.max_depth else []
            else:
                self._list(folder, mtime_ns)
        except OSError as error:
            if not path:
                raise
            self._cannot(path, error, None)

    def _list(self, folder: _Folder, mtime_ns: int) -> None:
        at = self.clock()
        rows = self.book.rows_in(folder.path)
        too_deep = len(self.open) > self.source.max_depth
        found = listing.read(folder.fd, self.wanted, rows, too_deep=too_deep)
        self._leave_out_erased(folder.path, found, rows)
        self.report.folders_listed += 1
        self.files += len(found.files) + len(found.refused)
        failpoint("scan.listed")
        self._compare_all(folder.path, found, rows, at)
        folders = set(found.folders)
        folder.blocked = {name: row for name, row in rows.items() if name in folders and row.state == "refused"}
        gone = [row.id for name, row in rows.items() if self._is_gone(name, row, found, folder)]
        for row_id in gone:
            self.book.gone(row_id)
        for name in self.inside.get(folder.path, ()):
            if name not in folders:
                self.book.gone_folder(folder.path + b"/" + name if folder.path else name)
        folder.todo = sorted(found.folders, reverse=True)
        self._note(folder.path, mtime_ns, at, bool(gone) or found.vanished > 0, found)

    def _leave_out_erased(self, folder: bytes, found: listing.Listing, rows: dict[bytes, listing.Row]) -> None:
        """A file that was erased and still lies there is not told about again."""
        if not self.any_erased:
            return
        before = folder + b"/" if folder else b""
        refused = {name: look for name, (look, _) in found.refused.items() if look is not None}
        new = {
            before + name: (look.ino, look.size_bytes, look.mtime_ns)
            for name, look in {**found.files, **refused}.items()
            if name not in rows
        }
        if not new:
            return
        with self.db.read() as session:
            erased = tombstones.buried(session, self.row.id, new)
        for path in erased:
            name = path[len(before) :]
            (found.files if name in found.files else found.refused).pop(name)

    @staticmethod
    def _is_gone(name: bytes, row: listing.Row, found: listing.Listing, folder: _Folder) -> bool:
        there = name in found.files or name in found.refused or name in folder.blocked
        return row.state != "gone" and not there

    def _note(self, path: bytes, mtime_ns: int, at: float, unsure: bool, found: listing.Listing) -> None:
        """Say that the folder was listed. What is missing must be missed again until it is written down as gone."""
        before = self.before.get(path)
        self.report.refused["vanished"] += found.vanished
        self.report.refused["extension"] += found.others - (before.others if before else 0)
        now = listing.listed(before, mtime_ns, at, found.others, unsure=unsure)
        if now != before:
            self.book.listed(path, now)

    def _compare_all(self, folder: bytes, found: listing.Listing, rows: dict[bytes, listing.Row], at: float) -> None:
        before = folder + b"/" if folder else b""
        user = user_of(self.user, before) if self.user_is_folder else None
        add, files, known = self.book.add, found.files, 0
        # By name: then every index grows at its end.
        for name in sorted(files):
            row = rows.get(name) if rows else None
            if row is None:  # the way of nearly every file of a first scan
                path = before + name
                add(path, folder, user if self.user_is_folder else user_of(self.user, path), at, files[name])
            else:
                known += 1
                self._compare(folder, name, row, listing.change(row, files[name], None), at)
        self.report.new += len(files) - known
        for name, (look, reason) in sorted(found.refused.items()):
            self._compare(folder, name, rows.get(name), listing.change(rows.get(name), look, reason), at)

    def _compare(
        self, folder: bytes, name: bytes, row: listing.Row | None, values: dict[str, Any] | None, at: float
    ) -> None:
        if values is None:
            return
        values["observed_at"] = at
        if values["reason"]:
            self.report.refused[values["reason"]] += 1
        else:
            self.report.changed += 1
        if row is not None:
            self.book.change(row, values)
            return
        path = folder + b"/" + name if folder else name
        own: dict[str, Any] = {"path": path, "folder": folder, "user_name": user_of(self.user, path)}
        self.book.refuse({**own, **values, "first_seen_at": at})

    def _cannot(self, path: bytes, error: OSError, row: listing.Row | None) -> None:
        """A folder that cannot be entered: refused, or trouble that makes the scan incomplete."""
        reason = opening.reason_of(error)
        if reason is None:
            self.report.incomplete = f"{error.strerror}: {shown_path(path)}"
        elif reason != "vanished":
            folder, _, name = path.rpartition(b"/")
            row = row or self.book.rows_in(folder).get(name)
            self._compare(folder, name, row, listing.change(row, None, reason), self.clock())

    def _say_how_far(self) -> None:
        if self.clock.passed_s >= self.progress_at:
            self.progress_at = self.clock.passed_s + self.progress_s
            count = self.report.folders_listed + self.report.folders_unchanged
            log.info("scanning", extra={"source": self.row.name, "folders": count, "files_listed": self.files})

    def _say_done(self) -> None:
        report = self.report
        extra = {"source": self.row.name, "new": report.new, "changed": report.changed, "gone": report.gone}
        if report.incomplete:
            log.warning("scan incomplete", extra={**extra, "reason": report.incomplete})
        elif report.new or report.changed or report.gone:
            log.info("scanned", extra=extra)


def user_of(pattern: re.Pattern[str], path: bytes) -> str | None:
    """The `user` a path names, as text that can be kept and shown; None when the pattern says nothing of one."""
    match = pattern.search(os.fsdecode(path))
    user = match.groupdict().get("user") if match else None
    return None if user is None else os.fsencode(user).decode("utf-8", "backslashreplace")
