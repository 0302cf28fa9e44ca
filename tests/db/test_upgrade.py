"""Does every released schema become the present one with its data in it? On SQLite and PostgreSQL.

Each table of the old schema gets rows with a value in every column, made from what the old database itself says about
its columns, so that a new migration is tried without a change here.
"""

import hashlib
import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import JSON, LargeBinary, MetaData, Numeric, String, Text, inspect, select, text
from sqlalchemy.types import BigInteger, Boolean, Float, Integer

from ticketbot.db import connect, migrate
from ticketbot.db.models import Base

ROWS = 2
FROZEN = "153ab4703edaabeeb677fc10c7354ab290cee3b9cfc1ed116bac14dd1400f74c"
# The column a check is about: the first word of it, in both dialects.
COLUMN = re.compile(r"\w+")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty(request, tmp_path):
    """A database without any table."""
    if request.param == "sqlite":
        database = connect(f"sqlite:///{tmp_path / 'old.db'}")
    else:
        database = connect(request.getfixturevalue("pg_url"))
        Base.metadata.drop_all(database.engine)
    yield database
    database.close()


def released():
    database = connect("sqlite:///:memory:", make_folder=False)
    try:
        return list(reversed(migrate.known(database)))
    finally:
        database.close()


def choices(db, table):
    """{column: the values its check constraint allows}"""
    found = {}
    for check in inspect(db.engine).get_check_constraints(table):
        found[COLUMN.search(check["sqltext"])[0]] = re.findall(r"'([^']*)'", check["sqltext"])
    return found


def value(column, number, allowed, parents):
    """A value for this column of row `number`; another one for each row."""
    if column.name in allowed:
        return allowed[column.name][number % len(allowed[column.name])]
    if column.foreign_keys:
        (key,) = column.foreign_keys
        if key.column.table is column.table:
            return None
        return parents[key.column.table.name][number][key.column.name]
    kind = column.type
    if isinstance(kind, Boolean):
        return bool(number % 2)
    if isinstance(kind, BigInteger | Integer):
        return number + 1
    if isinstance(kind, Float | Numeric):
        return 1000.5 + number
    if isinstance(kind, LargeBinary):
        return b"\xff\x00 bytes %d" % number
    if isinstance(kind, JSON) or "json" in type(kind).__name__.lower():
        return {"n": [number, "ü"]}
    assert isinstance(kind, String | Text), (column, kind)
    return f"ü{number}"[: kind.length or 9]


def fill(db):
    """ROWS rows in every table. -> {table: its rows}"""
    known = MetaData()
    known.reflect(db.engine)
    rows, allowed = {}, {table.name: choices(db, table.name) for table in known.sorted_tables}
    with db.write() as session:
        for table in known.sorted_tables:
            if table.name == "alembic_version":
                continue
            rows[table.name] = [
                {column.name: value(column, number, allowed[table.name], rows) for column in table.columns}
                for number in range(ROWS)
            ]
            session.execute(table.insert(), rows[table.name])
    return rows


def kept(db, rows):
    """The rows of `rows` as they are now, with the columns that there still are."""
    known = MetaData()
    known.reflect(db.engine)
    with db.read() as session:
        for name, before in rows.items():
            table = known.tables[name]
            columns = [table.columns[column] for column in before[0] if column in table.columns]
            found = [dict(zip([one.name for one in columns], row, strict=True))
                     for row in session.execute(select(*columns))]  # fmt: skip
            yield name, before, found


@pytest.mark.parametrize("revision", released()[:-1])
def test_a_released_schema_with_data_becomes_the_present_one(empty, revision):
    migrate.upgrade(empty, revision)
    assert migrate.current(empty) == revision
    rows = fill(empty)
    assert len(rows) > 20
    migrate.upgrade(empty)
    assert migrate.current(empty) == migrate.head(empty)
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []
        if empty.is_sqlite:
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    for name, before, found in kept(empty, rows):
        assert len(found) == ROWS, name
        for row in before:
            assert {key: row[key] for key in found[0]} in found, name


def test_there_is_one_line_of_schemas_and_it_begins_with_the_first():
    numbers = released()
    assert numbers[0] == "0001" and numbers == sorted(numbers)


def test_the_first_schema_is_frozen():
    """0001 was released: installations stand on it. What changes the schema is a new file."""
    path = Path(migrate.__file__).parent / "migrations" / "versions" / "0001_first_schema.py"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == FROZEN
