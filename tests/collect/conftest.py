"""A tree, and the steps of collecting as one call each."""

import socket
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.support.settings import make_settings
from ticketbot.collect import staging, walk
from ticketbot.db.models import File, Picture
from ticketbot.db.models import Source as SourceRow

JPEG = b"\xff\xd8\xff\xe0picture "


class Collector:
    """scan() and stage() a source named `erp`; `now` moves by hand, and by what the steps really take."""

    def __init__(self, db, tmp_path, overrides):
        self.db = db
        self.root = tmp_path / "erp"
        self.root.mkdir(exist_ok=True)
        # SQLite lies in tmp_path too: away from the tree.
        self.settings = make_settings(tmp_path, {"sources.erp.root": self.root, **overrides})
        self.now = 1_000_000.0

    @property
    def source(self):
        return self.settings.sources["erp"]

    @property
    def data_dir(self):
        return self.settings.data_dir

    def write(self, name, content=None):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG + str(name).encode("utf-8", "surrogateescape") if content is None else content)
        return path

    def scan(self, after_s=0.0, **options):
        return self._timed(after_s, walk.scan, self.settings.collect, options)

    def stage(self, after_s=0.0, **options):
        return self._timed(after_s, staging.stage, self.data_dir, options)

    def _timed(self, after_s, step, argument, options):
        self.now += after_s
        began = time.monotonic()
        try:
            return step(self.db, "erp", self.source, argument, now=self.now, **options)
        finally:
            self.now += time.monotonic() - began

    def past_history(self):
        """Let the first scan be over: what comes now is news."""
        self.scan()
        return self

    def collect(self):
        """Scan, and stage what a second look finds settled."""
        self.scan(5)
        return self.stage(self.source.settle_s)

    def files(self):
        """path -> (state, reason) of every row."""
        with self.db.read() as session:
            rows = session.execute(select(File.path, File.state, File.reason))
            return {bytes(path): (state, reason) for path, state, reason in rows}

    def file(self, path):
        with self.db.read() as session:
            return session.scalar(select(File).where(File.path == path))

    def row(self):
        with self.db.read() as session:
            return session.scalar(select(SourceRow).where(SourceRow.name == "erp"))

    def pictures(self):
        with self.db.read() as session:
            return {picture.sha256: picture for picture in session.scalars(select(Picture))}

    def stored(self):
        return sorted(path.name for path in (self.data_dir / "staging").glob("??/*"))


@pytest.fixture
def collector(db, tmp_path):
    """collector({"sources.erp.settle_s": 0}) -> Collector on an empty tree."""
    return lambda overrides=None: Collector(db, tmp_path, overrides or {})


@pytest.fixture
def make_socket():
    """make_socket(path): a unix socket lies there; closed afterwards."""
    made = []

    def make(path: Path):
        found = socket.socket(socket.AF_UNIX)
        made.append(found)
        found.bind(str(path))

    yield make
    for found in made:
        found.close()
