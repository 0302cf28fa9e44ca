"""Databases to hurt."""

import pytest
from sqlalchemy import create_engine, text

from tests.support import postgres
from tests.support.needs import missing


@pytest.fixture
def empty_pg_url(pg_cluster):
    """The URL of a PostgreSQL database without any table."""
    name = "hurt"
    sql(pg_cluster.url(), f"CREATE DATABASE {name}")
    yield pg_cluster.url(name)
    sql(pg_cluster.url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def own_cluster():
    """A PostgreSQL of this test alone, with fsync, to be stopped at any moment."""
    programs = postgres.programs()
    if programs is None:
        missing("PostgreSQL is not installed (apt-get install postgresql)")
    cluster = postgres.Cluster(programs, durable=True)
    cluster.start()
    try:
        sql(cluster.url(), "CREATE DATABASE hurt")
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def url_of(request):
    """url_of("sqlite" | "postgres") -> an empty database for an Installation."""
    return lambda kind: request.getfixturevalue("empty_pg_url") if kind == "postgres" else ""


def sql(url, statement):
    """Run one statement outside any transaction; -> its rows, if it has some."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        done = connection.execute(text(statement))
        rows = done.all() if done.returns_rows else []
    engine.dispose()
    return rows
