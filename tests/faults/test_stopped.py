"""F4: processes that stand still past their lease, and clocks that jump. One effect an id, no slot lost."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.faults.sizes import SIZE
from tests.support.crew import Crew, moody
from tests.support.installation import LEASE_S, Installation
from tests.support.needs import missing
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.world import ROOT
from ticketbot.db import connect
from ticketbot.db.models import JobSlot

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOUR_S, DAY_S = 3600, 86_400


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_process_that_stood_still_past_its_lease_changes_nothing_when_it_goes_on(kind, url_of, tmp_path):
    """A process stopped inside a transaction holds SQLite's one write lock; the others wait for it, and go on."""
    url = url_of(kind)
    chance = random.Random(3)
    with Receiver(SECRET, usual=moody(3), slow_s=0.7) as desk:
        world = Installation(tmp_path / "world", desk, url)
        with Crew(world, desk, ["poller", "classifier", "classifier", "deliverer", "deliverer"]) as crew:
            for _ in range(SIZE.stops if kind == "sqlite" else SIZE.stops // 2):
                crew.feed(20)
                crew.wait_for_load(2)
                stopped = chance.choice(crew.processes)
                os.kill(stopped.pid, signal.SIGSTOP)
                time.sleep(LEASE_S + 0.3)
                os.kill(stopped.pid, signal.SIGCONT)
            crew.wait_until_idle(120)
        assert world.wrongs(desk) == []


class Clock:
    """A file that libfaketime reads: what processes started with `environment` take for the time of day."""

    def __init__(self, folder):
        self.path = folder / "clock"
        self.ahead_s = 0
        self.jump(0)
        self.environment = {
            "LD_PRELOAD": str(FAKETIME[-1]),
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # a clock that is set does not move the monotonic one
            "FAKETIME_DONT_RESET": "1",
            "NO_FAKE_STAT": "1",  # nor does it change what a disk says of its files
        }

    def jump(self, by_s):
        self.ahead_s += by_s
        draft = self.path.with_suffix(".new")
        draft.write_text(f"{self.ahead_s:+d}\n")
        os.replace(draft, self.path)

    def now(self):
        return time.time() + self.ahead_s


@pytest.fixture
def clock(tmp_path):
    if not FAKETIME or shutil.which("faketime") is None:
        missing("faketime is not installed (apt-get install faketime)")
    return Clock(tmp_path)


def slots_since(db, job, since):
    with db.read() as session:
        return session.scalar(select(func.count()).where(JobSlot.job == job, JobSlot.started_at >= since))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_slot_is_lost_and_nothing_doubled_when_the_clock_jumps(clock, tmp_path):
    """`ticketbot serve` under a clock that is set forth and back; after each jump polls go on and uploads arrive.

    What was on its way while the clock was set back may wait as long as it was set back, and arrives once.
    """
    jumps = [HOUR_S, -HOUR_S, DAY_S, -DAY_S, -HOUR_S, HOUR_S]
    with Receiver() as desk:  # a receiver with the right time refuses what is signed an hour off
        world = Installation(tmp_path / "world", desk)
        db = connect(world.settings.database_url)
        service = subprocess.Popen(
            [sys.executable, "-m", "ticketbot", "--config", str(world.config), "serve", "--only", "worker"],
            cwd=ROOT,
            env={**os.environ, **world.more, **clock.environment},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            for number in range(SIZE.clock_jumps):
                ticket = f"T-{number}"
                world.upload(number, ticket)
                arrives(desk, ticket, service)
                world.upload(100 + number, f"{ticket} on its way")
                time.sleep(0.05 * number)
                clock.jump(jumps[number % len(jumps)])
                began = clock.now()
                until = time.monotonic() + 20
                while slots_since(db, "poll", began - 1) < 4:
                    assert time.monotonic() < until, f"no polls after a jump of {jumps[number % len(jumps)]} s"
                    time.sleep(0.05)
            world.upload(99, "T-99")
            arrives(desk, "T-99", service)
        finally:
            service.terminate()
            service.wait(45)
            # With libfaketime a sleep of the service's own end can fail, and its worker sleeps through signals.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(service.pid, signal.SIGKILL)
            db.close()
        assert world.finish(2 * DAY_S)["stuck"] == []
        assert world.wrongs(desk) == []


def arrives(desk, ticket, service, timeout_s=60):
    until = time.monotonic() + timeout_s
    while ticket not in {request.ticket for request in desk.requests if request.json["type"] == "ticket.answered"}:
        assert service.poll() is None, "the service died"
        assert time.monotonic() < until, f"{ticket} never arrived"
        time.sleep(0.05)
