"""Fixtures that every part uses: `db` (SQLite and PostgreSQL), `settings_with`."""

import itertools

import pytest
from sqlalchemy import create_engine, text

from tests.support import postgres
from tests.support.needs import missing
from tests.support.settings import make_settings
from ticketbot.db import connect
from ticketbot.db.models import Base

_numbers = itertools.count()


@pytest.fixture(scope="session")
def pg_cluster():
    """A running PostgreSQL with an empty schema in the database `template_ticketbot`."""
    programs = postgres.programs()
    if programs is None:
        missing("PostgreSQL is not installed (apt-get install postgresql)")
    cluster = postgres.Cluster(programs)
    cluster.start()
    try:
        _sql(cluster, "CREATE DATABASE template_ticketbot")
        engine = create_engine(cluster.url("template_ticketbot"))
        Base.metadata.create_all(engine)
        engine.dispose()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def pg_url(pg_cluster):
    """The URL of a new database with our schema, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    _sql(pg_cluster, f"CREATE DATABASE {name} TEMPLATE template_ticketbot")
    yield pg_cluster.url(name)
    _sql(pg_cluster, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def db_url(request, tmp_path):
    """The URL of an empty database with our schema, once on SQLite and once on PostgreSQL."""
    if request.param == "postgres":
        return request.getfixturevalue("pg_url")
    url = f"sqlite:///{tmp_path / 'ticketbot.db'}"
    made = connect(url)
    Base.metadata.create_all(made.engine)
    made.close()
    return url


@pytest.fixture
def db(db_url):
    """An open Database with our schema."""
    opened = connect(db_url)
    yield opened
    opened.close()


@pytest.fixture
def settings_with(tmp_path):
    """settings_with({"deliver.jitter": 0}) -> Settings with data in tmp_path/var."""
    return lambda overrides=None: make_settings(tmp_path, overrides)


def _sql(cluster, statement):
    engine = create_engine(cluster.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
