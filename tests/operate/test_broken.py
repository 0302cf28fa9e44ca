"""Whatever is broken: is it one sentence and an exit code, never a stack trace?"""

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.support.shelf import put_model
from tests.support.world import ROOT, World
from ticketbot.cli import main
from ticketbot.db import connect
from ticketbot.db.models import Audit
from ticketbot.retrain import shelf


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def said(world, *command):
    """(exit code, what was said about it)"""
    result = CliRunner().invoke(main, ["--config", str(world.config), *command])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[general]", '[schedule]\nsweep = "every night"\n[general]', "schedule.sweep = 'every night': "),
        ("[general]", '[chat]\nweekly = "monday"\n[general]', "chat.weekly = "),
        ("[general]", '[endpoints.e]\nurl = "https://x.example"\npreset = "none"\n[general]', "no preset 'none'"),
        ('root = "attach"', 'root = "attach"\npath = "("', "not a regular expression"),
        ('url = ""', 'url = "nonsense"', "database.url must begin with postgresql+psycopg:// or sqlite:///"),
        ('url = ""', 'url = "oracle://x/y"', "database.url must begin with"),
        ('url = ""', 'url = "mysql+pymysql://x@127.0.0.1:9/y"', "database.url must begin with"),
        ('url = ""', 'url = "postgresql+psycopg://x@127.0.0.1:port/y"', "database.url cannot be read"),
        ('data_dir = "var"', 'data_dir = "v\\u0000r"', "general.data_dir holds a zero byte"),
        ('root = "attach"', 'root = "a\\u0000b"', "sources.erp.root holds a zero byte"),
        ('data_dir = "var"', 'data_dir = "ticketbot.toml"', "ticketbot.toml cannot be made: File exists"),
    ],
)
@pytest.mark.parametrize("command", ["once", "serve"])
def test_settings_that_make_no_sense(world, old, new, sentence, command):
    text = world.config.read_text()
    assert old in text
    world.config.write_text(text.replace(old, new, 1))
    code, words = said(world, command)
    assert code in (1, 2) and sentence in words


@pytest.mark.parametrize("broken", ["bytes", "gone", "a folder"])
def test_a_settings_file_that_is_none(world, broken):
    world.config.unlink()
    if broken == "bytes":
        world.config.write_bytes(b"\xff\xfe\x00")
    elif broken == "a folder":
        world.config.mkdir()
    code, words = said(world, "once")
    assert code == 2 and len(words.strip().splitlines()) == 1


def without_driver(world, *command):
    """The command in an interpreter that has no psycopg, as after a plain `pip install ticketbot`."""
    code = "import sys; sys.modules['psycopg'] = None; from ticketbot.cli import main; main()"
    line = [sys.executable, "-c", code, "--config", str(world.config), *command]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["once", "doctor"])
def test_postgresql_without_its_driver(world, command):
    own = 'url = "postgresql+psycopg://x@127.0.0.1:9/y"'
    world.config.write_text(world.config.read_text().replace('url = ""', own, 1))
    code, words = without_driver(world, command)
    assert code == (2 if command == "once" else 1)
    assert "pip install 'ticketbot[postgres]'" in words and "report this as a bug" not in words


def test_a_lookup_without_its_driver(world):
    world.add("7", "a.jpg", b"\xff\xd8\xff picture")
    world.config.write_text(world.config.read_text().replace(f"sqlite:///{world.erp}", "postgresql+psycopg://x@h/erp"))
    code, words = without_driver(world, "doctor")
    assert code == 1 and "pip install 'ticketbot[postgres]'" in words and "report this as a bug" not in words


@pytest.mark.parametrize("broken", ["torn", "no manifest", "half a manifest", "gone"])
def test_a_bundle_on_the_shelf_that_broke(world, broken):
    world.once()
    db = connect(world.settings.database_url)
    put_model(db, world.settings, "m1")
    db.close()
    picture = world.add("7", "a.jpg", b"\xff\xd8\xff picture", "T-1")
    folder = shelf.folder_of(world.settings, "m1")
    if broken == "torn":
        (folder / "model.onnx").write_bytes(b"torn")
    elif broken == "no manifest":
        (folder / "manifest.json").unlink()
    elif broken == "half a manifest":
        (folder / "manifest.json").write_text("{")
    else:
        shutil.rmtree(folder)
    code, words = said(world, "classify", str(picture))
    assert code == 1 and "ticketbot: model m1 cannot be served: " in words


def test_a_user_name_without_a_password_is_no_secret(world):
    text = world.config.read_text().replace(f"sqlite:///{world.erp}", "postgresql+psycopg://ticketbot_ro@h/erp")
    world.config.write_text(text.replace('secret = ""', ""))
    world.config.chmod(0o644)
    assert "holds a password" not in CliRunner().invoke(main, ["--config", str(world.config), "doctor"]).stdout
    world.config.write_text(text.replace("ticketbot_ro@", "ticketbot_ro:hunter2@"))
    assert "holds a password" in CliRunner().invoke(main, ["--config", str(world.config), "doctor"]).stdout


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"TICKETBOT_WEB__SECRET_KEY_FILE": "/nowhere"}, "cannot read /nowhere: No such file"),
        ({"TICKETBOT_WEB__SECRET_KEY_FILE": "{binary}"}, "is no text (UTF-8)"),
        ({"TICKETBOT_WEB__PORT": "1", "TICKETBOT_WEB__PORT__X": "2"}, "another variable gives all of port a value"),
        ({"TICKETBOT_WEB__PROT": "1"}, "web.prot: there is no such setting"),
        ({"TICKETBOT_WEB": "1"}, "write TICKETBOT_<SECTION>__<KEY>"),
    ],
)
def test_an_environment_that_makes_no_sense(world, monkeypatch, variables, sentence):
    (world.folder / "binary").write_bytes(b"\xff\xfe\x00")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(binary=world.folder / "binary"))
    code, words = said(world, "once")
    assert code == 2 and sentence in words


@pytest.mark.parametrize("line", ["general = 3", "source = 3", 'endpoint = "desk"'])
def test_a_section_that_is_a_value(world, line):
    world.config.write_text(line + "\n" + world.config.read_text().replace('[general]\ndata_dir = "var"\n', "", 1))
    code, words = said(world, "once")
    assert code == 2 and f"write a section [{line.split()[0]}]" in words


def test_a_sqlite_that_is_too_old(world, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    code, words = said(world, "once")
    assert code == 2 and "3.35 is needed; take a newer Python, or PostgreSQL" in words


def test_a_python_without_sqlite(world):
    code = "import sys; sys.modules['_sqlite3'] = None; from ticketbot.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "once"], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("ticketbot: this Python has no sqlite3")
    assert len(done.stderr.splitlines()) == 1


def test_a_demo_where_nothing_can_be_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    done = CliRunner().invoke(main, ["demo", "--dir", str(tmp_path / "demo")])
    assert done.exit_code == 2 and "pip install 'ticketbot[train]'" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_demo_whose_table_could_not_be_written_says_so_first(tmp_path):
    done = CliRunner().invoke(
        main, ["demo", "--dir", str(tmp_path / "demo"), "--json", str(tmp_path / "no" / "x.json")]
    )
    assert done.exit_code == 1 and "x.json: No such file or directory" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_user_without_a_name(world, monkeypatch):
    """A container that runs as any uid: nobody is in /etc/passwd."""

    def nobody():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    code, words = said(world, "pause")
    assert code == 0, words
    db = connect(world.settings.database_url)
    with db.read() as session:
        assert [row.who for row in session.query(Audit)] == [f"uid {os.getuid()}"]
    db.close()
