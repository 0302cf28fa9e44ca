"""F13: a kill in the middle of what happens rarely: a migration, the publishing of a model, an import of labels.

Old or new, never half; the same command again finishes the work.
"""

import csv
import os
import random
import subprocess
import sys
import time

import pytest
from sqlalchemy import event, inspect, select

from tests.faults.sizes import SIZE
from tests.support import forks
from tests.support.bundles import make_bundle
from tests.support.installation import Installation, jpeg
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.world import ROOT
from ticketbot.contracts import bundle
from ticketbot.db import connect, migrate
from ticketbot.db.models import LabelEvent, Model
from ticketbot.retrain import shelf

STATEMENTS_OF_A_MIGRATION = 50
LABELS = 60
pytestmark = pytest.mark.slow


def migrate_and_die(url, after):
    """Killed right after so many statements."""
    db = connect(url)
    done = []

    @event.listens_for(db.engine, "after_cursor_execute")
    def count(*_):
        done.append(1)
        if len(done) == after:
            os.kill(os.getpid(), 9)

    migrate.upgrade(db)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_kill_during_the_migration_leaves_the_old_schema_or_the_new_one(kind, url_of, tmp_path):
    chance = random.Random(1)
    for number in range(SIZE.kills_of_each):
        url = url_of(kind) or f"sqlite:///{tmp_path / f'{number}.db'}"
        child = forks.start(migrate_and_die, url, chance.randrange(3, STATEMENTS_OF_A_MIGRATION))
        child.join(60)
        assert child.exitcode == -9
        db = connect(url)
        tables = set(inspect(db.engine).get_table_names()) - {"alembic_version"}
        assert not tables, f"half a schema: {tables}"
        migrate.upgrade(db)
        assert migrate.current(db) == migrate.head(db)
        db.close()
        if kind == "postgres":
            break  # one database; each kill needs an empty one


def killed_after(world, seconds, *arguments):
    """`ticketbot …` killed after so long, or done before."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TICKETBOT_")}
    command = [sys.executable, "-m", "ticketbot", "--config", str(world.config), *arguments]
    child = subprocess.Popen(command, cwd=ROOT, env={**environment, **world.more}, stderr=subprocess.DEVNULL)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return child.returncode


@pytest.fixture
def world(tmp_path):
    with Receiver(SECRET) as desk:
        made = Installation(tmp_path / "world", desk)
        yield made
        assert made.finish()["stuck"] == []
        assert made.wrongs(desk) == []


def spread(world):
    """Times at which to kill: from when Python has started to after the end."""
    began = time.monotonic()
    killed_after(world, 120, "models", "list")
    start_s = time.monotonic() - began
    return [start_s * (0.6 + 1.5 * one / SIZE.kills_of_each) for one in range(SIZE.kills_of_each)]


def test_a_kill_during_an_import_of_labels_says_each_word_once(world):
    folder = world.folder / "labels"
    folder.mkdir()
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "label"])
        for number in range(LABELS):
            (folder / f"{number}.jpg").write_bytes(jpeg(number))
            writer.writerow([f"{number}.jpg", world.settings.categories[number % 4]])
    command = ["labels", "import", str(folder / "labels.csv"), "--who", "ann"]
    codes = [killed_after(world, seconds, *command) for seconds in spread(world)]
    assert -9 in codes, "no kill came in time"
    assert world.run(*command).returncode == 0
    db = connect(world.settings.database_url)
    with db.read() as session:
        said = session.execute(select(LabelEvent.sha256, LabelEvent.new)).all()
    db.close()
    assert len(said) == len(set(said)) == LABELS


def test_a_kill_while_a_model_is_published_leaves_the_old_one_or_the_new_one(world):
    for number, seconds in enumerate(spread(world)):
        model_id = f"m{number + 2}"
        make_bundle(world.folder / model_id, model_id=model_id)
        killed_after(world, seconds, "models", "import", str(world.folder / model_id), "--promote")
        db = connect(world.settings.database_url)
        with db.read() as session:
            (champion,) = session.scalars(select(Model.id).where(Model.state == "champion"))
        db.close()
        bundle.read(shelf.folder_of(world.settings, champion))
    assert world.run("models", "import", str(world.folder / model_id), "--promote").returncode == 0
