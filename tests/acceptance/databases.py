"""Which databases does a case run on? SQLite always, PostgreSQL where it is installed."""

import contextlib

from tests.support import postgres
from tests.support.needs import IN_CI
from ticketbot.db import connect
from ticketbot.db.models import Base


@contextlib.contextmanager
def sqlite(folder):
    """An empty SQLite database with our schema in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    db = connect(f"sqlite:///{folder / 'ticketbot.db'}")
    Base.metadata.create_all(db.engine)
    try:
        yield db
    finally:
        db.close()


@contextlib.contextmanager
def each(request):
    """[(folder, Database)]: one on SQLite and, where PostgreSQL is (always in CI), one on PostgreSQL."""
    tmp_path = request.getfixturevalue("tmp_path")
    with contextlib.ExitStack() as opened:
        found = [(tmp_path / "sqlite", opened.enter_context(sqlite(tmp_path / "sqlite")))]
        if postgres.programs() is not None or IN_CI:
            db = connect(request.getfixturevalue("pg_url"))
            opened.callback(db.close)
            (tmp_path / "postgres").mkdir()
            found.append((tmp_path / "postgres", db))
        yield found
