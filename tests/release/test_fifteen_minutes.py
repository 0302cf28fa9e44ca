"""An administrator's first quarter of an hour, by the built wheel in an environment with nothing else in it.

Install, init, doctor (three planted faults are found and named), a model, serve, a picture to a ticket at a real
receiver, trace, backup while it runs, restore elsewhere, and an upgrade from the schema before.
"""

import json
import os
import sqlite3
import subprocess
import sys
import urllib.request

import psutil
import pytest

from tests.support.bundles import CLASSES, make_bundle, picture
from tests.support.loopback import free_port
from tests.support.needs import missing
from tests.support.receiver import Receiver
from tests.support.service import eventually
from tests.support.shelf import jpeg

pytestmark = pytest.mark.slow
INSTALL_S = 240
QUERY = "SELECT ticket FROM uploads WHERE user_id = :user AND file_name = :name"


class Machine:
    """A new environment with the wheel in it, and a folder to work in."""

    def __init__(self, folder, wheel):
        self.folder = folder
        self.bin = folder / "env" / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
        command = [str(self.bin / "pip"), "install", "--quiet", "--disable-pip-version-check", str(wheel)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
        if done.returncode != 0 and ("Connection" in done.stderr or "No matching distribution" in done.stderr):
            missing(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TICKETBOT_", "PYTHON"))}
        self.environment = {**kept, "HOME": str(folder)}

    def python(self, code, *arguments):
        return self._run([str(self.bin / "python"), "-c", code, *map(str, arguments)])

    def ticketbot(self, config, *arguments, expect=0):
        """-> stdout"""
        done = self._run([str(self.bin / "ticketbot"), "--config", str(config), *map(str, arguments)])
        assert done.returncode == expect, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def faults(self, config, expect):
        rows = json.loads(self.ticketbot(config, "doctor", "--json", expect=expect))
        return {row["check"]: f"{row['said']} → {row['do']}" for row in rows if row["level"] == "fault"}

    def serve(self, config):
        command = [str(self.bin / "ticketbot"), "--config", str(config), "serve"]
        with open(self.folder / "serve.log", "a") as log:
            return subprocess.Popen(command, stderr=log, env=self.environment, cwd=self.folder)

    def _run(self, command):
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment, cwd=self.folder, timeout=120
        )


class Erp:
    """A tree and the database that knows whose ticket a file is."""

    def __init__(self, folder):
        self.tree = folder / "attach"
        self.tree.mkdir()
        self.database = folder / "erp.db"
        self._do("CREATE TABLE uploads (user_id TEXT, file_name TEXT, ticket TEXT)")

    def upload(self, user, name, data, ticket):
        self._do("INSERT INTO uploads VALUES (?, ?, ?)", user, name, ticket)
        (self.tree / user).mkdir(exist_ok=True)
        (self.tree / user / name).write_bytes(data)

    def _do(self, statement, *values):
        with sqlite3.connect(self.database) as connection:
            connection.execute(statement, values)
        connection.close()


def test_from_the_wheel_to_a_tagged_ticket_and_back_from_a_backup(tmp_path, wheel):
    machine, erp = Machine(tmp_path, wheel), Erp(tmp_path)
    erp.upload("7", "old.jpg", jpeg(picture(0, px=96)), "T-0")
    assert machine.python("import torch").returncode != 0, "the service needs no torch"
    config, port = tmp_path / "etc" / "ticketbot.toml", free_port()
    with Receiver() as desk:
        # init
        options = ["--data-dir", tmp_path / "data", "--tree", erp.tree, "--port", port, "--endpoint-url", desk.url]
        options += ["--ticket-url", f"sqlite:///{erp.database}", "--ticket-query", QUERY, "--log-format", "json"]
        made = json.loads(machine.ticketbot(config, "init", *options, "--json"))
        desk.secrets.append(made["secrets"]["desk"])

        # doctor: well; then three faults, each named, with what to do
        assert machine.faults(config, expect=0) == {}
        three_faults(machine, erp, config, tmp_path)
        assert machine.faults(config, expect=0) == {}

        # a model, and go live (quick looks, so that the test need not wait)
        make_bundle(tmp_path / "bundle")
        machine.ticketbot(config, "models", "import", tmp_path / "bundle", "--promote")
        go_live(config)
        process = machine.serve(config)
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
            assert answers(made["admin_link"]), "the first administrator's link works"
            eventually(lambda: "history" in seen(machine, config, "7/old.jpg"))
            path = erp.tree / "7" / "new.jpg"
            erp.upload("7", "new.jpg", jpeg(picture(2, px=96)), "T-1")
            answered = eventually(lambda: [one for one in desk.requests if one.json["type"] == "ticket.answered"])
            assert answered[0].ticket == "T-1" and answered[0].verified
            assert answered[0].json["data"]["category"] == CLASSES[2]
            assert not [one for one in desk.requests if one.ticket == "T-0"], "history is not answered"

            # trace
            eventually(lambda: "T-1 to desk written down" in machine.ticketbot(config, "trace", path))
            story = eventually(lambda: delivered(machine.ticketbot(config, "trace", "T-1")))
            for said in (
                "first seen",
                "settled",
                "found to be on ticket T-1",
                f"predicted {CLASSES[2]}",
                "answered 200",
            ):
                assert said in story

            # backup, while it runs
            machine.ticketbot(config, "backup", "--pictures", "--out", tmp_path / "copy")
        finally:
            process.terminate()
            assert process.wait(45) == 0
        assert not psutil.pid_exists(process.pid)

        # restore elsewhere
        other = tmp_path / "other" / "ticketbot.toml"
        other.parent.mkdir()
        other.write_text(config.read_text().replace(str(tmp_path / "data"), str(tmp_path / "other" / "data")))
        other.chmod(0o600)
        assert "2 pictures are back" in machine.ticketbot(other, "restore", tmp_path / "copy")
        assert machine.faults(other, expect=0) == {}
        assert machine.ticketbot(other, "trace", "T-1") == story
        told = len(desk.requests)
        machine.ticketbot(other, "once")
        assert len(desk.requests) == told, "what was said is not said again"

    upgrade(machine, tmp_path)


def three_faults(machine, erp, config, folder):
    """A tree that is not mounted, a key that everybody may read, an endpoint that is down."""
    erp.tree.rename(folder / "away")
    (folder / "data" / "secret.key").chmod(0o644)
    good = config.read_text()
    dead = f"http://127.0.0.1:{free_port()}/hook"
    lines = [f'url = "{dead}"' if "/hook" in line else line for line in good.splitlines()]
    lines = ['allow = ["127.0.0.1"]' if line.startswith("allow") else line for line in lines]
    config.write_text("\n".join(lines))
    faults = machine.faults(config, expect=1)
    assert set(faults) == {"data folder", "tree erp", "endpoint desk"}
    assert "secret.key → chmod 600" in faults["data folder"]
    assert "does not exist → mount it" in faults["tree erp"]
    assert f"{dead} does not answer" in faults["endpoint desk"]
    config.write_text(good)
    (folder / "data" / "secret.key").chmod(0o600)
    (folder / "away").rename(erp.tree)


def go_live(config):
    text = config.read_text().replace('mode = "dry_run"', 'mode = "live"')
    text = text.replace("[sources.erp]\n", "[sources.erp]\nsettle_s = 0\n")
    quick = "[schedule]\npoll_s = 0.5\nclassify_s = 0.3\ndeliver_s = 0.3\n"
    config.write_text(f'{text}\n{quick}\n[deliver]\nticket_quiet_s = 0\n\n[model]\nunproven = "tag"\n')


def upgrade(machine, folder):
    """A house of the schema before, with a person in it: the next command brings it forward, the person stays."""
    config = folder / "old" / "ticketbot.toml"
    config.parent.mkdir()
    config.write_text('[general]\ndata_dir = "data"\n')
    config.chmod(0o600)
    code = (
        "import sys; from sqlalchemy import text; from ticketbot.db import connect, migrate\n"
        "db = connect('sqlite:///' + sys.argv[1]); migrate.upgrade(db, migrate.known(db)[1])\n"
        "row = text(\"INSERT INTO account (id, name, role, created_at) VALUES (1, 'rita', 'admin', 1.0)\")\n"
        "with db.engine.begin() as connection: connection.execute(row)\n"
        "print(migrate.current(db), migrate.head(db))\n"
    )
    old, head = machine.python(code, folder / "old" / "data" / "ticketbot.db").stdout.split()
    assert old != head
    said = machine.ticketbot(config, "doctor")
    assert f"its schema is {old}, ours {head}" in said
    assert "rita" in machine.ticketbot(config, "users", "list")
    assert f"schema {head}, can be written" in machine.ticketbot(config, "doctor")


def seen(machine, config, name):
    """Its story, "" while no scan has seen it."""
    done = machine._run([str(machine.bin / "ticketbot"), "--config", str(config), "trace", name])
    return done.stdout


def delivered(story):
    return story if "delivered" in story else None


def answers(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(url, timeout=5).status == 200
    except OSError:
        return False
