"""F5: a database that is restarted, cut off, locked, read-only or on a full disk. Nothing lost, no repair by hand.

Two workers with the whole schedule and a web process run all the while; /readyz says 503 in the trouble and 200 after.
"""

import os
import random
import resource
import sqlite3
import subprocess
import time

import pytest

from tests.faults.conftest import sql
from tests.faults.sizes import SIZE
from tests.support.crew import Crew, moody
from tests.support.installation import Installation
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver

ROLES = ["worker", "worker", "web"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def crew(tmp_path):
    """crew(url, **settings) -> a running Crew; at the end everything must be delivered and right."""
    made = []

    def start(url="", **more):
        world = Installation(tmp_path / "world", desk, url, **more)
        made.append(Crew(world, desk, ROLES))
        made[0].feed(20)
        made[0].__enter__()
        says(made[0], 200)
        return made[0]

    with Receiver(SECRET, usual=moody(5), slow_s=0.7) as desk:
        yield start
        (running,) = made
        try:
            says(running, 200)
            running.feed(20)
            running.wait_until_idle(120)
        finally:
            running.__exit__()
        assert running.world.wrongs(desk) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system; the limit on file size below is the same for anybody")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def says(crew, status, timeout_s=60):
    """Wait until /readyz answers so."""
    until = time.monotonic() + timeout_s
    while (found := crew.get("/readyz")) != status:
        assert time.monotonic() < until, f"/readyz says {found}, not {status}"
        time.sleep(0.05)


@pytest.mark.postgres
def test_postgres_is_restarted_and_connections_are_cut_in_the_middle_of_work(own_cluster, crew):
    url = own_cluster.url("hurt")
    running = crew(url)
    chance = random.Random(5)
    for _ in range(SIZE.database_restarts):
        running.feed(30)
        running.wait_for_load(3)
        for _ in range(SIZE.terminated_backends // SIZE.database_restarts):
            backends = sql(own_cluster.url(), "SELECT pid FROM pg_stat_activity WHERE datname = 'hurt'")
            sql(own_cluster.url(), f"SELECT pg_terminate_backend({chance.choice(backends)[0]})")
            time.sleep(0.1)
        own_cluster.stop("immediate")
        says(running, 503)
        own_cluster.start()
        says(running, 200)


@pytest.mark.postgres
def test_postgres_becomes_read_only_for_a_while(own_cluster, crew):
    running = crew(own_cluster.url("hurt"))
    running.feed(30)
    sql(own_cluster.url(), "ALTER SYSTEM SET default_transaction_read_only = on")
    sql(own_cluster.url(), "SELECT pg_reload_conf()")
    says(running, 503)
    time.sleep(1)
    sql(own_cluster.url(), "ALTER SYSTEM RESET default_transaction_read_only")
    sql(own_cluster.url(), "SELECT pg_reload_conf()")


def test_somebody_holds_the_write_lock_of_sqlite(crew):
    running = crew()
    running.feed(30)
    hog = sqlite3.connect(running.db.path, isolation_level=None, timeout=30)
    hog.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    says(running, 503)
    time.sleep(max(0.0, SIZE.lock_s - (time.monotonic() - began)))
    hog.execute("ROLLBACK")
    hog.close()


def test_the_disk_is_full_for_a_while(small_disk, crew):
    """Database, pictures and models lie on a small file system, and something else fills it."""
    running = crew(general__data_dir=str(small_disk / "var"))
    with open(small_disk / "filler", "wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 4096):
                pass
        except OSError:
            pass
    running.feed(60)
    says(running, 503)
    time.sleep(2)
    (small_disk / "filler").unlink()


def test_a_limit_on_file_size_is_reached_for_a_while(crew):
    """RLIMIT_FSIZE of the workers at 4 KB: no picture, no WAL page. What comes meanwhile is done when it is lifted."""
    running = crew()
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    workers = running.processes[:2]
    for process in workers:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    running.feed(30)
    time.sleep(2)
    assert running.waiting() >= 30, "nothing could be written meanwhile"
    for process in workers:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
