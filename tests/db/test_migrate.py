"""Do migrations lead to the schema the models describe?"""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from ticketbot.db import connect, migrate
from ticketbot.db.models import Base


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty(request, tmp_path):
    """A database without any table."""
    if request.param == "sqlite":
        database = connect(f"sqlite:///{tmp_path / 'empty.db'}")
    else:
        database = connect(request.getfixturevalue("pg_url"))
        Base.metadata.drop_all(database.engine)
    yield database
    database.close()


def test_an_empty_database_becomes_the_models_schema(empty):
    migrate.upgrade(empty)
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []
    assert migrate.current(empty) == migrate.head(empty)


def test_two_that_start_at_once_migrate_once(empty):
    failures = []

    def run():
        try:
            database = connect(empty.url)
            migrate.upgrade(database)
            database.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert "picture" in inspect(empty.engine).get_table_names()
