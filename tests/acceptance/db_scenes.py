"""Databases and disks in trouble: restarted, cut off, full, read-only, broken, of another version. See area_db.py.

The full sizes are in tests/faults/test_database.py; here each trouble is met once, under a small load.
"""

import contextlib
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time

from tests.faults.conftest import sql
from tests.faults.test_database import says
from tests.support import postgres
from tests.support.crew import Crew, moody
from tests.support.installation import Installation
from tests.support.needs import missing
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from ticketbot.db import connect, migrate
from ticketbot.errors import TicketbotError

ROLES = ["worker", "worker", "deliverer"]
FEED = 20


def _fine(desk):
    most = max((desk.effects.count(one) for one in set(desk.effects)), default=0)
    seen = {"lost": 0, "effects": most, "effects_per_id": most, "double_effects": 0, "torn_files": 0, "errors": 0}
    return {**seen, "out_of_order_per_ticket": desk.order_violations(), "integrity_check": "ok", "processed_twice": 0}


def _under_load(request, trouble, url="", settings=None):
    """Work goes on while `trouble(crew)` happens; afterwards all is delivered once, whole and in order."""
    with Receiver(SECRET, usual=moody(7), slow_s=0.7) as desk:
        world = Installation(request.getfixturevalue("tmp_path") / "world", desk, url, **(settings or {}))
        with Crew(world, desk, [*ROLES, "web"]) as crew:
            says(crew, 200)
            crew.feed(FEED)
            crew.wait_for_load(1)
            trouble(crew)
            says(crew, 200)
            crew.feed(FEED)
            crew.wait_until_idle(180)
        world.finish()
        wrongs = world.wrongs(desk)
    assert not wrongs, wrongs
    return _fine(desk)


def server_hurt(request, match):
    """PostgreSQL is restarted at once (as a crash would), or loses connections, in the middle of work."""
    if postgres.programs() is None:
        missing("PostgreSQL is not installed")
    chance, seen = random.Random(5), {}
    times = min(3, int((re.search(r"(\d+) (?:times|x|restarts?|backends?)", match.string) or ["", "3"])[1]))

    def trouble(crew):
        for _ in range(times):
            crew.feed(FEED)
            crew.wait_for_load(1)
            if re.search(r"terminat|backend|connection", match.string, re.IGNORECASE):
                backends = sql(cluster.url(), "SELECT pid FROM pg_stat_activity WHERE datname = 'hurt'")
                sql(cluster.url(), f"SELECT pg_terminate_backend({chance.choice(backends)[0]})")
            else:
                cluster.stop("immediate")
                says(crew, 503)
                cluster.start()
                says(crew, 200)
                seen["health"] = [503, 200]

    with _cluster() as cluster:
        return _under_load(request, trouble, cluster.url("hurt")) | seen


@contextlib.contextmanager
def _cluster():
    """A PostgreSQL of this case alone, with fsync."""
    cluster = postgres.Cluster(postgres.programs(), durable=True)
    cluster.start()
    try:
        sql(cluster.url(), "CREATE DATABASE hurt")
        yield cluster
    finally:
        cluster.remove()


@contextlib.contextmanager
def _small_disk(folder):
    """A file system of 48 MB, and how to mount it anew; None where mounting is not allowed."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        yield None
        return
    try:
        yield lambda how: subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def disk_full(request, match):
    """Database, pictures and models on a small file system that something else fills; without the right to mount one:
    no file of the workers may grow beyond 4 KB."""
    folder, seen = request.getfixturevalue("tmp_path") / "small", {}

    def fill(crew):
        with open(folder / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(b"x" * 4096):
                pass
        crew.feed(FEED)
        says(crew, 503)
        time.sleep(1)  # rounds enough to write it, could they; that nothing happens has no event to wait for
        assert crew.waiting(), "it was written all the same"
        (folder / "filler").unlink()
        says(crew, 200)
        seen["health"] = [503, 200]

    def limit(crew):
        workers = crew.processes[:2]
        for process in workers:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        crew.feed(FEED)
        time.sleep(2)  # as above
        assert crew.waiting(), "it was written all the same"
        for process in workers:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    with _small_disk(folder) as disk:
        if disk is None or "RLIMIT" in match.string:
            return _under_load(request, limit)
        return _under_load(request, fill, settings={"general__data_dir": str(folder / "var")}) | seen


def read_only(request, match):
    """The database's file system is read-only for a while: a command says so in a sentence, and nothing is lost."""
    folder = request.getfixturevalue("tmp_path") / "small"
    with _small_disk(folder) as disk, Receiver(SECRET) as desk:
        if disk is None:
            missing("this user may not mount a read-only file system")
        world = Installation(folder.with_name("world"), desk, general__data_dir=str(folder / "var"))
        for number in range(FEED):
            world.upload(number, f"T-{number % 4}")
        world.finish()
        world.upload(FEED, "T-late")
        disk("ro")
        refused = world.run("once")
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0 and said.strip() and "Traceback" not in said, said
        disk("rw")
        world.finish()
        wrongs = world.wrongs(desk)
    assert not wrongs, wrongs
    return {**_fine(desk), "status": "refused"}


def broken_file(request, match):
    """The database is no database, cut short, or made by a newer ticketbot: one sentence, exit code, no trace."""
    folder, text = request.getfixturevalue("tmp_path"), match.string.lower()
    path = folder / "var" / "ticketbot.db"
    path.parent.mkdir(parents=True)
    db = connect(f"sqlite:///{path}")
    migrate.upgrade(db)
    if re.search(r"newer|tomorrow|future|unknown (schema|revision)", text):
        with db.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'tomorrow'")
    db.close()
    for extra in folder.glob("var/ticketbot.db-*"):
        extra.unlink()
    if re.search(r"trunc|cut|half", text):
        os.truncate(path, path.stat().st_size // 2 // 4096 * 4096 + 100)
    elif re.search(r"empty|0 bytes", text):
        os.truncate(path, 0)
    elif not re.search(r"newer|tomorrow|future|unknown", text):
        path.write_bytes(os.urandom(8192))
    config = folder / "ticketbot.toml"
    config.write_text(f'[general]\ndata_dir = "{folder / "var"}"\n[sources.erp]\nroot = "{folder}"\n')
    command = [sys.executable, "-m", "ticketbot", "--config", str(config), "once"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "Traceback" not in done.stderr + done.stdout, done.stderr
    assert done.stderr.strip(), "nothing was said"
    return {"status": "refused", "lost": 0, "errors": 0}


def migration_killed(request, match):
    """Killed after each step of a migration, then started again: the old schema or the new one, never half."""
    folder, applied = request.getfixturevalue("tmp_path"), []
    for place in ("migrate.locked", "migrate.made"):
        url = f"sqlite:///{folder / f'{place}.db'}"
        code = (
            "import os, sys; from ticketbot import failpoints; from ticketbot.db import connect, migrate\n"
            f"failpoints.arm(lambda name: os.kill(os.getpid(), 9) if name == {place!r} else None)\n"
            f"migrate.upgrade(connect({url!r}))"
        )
        child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        assert child.wait(60) == -signal.SIGKILL
        db = connect(url)
        try:
            found = migrate.current(db)
            assert found in (None, *migrate.known(db)), found
            migrate.upgrade(db)
            assert migrate.current(db) == migrate.head(db)
            with db.read() as session:
                assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            applied.append(1)
        except TicketbotError as error:
            raise AssertionError(f"half a migration was left: {error}") from error
        finally:
            db.close()
    return {"applied": min(applied), "lost": 0, "errors": 0, "integrity_check": "ok"}


SCENES = (
    (r"(kill|crash|abort|interrupt)\w*.*migrat|migrat\w*.*(kill|crash|abort|interrupt|half)", migration_killed),
    (
        r"(database|schema|file).*(newer|garbage|truncated|corrupt|cut short|no database|replaced by|0 bytes)",
        broken_file,
    ),
    (
        r"(pg_ctl|postgres\w*).*(restart|immediate|stop|crash|kill)|backends?|pg_terminate|connections? (cut|lost)",
        server_hurt,
    ),
    (r"disk (is )?full|ENOSPC|full (tmpfs|disk)|RLIMIT_FSIZE|quota exceeded|no space", disk_full),
    (r"read-?only", read_only),
)
