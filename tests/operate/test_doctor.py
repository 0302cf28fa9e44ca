"""Is every fault found and named, and nothing else?"""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from tests.support.broker import Redis
from tests.support.bundles import picture
from tests.support.loopback import free_port
from tests.support.needs import missing
from tests.support.receiver import Receiver
from tests.support.service import eventually
from tests.support.shelf import jpeg, put_model
from tests.support.world import ROOT, World
from ticketbot import settings
from ticketbot.cli import main
from ticketbot.db import connect
from ticketbot.db.models import Answer, EndpointState, Switch
from ticketbot.deliver.sign import new_secret
from ticketbot.operate import backup, doctor
from ticketbot.operate.checks import trees
from ticketbot.retrain import shelf


@pytest.fixture
def desk():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def world(tmp_path, desk):
    """A house in which all is well: a tree with a picture on a ticket, a champion, an endpoint that answers."""
    made = World(tmp_path, desk.url, new_secret())
    made.config.chmod(0o640)
    made.once()
    db = connect(made.settings.database_url)
    put_model(db, made.settings)
    db.close()
    made.add("7", "a.jpg", jpeg(picture(1, px=64)), "T-1")
    return made


def findings(world, level="fault"):
    return [one for one in doctor.examine(world.settings, world.config, time.time) if one.level == level]


def only_fault(world):
    (found,) = findings(world)
    assert found.do, "a fault says what to do"
    return f"{found.check}: {found.said}"


def change(world, old, new):
    text = world.config.read_text()
    assert old in text
    world.config.write_text(text.replace(old, new))


def database(world):
    return connect(world.settings.database_url)


def test_nothing_is_looked_at_twice():
    assert len({name for name, _ in doctor.CHECKS}) == len({check for _, check in doctor.CHECKS}) == len(doctor.CHECKS)


def test_all_is_well(world):
    assert findings(world) == []
    said = CliRunner().invoke(main, ["--config", str(world.config), "doctor"])
    assert said.exit_code == 0
    assert said.stdout.splitlines()[-1] == "all is well"
    assert "1 of 1 tried files have one; 7/a.jpg is on T-1" in said.stdout
    assert "1 pictures of 1 files" in said.stdout


def test_it_changes_nothing(world):
    def everything():
        files = [path for path in world.folder.rglob("*") if path.is_file() and "ticketbot.db" not in path.name]
        with sqlite3.connect(world.settings.data_dir / "ticketbot.db") as connection:
            rows = list(connection.iterdump())
        connection.close()
        return {path: path.stat().st_mtime_ns for path in files}, rows

    before = everything()
    findings(world)
    assert everything() == before


def test_three_faults_at_once_are_all_named(world, desk):
    change(world, 'root = "attach"', 'root = "elsewhere"')
    change(world, f'url = "{desk.url}"', 'url = "http://127.0.0.1:9/hook"')
    change(world, f'allow = ["{desk.url.split("/")[2]}"]', 'allow = ["127.0.0.1"]')
    (shelf.folder_of(world.settings, "test-1") / "model.onnx").write_bytes(b"torn")
    assert [one.check for one in findings(world)] == ["tree erp", "model", "endpoint desk"]


def test_a_settings_file_that_everybody_may_read(world):
    world.config.chmod(0o644)
    assert only_fault(world) == f"settings file: {world.config} holds a password or secret and everybody may read it"


def test_a_key_that_everybody_may_read(world):
    key = world.settings.data_dir / "secret.key"
    key.write_bytes(b"x" * 32)
    key.chmod(0o644)
    assert "everybody may read the key secret.key" in only_fault(world)


def test_a_disk_without_room(world, monkeypatch):
    # The only part no test may make real: a disk that is full for everybody.
    monkeypatch.setattr("shutil.disk_usage", lambda _: os.statvfs_result and type("Usage", (), {"free": 2**20})())
    assert only_fault(world).startswith("disk: 1 MB")


def test_a_clock_that_stands_in_another_decade(world):
    found = [one for one in doctor.examine(world.settings, world.config, lambda: 1e9) if one.check == "clock"]
    assert [(one.level, one.said) for one in found] == [("fault", "it says 2001-09-09")]


def test_no_database(world):
    for path in world.settings.data_dir.glob("ticketbot.db*"):
        path.unlink()
    assert only_fault(world).startswith("database: there is none yet at")


def test_a_database_that_is_none(world):
    for path in world.settings.data_dir.glob("ticketbot.db-*"):
        path.unlink()
    (world.settings.data_dir / "ticketbot.db").write_bytes(b"nothing of the kind" * 1000)
    assert only_fault(world).startswith("database: cannot be used: its file is damaged, or none of ours (file is not")


def test_a_database_of_a_newer_version(world):
    with sqlite3.connect(world.settings.data_dir / "ticketbot.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "schema 9999 is of a newer ticketbot" in only_fault(world)


def test_a_database_that_somebody_holds(world):
    holder = sqlite3.connect(world.settings.data_dir / "ticketbot.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert "somebody holds its lock" in only_fault(world)
    finally:
        holder.close()


def test_backups_are_missed_and_seen(world):
    def said():
        return [one for one in doctor.examine(world.settings, world.config, time.time) if one.check == "backup"]

    (never,) = said()
    assert never.level == "note" and never.said == "none was ever made" and "ticketbot-backup.timer" in never.do
    db = database(world)
    backup.note(db, world.folder / "x", "ann", time.time() - 9 * 86400)
    (old,) = said()
    assert old.level == "note" and old.said == "the last one is 9 days old"
    backup.note(db, world.folder / "x", "ann", time.time())
    db.close()
    (good,) = said()
    assert good.level == "ok"


def test_a_damaged_page(world):
    path = world.settings.data_dir / "ticketbot.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_answer_state'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with open(path, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    assert any("damaged" in one.said for one in findings(world))


def test_a_folder_we_may_not_enter(world):
    closed = world.tree / "8"
    closed.mkdir()
    closed.chmod(0)
    try:
        if os.access(closed, os.R_OK):
            assert _as_nobody(world) == [str(closed)]
        else:
            assert f"may not read the folder {closed}" in only_fault(world)
    finally:
        closed.chmod(0o700)


def _as_nobody(world):
    """Root may read everything: look as somebody else, in a child."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.chmod(world.folder, 0o755)
            for parent in world.tree.parents:
                if parent.owner() == "root" and "pytest" in str(parent):
                    os.chmod(parent, 0o755)
            os.setuid(65534)
            os.write(writer, json.dumps(trees.count(world.settings.sources["erp"]).closed).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader, "rb") as file:
        said = file.read()
    if not said:
        missing("the test's folder cannot be reached by another user")
    return json.loads(said)


def test_a_tree_in_the_data_folder(world):
    change(world, 'root = "attach"', 'root = "var"')
    assert any("lies inside it" in one.said for one in findings(world))
    assert trees.overlap(world.folder, world.folder / "var") is not None
    assert trees.overlap(world.folder / "var" / "x", world.folder / "var") is not None
    assert trees.overlap(world.tree, world.folder / "var") is None


def test_a_lookup_that_finds_nothing(world):
    change(world, "WHERE user_id = :user", "WHERE user_id = 'x' || :user")
    assert "none of 1 tried files has one, 7/a.jpg" in only_fault(world)


def test_a_lookup_that_fails(world):
    change(world, "FROM uploads", "FROM downloads")
    assert "the lookup failed: no such table: downloads" in only_fault(world)


def test_no_lookup_at_all(world):
    lines = [line for line in world.config.read_text().splitlines() if not line.startswith("ticket = ")]
    world.config.write_text("\n".join(lines))
    assert "nothing says whose ticket a file is" in only_fault(world)


def test_an_endpoint_that_moved(world, desk):
    desk.server.RequestHandlerClass.do_GET = lambda handler: (
        handler.send_response(301),
        handler.send_header("Location", "/new"),
        handler.send_header("Content-Length", "0"),
        handler.end_headers(),
    )
    assert "redirects to /new" in only_fault(world)


def test_an_endpoint_whose_clock_is_wrong(world, desk):
    desk.server.RequestHandlerClass.do_GET = lambda handler: (
        handler.send_response_only(200),
        handler.send_header("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
        handler.send_header("Content-Length", "0"),
        handler.end_headers(),
    )
    assert "its clock is -" in only_fault(world)


def test_an_endpoint_we_may_not_call(world, desk):
    change(world, f'allow = ["{desk.url.split("/")[2]}"]', "allow = []")
    assert "may not be called (address_refused)" in only_fault(world)


def test_an_endpoint_without_a_secret(world):
    lines = [line for line in world.config.read_text().splitlines() if not line.startswith("secret")]
    world.config.write_text("\n".join(lines))
    assert "there is no secret to sign with" in only_fault(world)


def test_a_secret_made_with_another_key(world):
    world.run("endpoints", "secret", "desk")
    (world.settings.data_dir / "secret.key").write_bytes(b"y" * 32)
    assert "encrypted with another key" in only_fault(world)


@pytest.mark.filterwarnings("ignore:'imghdr'")  # Apprise imports it
def test_an_address_of_the_chat_that_is_none(world):
    with open(world.config, "a") as file:
        file.write('\n[chat]\nurls = ["mattermots://chat.example.com/t0ken"]\n')
    said = only_fault(world)
    assert "chat.urls[0] is 'mattermots://chat.example.com/…'" in said and "t0ken" not in said


def test_another_program_on_our_port(world):
    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=_answer_nonsense, args=(other,), daemon=True)
        thread.start()
        change(world, "port = 0", f"port = {other.getsockname()[1]}")
        change(world, "[general]", f'[general]\nbase_url = "http://127.0.0.1:{other.getsockname()[1]}"')
        assert only_fault(world).startswith("page: another program listens")


def _answer_nonsense(server):
    while True:
        try:
            peer, _ = server.accept()
        except OSError:
            return
        with peer:
            peer.settimeout(1)
            try:
                if peer.recv(4096):
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
            except OSError:
                pass


def test_pages_without_a_worker(world):
    port = free_port()
    change(world, "port = 0", f"port = {port}")
    change(world, "[general]", f'[general]\nbase_url = "http://127.0.0.1:{port}"')
    command = [sys.executable, "-m", "ticketbot", "--config", str(world.config), "serve", "--only", "web"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        eventually(lambda: answers(port))
        said = only_fault(world)
        assert said == f"page: the service at http://127.0.0.1:{port} cannot work: worker"
    finally:
        process.terminate()
        process.wait(45)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_https_without_a_word_about_the_proxy(world):
    change(world, "[general]", '[general]\nbase_url = "https://pictures.example.com"')
    assert "web.proxies is 0" in only_fault(world)


def test_a_trainer_that_is_not_there(world):
    world.config.write_text(world.config.read_text() + '[retrain]\ncommand = ["/nowhere/python"]\n')
    assert only_fault(world).startswith("trainer: retrain.command starts /nowhere/python")


@pytest.mark.parametrize("key", ["recipe", "sign_key"])
def test_a_file_of_the_trainer_that_is_not_there(world, key):
    world.config.write_text(world.config.read_text() + f'[retrain]\n{key} = "nosuch"\n')
    assert only_fault(world) == f"trainer: retrain.{key} names {world.folder}/nosuch, which cannot be read"


def test_a_staging_area_that_is_none(world):
    staging = world.settings.data_dir / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.write_text("x")
    assert "staging: Not a directory" in only_fault(world)


def test_what_is_stuck_is_a_fault_too(world):
    db = database(world)
    with db.write() as session:
        more = {"ticket": "T-1", "type": "ticket.answered", "body": b"x", "due_at": 1.0, "created_at": 1.0}
        session.add(Answer(id="msg_1", endpoint="desk", seq=1, state="dead", **more))
        state = EndpointState(name="desk", disabled_at=1.0, disabled_why="it answered 410 Gone", recent=[], secrets=[])
        session.add(state)
        session.add(Switch(name="alert.desk.refused", value="it refuses what we send", who="deliver", at=1.0))
    db.close()
    said = [one.said for one in findings(world)]
    assert any("1 answers could not be delivered" in one for one in said)
    assert any("switched off: it answered 410 Gone" in one for one in said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[general", "is not valid TOML"),
        ("[generall]\n", "generall: there is no such setting"),
        ("[web]\nport = 'x'\n", "web.port = 'x'"),
    ],
)
@pytest.mark.parametrize("command", ["doctor", "serve", "once"])
def test_settings_that_cannot_be_read_are_one_sentence(tmp_path, content, said, command):
    config = tmp_path / "t.toml"
    config.write_text(content)
    result = CliRunner().invoke(main, ["--config", str(config), command])
    assert result.exit_code == 2
    assert said in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [["once"], ["serve"], ["answers"], ["models", "list"], ["trace", "T-1"]])
@pytest.mark.parametrize("broken", ["torn", "newer", "a folder"])
def test_a_broken_database_is_one_sentence_whatever_is_asked(tmp_path, command, broken):
    world = World(tmp_path)
    data = world.settings.data_dir
    data.mkdir()
    if broken == "a folder":
        (data / "ticketbot.db").mkdir()
    elif broken == "torn":
        (data / "ticketbot.db").write_bytes(b"nothing of the kind" * 1000)
    else:
        world.once()
        with sqlite3.connect(data / "ticketbot.db") as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
    result = CliRunner().invoke(main, ["--config", str(world.config), *command])
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("ticketbot: the database")


def test_a_broken_bundle_is_one_sentence(tmp_path):
    world = World(tmp_path)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{")
    result = CliRunner().invoke(main, ["--config", str(world.config), "models", "import", str(tmp_path / "bundle")])
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1 and "cannot be read" in result.stderr


def test_a_port_that_is_taken_is_said_before_anything_starts(world):
    with socket.create_server(("127.0.0.1", 0)) as other:
        change(world, "port = 0", f"port = {other.getsockname()[1]}")
        result = CliRunner().invoke(main, ["--config", str(world.config), "serve"])
    assert result.exit_code == 2
    assert "cannot listen at 127.0.0.1:" in result.stderr


def of_the_broker(tmp_path, url):
    """What doctor says about a broker; its database is away, which must not keep it from looking."""
    lines = ["[general]", 'data_dir = "var"', "[database]", 'url = "postgresql+psycopg://x@127.0.0.1:9/y"']
    config = tmp_path / "t.toml"
    config.write_text("\n".join([*lines, "[engine]", 'kind = "celery"', f'broker = "{url}"', ""]))
    found = doctor.examine(settings.load(config, {}), config, time.time)
    (one,) = [one for one in found if one.check == "broker"]
    return one


def test_a_broker_that_answers_one_that_is_down_and_one_that_wants_a_password(tmp_path):
    pytest.importorskip("celery", reason="pip install 'ticketbot[celery]'")
    with Redis() as redis:
        assert of_the_broker(tmp_path, redis.url).level == "ok"
        redis.say("CONFIG", "SET", "requirepass", "hunter2")
        refused = of_the_broker(tmp_path, redis.url.replace("//", "//:wrong@"))
        assert refused.level == "fault" and "password" in refused.do and "wrong" not in refused.said
        assert of_the_broker(tmp_path, redis.url.replace("//", "//:hunter2@")).level == "ok"
    down = of_the_broker(tmp_path, redis.url.replace("//", "//:hunter2@"))
    assert down.level == "fault" and "does not answer" in down.said and "hunter2" not in down.said


def test_without_a_broker_nobody_asks_one(world):
    assert not [one for one in doctor.examine(world.settings, world.config, time.time) if one.check == "broker"]
