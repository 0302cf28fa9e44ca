"""How do we ask somebody else's database, and how do we keep from hurting it?

Read-only: SQLite is opened with mode=ro, PostgreSQL and MariaDB/MySQL are asked in a READ ONLY transaction that is
rolled back. With a time limit, bound parameters only, and at most MAX_TICKETS rows read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, String, TextClause, bindparam, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ticketbot.errors import SettingsError

CONNECT_TIMEOUT_S = 5
# A file on more tickets than this is a wrong query, not an attachment.
MAX_TICKETS = 100
# SQLite asks us every so many steps of its machine whether to go on.
SQLITE_STEPS = 10_000
# A socket of MariaDB knows no limit for a whole query: an answer that does not come at all ends this much later.
LATE_S = 2
# What PostgreSQL says of a text that no value of the column can be (a folder "thumbs" where users are numbers): no row.
NO_SUCH_VALUE = frozenset({"22P02", "22003", "22007", "22008"})
# It could not tell the type of a bound value from where it stands, as in CONCAT(:dir, '/').
UNKNOWN_TYPE = "42P18"


class LookupFailed(Exception):
    """It could not be asked, or did not answer in time. Says nothing about the ticket."""


class NotText(Exception):
    """A name with bytes that are no UTF-8: a database would refuse it or, worse, match something else."""


def is_text(value: Any) -> bool:
    """Can a database take it as text? Not with lone surrogates (undecodable bytes), nor with NUL."""
    return not isinstance(value, str) or ("\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value))


class Lookups:
    """Connections to the databases that know whose ticket a file is, one engine a URL. Close when done."""

    def __init__(self) -> None:
        self._engines: dict[tuple[str, float], Engine] = {}

    def ask(self, url: str, query: str, variables: Mapping[str, Any], timeout_s: float) -> list[Any]:
        """First column of each row; see `rows`."""
        return [next(iter(row.values())) for row in self.rows(url, query, variables, timeout_s)]

    def rows(
        self, url: str, query: str, variables: Mapping[str, Any], timeout_s: float, most: int = MAX_TICKETS
    ) -> list[dict[str, Any]]:
        """The rows by column name. Variables the query does not name are left out; what it names must be there.

        Raises LookupFailed, NotText, or SettingsError for a URL that is no database we know.
        """
        engine = self._engine(url, timeout_s)
        statement = text(query)
        names = statement.compile(engine).params
        if missing := sorted(set(names) - set(variables)):
            raise LookupFailed(f"the query asks for :{', :'.join(missing)}, which no pattern gives")
        if not all(is_text(variables[name]) for name in names):
            raise NotText
        values = {name: variables[name] for name in names}
        try:
            found = self._read(engine, statement, values, timeout_s, most)
        except SQLAlchemyError as error:
            if _state(error) in NO_SUCH_VALUE:
                return []
            if _state(error) != UNKNOWN_TYPE:
                raise LookupFailed(_short(error)) from None
            found = self._read_texts(engine, statement, values, timeout_s, most)
        if len(found) > most:
            raise LookupFailed(f"more than {most} rows: the query does not pick one file's tickets")
        return found

    @staticmethod
    def _read(
        engine: Engine, statement: TextClause, values: Mapping[str, Any], timeout_s: float, most: int
    ) -> list[dict[str, Any]]:
        with engine.connect() as connection, _limited(connection, timeout_s):
            result = connection.execute(statement, values)
            found = [dict(row) for row in result.mappings().fetchmany(most + 1)]
            connection.rollback()
        return found

    def _read_texts(
        self, engine: Engine, statement: TextClause, values: Mapping[str, Any], timeout_s: float, most: int
    ) -> list[dict[str, Any]]:
        texts = [bindparam(name, type_=String()) for name, value in values.items() if isinstance(value, str)]
        try:
            return self._read(engine, statement.bindparams(*texts), values, timeout_s, most)
        except SQLAlchemyError as error:
            raise LookupFailed(_short(error)) from None

    def close(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()

    def _engine(self, url: str, timeout_s: float) -> Engine:
        if (url, timeout_s) not in self._engines:
            self._engines[url, timeout_s] = _open(url, timeout_s)
        return self._engines[url, timeout_s]


def _open(url: str, timeout_s: float) -> Engine:
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        # Opened for each look: the ERP may replace the file.
        address = f"file:{quote(parsed.database or '')}?mode=ro"
        engine = create_engine(
            "sqlite://",
            poolclass=NullPool,
            creator=lambda: sqlite3.connect(address, uri=True, timeout=1.0, check_same_thread=False),
        )
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
        return engine
    if kind == "postgresql":
        limits = {"connect_timeout": CONNECT_TIMEOUT_S}
        try:
            engine = create_engine(parsed, pool_size=1, pool_pre_ping=True, connect_args=limits)
        except ModuleNotFoundError:
            do = "pip install 'ticketbot[postgres]', and begin the url with postgresql+psycopg://"
            raise SettingsError(f"PostgreSQL needs a driver: {do}") from None
        return engine.execution_options(postgresql_readonly=True)
    if kind in ("mysql", "mariadb"):
        return _open_mysql(url, timeout_s)
    raise SettingsError(f"a ticket lookup can ask sqlite, postgresql, mysql and mariadb, not {kind}")


def _open_mysql(url: str, timeout_s: float) -> Engine:
    limits = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": timeout_s + LATE_S, "write_timeout": timeout_s}
    try:
        engine = create_engine(url, pool_size=1, pool_pre_ping=True, connect_args=limits)
    except ModuleNotFoundError:
        raise SettingsError("MariaDB and MySQL need a driver: pip install 'ticketbot[mysql]'") from None

    @event.listens_for(engine, "connect")
    def _read_only(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")

    return engine


@contextmanager
def _limited(connection: Connection, timeout_s: float) -> Iterator[None]:
    kind = connection.dialect.name
    if kind == "postgresql":
        connection.execute(
            text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(int(timeout_s * 1000))}
        )
    elif kind in ("mysql", "mariadb"):
        if getattr(connection.dialect, "is_mariadb", False):
            connection.execute(text("SET SESSION max_statement_time = :s"), {"s": timeout_s})
        else:
            connection.execute(text("SET SESSION max_execution_time = :ms"), {"ms": int(timeout_s * 1000)})
    else:
        ends = time.monotonic() + timeout_s
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > ends, SQLITE_STEPS)
    yield


def _state(error: SQLAlchemyError) -> str | None:
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def _short(error: SQLAlchemyError) -> str:
    """The driver's own first line: neither the statement with a user's values nor the URL with a password."""
    lines = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
