"""Whatever is broken, and whatever is asked: one sentence and an exit code, never a stack trace?

One line of ARGUMENTS for each command there is; a command that is missing here fails the first test.
"""

import os
import shutil
import sqlite3
import subprocess

import click
import pytest
from click.testing import CliRunner

from tests.support.bundles import make_bundle, picture
from tests.support.shelf import jpeg, put_model
from tests.support.world import World
from ticketbot import serve as service
from ticketbot.cli import main
from ticketbot.db import connect, migrate
from ticketbot.retrain import shelf

ARGUMENTS = {
    "answers": [],
    "answers redeliver": ["msg_1"],
    "backfill": [],
    "backfill resume": [],
    "backfill start": [],
    "backfill stop": [],
    "backup": ["--out", "{new}"],
    "classify": ["{picture}"],
    "demo": ["--dir", "{data}/demo", "--data", "{empty}"],
    "doctor": [],
    "endpoints": [],
    "endpoints enable": ["desk"],
    "endpoints release": ["desk"],
    "endpoints secret": ["desk"],
    "erase": ["--user", "9"],
    "init": [],
    "labels export": ["{new}"],
    "labels import": ["{sorted}"],
    "models import": ["{bundle}"],
    "models list": [],
    "models promote": ["m1", "--reason", "x"],
    "models rollback": [],
    "once": [],
    "pause": [],
    "preset check": ["desk", "--ticket", "1"],
    "preset list": [],
    "preset show": ["zammad"],
    "restore": ["{empty}"],
    "resume": [],
    "retrain": [],
    "serve": [],
    "tokens create": ["crm"],
    "tokens list": [],
    "tokens revoke": ["abc"],
    "trace": ["T-1"],
    "users disable": ["ann"],
    "users invite": ["ann"],
    "users list": [],
    "worker": [],
}
# They ask no database, here.
WITHOUT = {"demo", "init", "preset check", "preset list", "preset show"}


def leaves(command, name=""):
    if isinstance(command, click.Group):
        if command.invoke_without_command:
            yield name
        for word, one in command.commands.items():
            yield from leaves(one, f"{name} {word}".strip())
    else:
        yield name


def test_every_command_is_tried_here():
    assert set(leaves(main)) == set(ARGUMENTS)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A tree with a picture on a ticket, and a model in service; `serve` and `worker` end before they fork."""
    monkeypatch.setattr(service, "serve", lambda *_, **__: 0)
    made = World(tmp_path)
    made.add("7", "a.jpg", jpeg(picture(1, px=64)), "T-1")
    made.once()
    db = connect(made.settings.database_url)
    put_model(db, made.settings, "m1")
    db.close()
    make_bundle(tmp_path / "bundle", model_id="m2")
    (tmp_path / "empty").mkdir()
    (tmp_path / "sorted" / "errors").mkdir(parents=True)
    (tmp_path / "sorted" / "errors" / "b.jpg").write_bytes(jpeg(picture(2, px=64)))
    return made


def ask(world, command):
    """-> (exit code, what it said on stdout, what on stderr): never more than a sentence when it failed."""
    places = {
        "new": world.folder / f"new of {command}",
        "picture": world.tree / "7" / "a.jpg",
        "data": world.settings.data_dir,
        "empty": world.folder / "empty",
        "sorted": world.folder / "sorted",
        "bundle": world.folder / "bundle",
    }
    words = [word.format(**places) for word in ARGUMENTS[command]]
    done = CliRunner().invoke(main, ["--config", str(world.config), *command.split(), *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
    assert "Traceback" not in done.stdout + done.stderr, command
    sentences = [line for line in done.stderr.splitlines() if line.startswith(("ticketbot: ", "Error: "))]
    if done.exit_code and command not in ("doctor", "once"):  # these two say it on stdout
        assert len(sentences) == 1, (command, done.stderr)
    return done.exit_code, done.stdout, "\n".join(sentences)


def schema_of(world):
    with sqlite3.connect(world.settings.data_dir / "ticketbot.db") as connection:
        (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    return found


def test_a_database_of_a_newer_version_is_left_alone_by_all(world):
    with sqlite3.connect(world.settings.data_dir / "ticketbot.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for command in sorted(set(ARGUMENTS) - WITHOUT - {"doctor", "restore", "backup"}):
        code, _, said = ask(world, command)
        assert code == 1 and "9999" in said and "newer" in said, (command, code, said)
    assert ask(world, "backup")[0] == 0, "a copy of it may be made"
    code, said, _ = ask(world, "doctor")
    assert code == 1 and "its schema 9999 is of a newer ticketbot" in said
    assert schema_of(world) == "9999"
    with sqlite3.connect(world.settings.data_dir / "ticketbot.db") as connection:
        assert connection.execute("SELECT count(*) FROM audit WHERE what = 'backup'").fetchone() == (0,)
    connection.close()


def test_a_database_of_an_older_version_is_brought_forward_by_any(world):
    path = world.settings.data_dir / "ticketbot.db"
    for end in ("", "-wal", "-shm"):
        path.with_name(f"ticketbot.db{end}").unlink(missing_ok=True)
    db = connect(f"sqlite:///{path}")
    old, head = migrate.known(db)[1], migrate.head(db)
    migrate.upgrade(db, old)
    db.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    kept = path.read_bytes()
    # These look, or copy, and change nothing; what they see is said.
    left_alone = {"doctor", "backup", "restore"}
    for command in sorted(set(ARGUMENTS) - WITHOUT):
        for end in ("-wal", "-shm"):
            path.with_name(f"ticketbot.db{end}").unlink(missing_ok=True)
        path.write_bytes(kept)
        code, out, said = ask(world, command)
        assert "schema" not in said, (command, said)
        assert schema_of(world) == (old if command in left_alone else head), command
        if command == "doctor":
            assert code == 0 and f"its schema is {old}, ours {head}" in out


@pytest.fixture
def full_disk(world):
    """The world's data on a file system of its own, with nothing left on it."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    small = world.folder / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(small)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        shutil.copytree(world.settings.data_dir, small / "var")
        world.config.write_text(world.config.read_text().replace('data_dir = "var"', f'data_dir = "{small}/var"'))
        world.add("7", "b.jpg", jpeg(picture(3, px=64)), "T-2")
        with open(small / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        yield small
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_on_a_full_disk_every_command_says_so(world, full_disk):
    writes = {
        *("answers", "backfill start", "classify", "endpoints secret", "labels import", "models import", "once"),
        *("pause", "resume", "tokens create", "users invite", "serve", "worker"),
    }
    for command in sorted(set(ARGUMENTS) - WITHOUT - {"doctor", "restore"}):
        code, out, said = ask(world, command)
        if command in writes:
            assert code == 1 and ("full" in said + out or "No space left" in said + out), (command, code, said, out)
    code, said, _ = ask(world, "doctor")
    assert code == 1 and "0 MB" in said and "make room" in said
    done = CliRunner().invoke(main, ["--config", str(full_disk / "new.toml"), "init"])
    assert (
        done.exit_code == 1
        and done.stderr == f"ticketbot: cannot write {full_disk}/new.toml: No space left on device\n"
    )
    assert not (full_disk / "new.toml").exists(), "half a file would stand in the way"
    (full_disk / "filler").unlink()
    assert ask(world, "once")[0] == 0, "with room again all is done"


@pytest.mark.parametrize(
    "url",
    ["postgresql+psycopg://x:hunter2@127.0.0.1:9/y", "postgresql+psycopg://x:hunter2@nowhere.invalid/y"],
)
def test_a_database_that_is_not_there(world, url):
    world.config.write_text(world.config.read_text().replace('url = ""', f'url = "{url}"', 1))
    for command in sorted(set(ARGUMENTS) - WITHOUT - {"doctor", "restore", "serve", "worker"}):
        code, _, said = ask(world, command)
        assert code == 1 and said.startswith("ticketbot: the database cannot be used: "), (command, code, said)
        assert "hunter2" not in said
    code, said, _ = ask(world, "doctor")
    assert code == 1 and "hunter2" not in said


def test_a_model_that_is_torn(world):
    (shelf.folder_of(world.settings, "m1") / "model.onnx").write_bytes(b"torn")
    world.add("7", "b.jpg", jpeg(picture(3, px=64)), "T-2")
    for command in sorted(set(ARGUMENTS) - WITHOUT):
        code, out, said = ask(world, command)
        if command in ("classify", "once", "doctor"):
            assert code == 1 and "m1 cannot be served" in said + out, (command, code, said, out)
