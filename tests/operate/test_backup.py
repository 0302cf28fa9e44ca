"""Does everything come back, on both databases, also when it was written to meanwhile, and is damage noticed?"""

import json
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from tests.support.bundles import picture
from tests.support.receiver import Receiver
from tests.support.shelf import jpeg, put_model
from tests.support.world import World
from ticketbot import flow
from ticketbot.app import App
from ticketbot.db import Database, connect, migrate
from ticketbot.db.models import Audit, Base, Ticket
from ticketbot.deliver import admin
from ticketbot.deliver.sign import new_secret
from ticketbot.errors import Conflict, NotReady, StorageError, UsageError
from ticketbot.operate import backup, restore, verify

NOW = 1_800_000_000.0


@pytest.fixture
def desk():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def new_url(request):
    """new_url() -> the URL of an empty database; "" for SQLite in the data folder."""
    if request.param == "sqlite":
        yield lambda: ""
        return
    cluster = request.getfixturevalue("pg_cluster")
    made = []

    def new():
        engine = connect(cluster.url("postgres")).engine.execution_options(isolation_level="AUTOCOMMIT")
        name = f"backup_{time.monotonic_ns()}"
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        made.append(name)
        return cluster.url(name)

    yield new
    engine = connect(cluster.url("postgres")).engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def make_world(folder, url, desk):
    """Three answered tickets, a model, a secret in the database."""
    folder.mkdir(parents=True)
    world = World(folder, desk.url, new_secret(), url)
    world.once()
    db = connect(world.settings.database_url)
    put_model(db, world.settings)
    admin.rotate_secret(db, world.settings, "desk", "test", NOW)
    db.close()
    for number in range(3):
        world.add("7", f"{number}.jpg", jpeg(picture(number, px=96, seed=number)), f"T-{number}")
    world.once()
    return world


def back_up(world, out, **options):
    db = Database(world.settings.database_url)
    try:
        return backup.make(db, world.settings, world.config, out, NOW, **{"pictures": False, **options})
    finally:
        db.close()


def elsewhere(folder, url, world):
    """A house with the same tree and an empty database."""
    folder.mkdir()
    config = folder / "ticketbot.toml"
    text = world.config.read_text().replace('root = "attach"', f'root = "{world.tree}"')
    config.write_text(text.replace(f'url = "{world.settings.database.url}"', f'url = "{url}"', 1))
    from ticketbot import settings

    return settings.load(config, {})


def everything(url):
    """{table: its rows, sorted}, without what a restore itself writes."""
    db = Database(url)
    with db.read() as session:
        rows = {
            table.name: sorted(repr(tuple(row)) for row in session.execute(select(table)))
            for table in Base.metadata.sorted_tables
            if table.name not in ("audit", "lease", "directory")
        }
    db.close()
    return rows


def test_everything_comes_back_elsewhere_and_goes_on(tmp_path, new_url, desk):
    world = make_world(tmp_path / "one", new_url(), desk)
    made = back_up(world, tmp_path / "copy", pictures=True)
    assert (made.pictures, made.models, made.models_missing) == (3, ["test-1"], [])
    settings = elsewhere(tmp_path / "two", new_url(), world)
    report = restore.restore(settings, tmp_path / "copy", NOW, who="test")
    assert (report.pictures, report.lost, report.to_stage) == (3, 0, 0)
    assert everything(settings.database_url) == everything(world.settings.database_url)
    app = App(settings)
    try:
        told = len(desk.requests)
        assert flow.until_idle(app)["stuck"] == []
        assert len(desk.requests) == told, "nothing that was said is said again"
        world.add("8", "new.jpg", jpeg(picture(1, px=96, seed=77)), "T-9")
        flow.until_idle(app)
        with app.db.read() as session:
            assert session.scalar(select(Ticket.category).where(Ticket.ticket == "T-9")) is not None
            assert session.scalar(select(Audit.what).order_by(Audit.id.desc())) == "restored"
    finally:
        app.close()
    assert desk.requests[-1].verified


def test_pictures_come_from_the_old_staging_area_or_from_the_tree(tmp_path, desk):
    world = make_world(tmp_path / "one", "", desk)
    back_up(world, tmp_path / "copy")
    by_reference = elsewhere(tmp_path / "two", "", world)
    report = restore.restore(
        by_reference, tmp_path / "copy", NOW, who="test", staging=world.settings.data_dir / "staging"
    )
    assert report.pictures == 3
    nowhere = elsewhere(tmp_path / "three", "", world)
    report = restore.restore(nowhere, tmp_path / "copy", NOW, who="test")
    assert (report.pictures, report.to_stage, report.lost) == (0, 3, 0)
    app = App(nowhere)
    told = len(desk.requests)
    try:
        flow.until_idle(app)
    finally:
        app.close()
    assert len(list((nowhere.data_dir / "staging").glob("??/*.jpg"))) == 3
    assert len(desk.requests) == told
    (world.tree / "7" / "0.jpg").unlink()


def test_a_backup_while_it_is_written_to_is_of_one_moment(tmp_path, new_url, desk):
    """Tickets are added in pairs, each pair in one transaction: a backup never holds an odd number."""
    world = make_world(tmp_path / "one", new_url(), desk)
    db, done, written = connect(world.settings.database_url), threading.Event(), []

    def write():
        while not done.is_set():
            with db.write() as session:
                number = len(written)
                session.add(Ticket(endpoint="x", ticket=f"a{number}", seq=0))
                session.flush()
                session.add(Ticket(endpoint="x", ticket=f"b{number}", seq=0))
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 20:
            time.sleep(0.01)
        made = back_up(world, tmp_path / "copy")
        during = len(written)
    finally:
        done.set()
        writer.join()
        db.close()
    assert during > 20, "it was written to meanwhile"
    settings = elsewhere(tmp_path / "two", new_url(), world)
    restore.restore(settings, tmp_path / "copy", NOW, who="test")
    copy = Database(settings.database_url)
    with copy.read() as session:
        count = session.scalar(select(func.count()).select_from(Ticket).where(Ticket.endpoint == "x"))
    copy.close()
    assert count % 2 == 0 and 40 <= count <= 2 * during + 2
    assert made.rows["ticket"] == count + 3


def test_only_its_owner_may_read_it_and_the_keys_are_in_it(tmp_path, desk):
    world = make_world(tmp_path / "one", "", desk)
    back_up(world, tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700
    files = [path for path in (tmp_path / "copy").rglob("*") if path.is_file() and path.name != "backup.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.name in ("secret.key", "settings.toml")} == {
        0o600
    }
    assert (tmp_path / "copy" / "secret.key").read_bytes() == (world.settings.data_dir / "secret.key").read_bytes()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "backup.json").unlink(), "it has no backup.json"),
        (lambda folder: (folder / "backup.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "backup.json").write_text('{"format_version": 9}'), "of format 9"),
        (lambda folder: (folder / "secret.key").unlink(), "lacks secret.key"),
        (lambda folder: (folder / "database.db").write_bytes(b"torn"), "database.db in the backup"),
        (lambda folder: (folder / "models/test-1/model.onnx").write_bytes(b"x"), "model.onnx in the backup"),
    ],
)
def test_damage_is_one_sentence_and_nothing_is_put_back(tmp_path, desk, damage, said):
    world = make_world(tmp_path / "one", "", desk)
    back_up(world, tmp_path / "copy")
    damage(tmp_path / "copy")
    settings = elsewhere(tmp_path / "two", "", world)
    with pytest.raises(UsageError, match=said):
        restore.restore(settings, tmp_path / "copy", NOW, who="test")
    assert not (settings.data_dir / "ticketbot.db").exists()


def test_rows_that_are_missing_are_noticed_even_when_the_hash_is_right(tmp_path, desk):
    world = make_world(tmp_path / "one", "", desk)
    back_up(world, tmp_path / "copy")
    path = tmp_path / "copy" / "backup.json"
    manifest = json.loads(path.read_text())
    manifest["rows"]["ticket"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="the table ticket in the backup has 3 rows instead of 4"):
        verify.backup(tmp_path / "copy")


def test_an_installation_that_is_there_is_never_written_over(tmp_path, new_url, desk):
    world = make_world(tmp_path / "one", new_url(), desk)
    back_up(world, tmp_path / "copy")
    before = everything(world.settings.database_url)
    with pytest.raises(Conflict, match="already"):
        restore.restore(world.settings, tmp_path / "copy", NOW, who="test")
    assert everything(world.settings.database_url) == before


def test_a_folder_that_is_there_is_not_written_into(tmp_path, desk):
    world = make_world(tmp_path / "one", "", desk)
    (tmp_path / "copy").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        back_up(world, tmp_path / "copy")


def test_a_disk_that_fills_up_leaves_no_half_backup(tmp_path, desk):
    world = make_world(tmp_path / "one", "", desk)
    (tmp_path / "full").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="cannot write the backup"):
        back_up(world, tmp_path / "full" / "copy")
    assert not list(tmp_path.glob(".*tmp"))


def test_an_empty_database_is_nothing_to_back_up(tmp_path):
    world = World(tmp_path)
    world.settings.data_dir.mkdir()
    connect(world.settings.database_url).close()
    with pytest.raises(NotReady, match="nothing to back up"):
        back_up(world, tmp_path / "copy")


@pytest.mark.postgres
def test_a_backup_of_the_other_kind_of_database_is_refused(tmp_path, desk, pg_url):
    world = make_world(tmp_path / "one", "", desk)
    back_up(world, tmp_path / "copy")
    settings = elsewhere(tmp_path / "two", pg_url, world)
    db = connect(pg_url)
    Base.metadata.drop_all(db.engine)
    db.close()
    with pytest.raises(Conflict, match=r"database\.url is PostgreSQL, but the backup is of SQLite"):
        restore.restore(settings, tmp_path / "copy", NOW, who="test")


def test_the_commands_say_what_they_did(tmp_path, desk):
    world = make_world(tmp_path / "one", "", desk)
    made = world.run("backup", "--pictures", "--json")
    folder = json.loads(made.stdout)["folder"]
    assert made.returncode == 0 and folder.startswith(str(world.settings.data_dir / "backups"))
    checked = world.run("restore", folder, "--check")
    assert checked.returncode == 0 and "is whole" in checked.stdout
    refused = world.run("restore", folder)
    assert refused.returncode == 1 and "already" in refused.stderr and "Traceback" not in refused.stderr
    kept = tmp_path / "kept"
    shutil.move(folder, kept)
    shutil.rmtree(world.settings.data_dir)
    back = world.run("restore", str(kept))
    assert back.returncode == 0, back.stderr
    assert "3 pictures are back; schema " + str(migrate.head(connect(world.settings.database_url))) in back.stdout


def backed_up(world, *options):
    done = world.run("backup", "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_of_the_nightly_ones_the_newest_are_kept(tmp_path):
    world = World(tmp_path)
    world.once()
    place = world.settings.data_dir / "backups"
    first = backed_up(world)
    assert first["removed"] == []
    mine, half, killed = place / "mine", place / "ticketbot-2020-01-01T000000Z", place / ".ticketbot-x.7.tmp"
    for folder in (mine, half, killed):
        folder.mkdir()
    os.utime(killed, (1, 1))
    time.sleep(1.1)  # their names are seconds
    second = backed_up(world, "--keep", "1")
    assert sorted(second["removed"]) == sorted([first["folder"], str(killed)])
    assert sorted(path.name for path in place.iterdir()) == sorted(["mine", half.name, Path(second["folder"]).name])
    assert "2020" not in str(second["removed"]), "what has no backup.json is not ours to judge"


def test_where_the_others_lie_is_not_ours_to_tidy(tmp_path):
    world = World(tmp_path)
    world.once()
    done = world.run("backup", "--keep", "1", "--out", str(tmp_path / "copy"))
    assert done.returncode == 2 and "--keep is for data_dir/backups" in done.stderr
    assert not (tmp_path / "copy").exists()


def test_when_the_last_one_was_made_is_known(db):
    with db.read() as session:
        assert backup.last_at(session) is None
    for at in (NOW, NOW + 9, NOW + 5):
        backup.note(db, Path("/backup/x"), "ann", at)
    with db.read() as session:
        assert backup.last_at(session) == NOW + 9
