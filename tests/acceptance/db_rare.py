"""Rare faults: an import killed half-way, a failing disk, a log that grew, no connection left. See area_db.py."""

import contextlib
import csv
import errno
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time

from sqlalchemy import func, select

from tests.acceptance import databases
from tests.collect.conftest import JPEG, Collector
from tests.faults.test_kill_rare import killed_after
from tests.support.installation import Installation, jpeg
from tests.support.needs import missing
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from ticketbot.contracts.store import path_of
from ticketbot.db import connect
from ticketbot.db.models import LabelEvent, Switch
from ticketbot.errors import StorageError

LABELS = 40
WAL_MOST_MB = 64
WRITER = """
import sys
from sqlalchemy import text
from ticketbot.db import connect
from ticketbot.db.models import Base, Switch
db = connect(sys.argv[1])
Base.metadata.create_all(db.engine)
with db.read() as reading:  # keeps SQLite from moving the log into the database
    reading.execute(text("SELECT count(*) FROM switch")).scalar()
    for number in range(int(sys.argv[2])):
        with db.write() as session:
            session.add(Switch(name=f"n{number}", value="x" * 2**20, who="", at=0.0))
        print(number + 1, flush=True)
    sys.stdin.read()
"""


def import_killed(request, match):
    """`labels import` is killed at three moments, then run to its end: each word is there once."""
    with Receiver(SECRET) as desk:
        world = Installation(request.getfixturevalue("tmp_path") / "world", desk)
        folder = world.folder / "labels"
        folder.mkdir()
        with open(folder / "cleaned.csv", "w", newline="") as file:
            rows = [(f"{number}.jpg", world.settings.categories[number % 4]) for number in range(LABELS)]
            csv.writer(file).writerows([("name", "label"), *rows])
        for number in range(LABELS):
            (folder / f"{number}.jpg").write_bytes(jpeg(number))
        command = ["labels", "import", str(folder / "cleaned.csv"), "--who", "ann"]
        began = time.monotonic()
        killed_after(world, 120, "models", "list")
        start_s = time.monotonic() - began
        codes = [killed_after(world, start_s * share, *command) for share in (0.9, 1.2, 1.5)]
        assert -9 in codes, "no kill came in time"
        assert world.run(*command).returncode == 0
        db = connect(world.settings.database_url)
        with db.read() as session:
            said = session.execute(select(LabelEvent.sha256, LabelEvent.new)).all()
        db.close()
        assert world.finish()["stuck"] == [] and world.wrongs(desk) == []
    return {"lost": LABELS - len(set(said)), "double_effects": len(said) - len(set(said)), "applied": 1, "errors": 0}


def sync_fails(request, match):
    """fsync says EIO, as a dying disk does: nothing is staged and no row speaks of it; later it is whole."""
    torn = 0
    with databases.each(request) as grounds:
        for folder, db in grounds:
            tree = Collector(db, folder, {}).past_history()
            path = tree.write("1/a.jpg", JPEG + bytes(range(251)) * 400)
            tree.scan(5)
            with request.getfixturevalue("monkeypatch").context() as patch:
                patch.setattr(os, "fsync", _fails)
                with contextlib.suppress(OSError, StorageError):
                    tree.stage(tree.source.settle_s)
                assert not tree.pictures() and not tree.stored(), "a row speaks of what was not synced"
            tree.stage(tree.source.settle_s)
            (sha256,) = tree.pictures()
            torn += path_of(tree.data_dir, sha256).read_bytes() != path.read_bytes()
    return {"lost": 0, "torn_files": torn, "errors": 0, "db_row_done_implies_file_whole": not torn}


def _fails(_descriptor):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def large_log(request, match):
    """A process with a large WAL is killed: all it said is there, whole, and the log can be cut."""
    size = re.search(r"(\d+) ?(MB|GB)", match.string)
    megabytes = min(WAL_MOST_MB, int(size[1]) * {"MB": 1, "GB": 1024}[size[2]] if size else WAL_MOST_MB)
    path = request.getfixturevalue("tmp_path") / "large.db"
    command = [sys.executable, "-c", WRITER, f"sqlite:///{path}", str(megabytes)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for _ in range(megabytes):
        written = int(child.stdout.readline())
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    log = path.with_name("large.db-wal")
    assert log.stat().st_size >= megabytes * 2**20, "the log did not grow"
    db = connect(f"sqlite:///{path}")
    with db.read() as session:
        found = session.scalar(select(func.count()).select_from(Switch))
    assert db.shrink_log() and log.stat().st_size == 0
    db.close()
    with sqlite3.connect(path) as connection:
        fine = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    return {"lost": written - found, "integrity_check": fine, "errors": 0}


def many_at_once(request, match):
    """Many more threads than the pool has connections write at once: each waits for its turn."""
    count = 80
    errors, found = [], 0
    with databases.each(request) as grounds:
        for _, db in grounds:
            together = threading.Barrier(count)

            def write(number, db=db, together=together):
                together.wait(30)
                try:
                    with db.write() as session:
                        session.add(Switch(name=f"n{number}", value="1", who="", at=0.0))
                        session.flush()
                        time.sleep(0.005)  # a connection in use
                except Exception as error:
                    errors.append(error)

            threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            with db.read() as session:
                found = session.scalar(select(func.count()).select_from(Switch))
            assert found == count - len(errors)
    return {"lost": count - found, "errors": len(errors), "processed_twice": 0}


def no_rabbit(request, match):
    missing("RabbitMQ is not installed here; Redis is what is tried")


SCENES = (
    (r"rabbit", no_rabbit),
    (r"(import|cleaned|labels).*(kill|crash|interrupt)|(kill|crash|interrupt).*(import|cleaned|labels)", import_killed),
    (r"f(data)?sync.*(fail|EIO|error)|\bEIO\b|I/O error|(bad|dying|failing) disk", sync_fails),
    (r"\bWAL\b.*\d+ ?[MG]B|\d+ ?[MG]B (of )?(WAL|log)", large_log),
    (r"(connection )?pool|(connections|pool).*(exhaust|used up|in use)|too many (connections|threads)", many_at_once),
)
