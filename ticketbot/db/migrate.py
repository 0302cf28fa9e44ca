"""Is the database's schema the one this code needs, and how does it get there?

Two processes that start at once both ask; one migrates while the other waits: PostgreSQL by an advisory lock, SQLite
by a lock file beside the database.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from ticketbot.db.session import Database
from ticketbot.errors import NotReady
from ticketbot.failpoints import failpoint

# "ticketbo" as a number: the key of PostgreSQL's advisory lock.
LOCK_KEY = 0x7469636B6574626F


def config(db: Database) -> Config:
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    found.attributes["engine"] = db.engine
    return found


def upgrade(db: Database, revision: str = "head") -> None:
    """Bring the schema forward to `revision`; nothing happens when it is there already.

    Raises NotReady for a schema that a newer ticketbot made.
    """
    here = current(db)
    if here == head(db):
        return
    if here is not None and here not in known(db):
        raise NotReady(
            f"the database has schema {here}, which a newer ticketbot made (this one knows {head(db)}); "
            "install that version again, or restore a backup that was made before"
        )
    with _alone(db):
        failpoint("migrate.locked")
        if current(db) != revision:
            command.upgrade(config(db), revision)
            failpoint("migrate.made")


def current(db: Database) -> str | None:
    with db.reader.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head(db: Database) -> str | None:
    return ScriptDirectory.from_config(config(db)).get_current_head()


def known(db: Database) -> list[str]:
    """Every schema that was ever released, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(config(db)).walk_revisions()]


@contextmanager
def _alone(db: Database) -> Iterator[None]:
    if db.is_sqlite:
        path = db.url.removeprefix("sqlite:///").split("?")[0]
        with open(f"{path}.migrating", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with db.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
