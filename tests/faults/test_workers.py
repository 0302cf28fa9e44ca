"""Do more workers do more, on PostgreSQL and without a broker? And does the death of some cost anything?

The network is one that sleeps, so that two cores are enough for four workers: what is measured is the handing out.
"""

import random
import time

import pytest
from sqlalchemy import func, select, update

from tests.support import forks
from tests.support.crew import Crew, moody
from tests.support.installation import Installation, new_app
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.roles import ROLES, SLEEP_S
from tests.support.service import Service, eventually
from tests.support.world import World
from ticketbot import flow
from ticketbot.db import connect
from ticketbot.db.leases import LEADER
from ticketbot.db.models import File, Lease, Picture, Prediction

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(600)]
PICTURES, EACH = 120, 12
STRIKES = 6


@pytest.fixture
def staged(tmp_path, own_cluster):
    """An installation with PICTURES that no model has looked at, and its database."""
    with Receiver(SECRET) as desk:
        more = {"classify__batch": "1", "classify__workers": "1", "classify__lease_s": "60"}
        world = Installation(tmp_path / "world", desk, own_cluster.url("hurt"), **more)
        for number in range(PICTURES):
            world.upload(number, f"T-{number}")
        app = new_app(world.settings)
        for _ in range(3):  # seen, settled, staged
            flow.poll(app)
        app.close()
        db = connect(world.settings.database_url)
        assert count(db, File.state == "staged") == PICTURES
        yield world, db
        db.close()


def count(db, *where):
    with db.read() as session:
        return session.scalar(select(func.count()).where(*where))


def per_s(world, db, workers):
    """Pictures a second that so many workers answer, from when all are at work to EACH for every one of them."""
    with db.write() as session:
        session.execute(update(Picture).values(lease_until=0.0))
    processes = [forks.start(ROLES["sleeper"], world.settings) for _ in range(workers)]
    try:
        until = time.monotonic() + 60
        while count(db, Picture.lease_until > time.time()) < workers:
            assert time.monotonic() < until, "they never were all at work"
            time.sleep(0.02)
        goal, began = count(db, Prediction.id > 0) + EACH * workers, time.monotonic()
        while count(db, Prediction.id > 0) < goal:
            assert time.monotonic() < began + 120, "they stopped"
            time.sleep(0.05)
        return EACH * workers / (time.monotonic() - began)
    finally:
        for one in processes:
            forks.kill(one)


def test_several_workers_run_side_by_side_and_end_together(tmp_path, own_cluster):
    world = World(tmp_path, database_url=own_cluster.url("hurt"))
    with Service(world, command=("worker", "--processes", "2")) as service:
        eventually(lambda: sum(event["event"] == "worker ready" for event in service.events()) == 2)
        assert len(service.children()) == 2
        assert service.stop() == 0


def test_two_workers_do_nearly_twice_as_much_and_four_four_times(staged):
    one, two, four = (per_s(*staged, workers) for workers in (1, 2, 4))
    assert one <= 1.2 / SLEEP_S, "nobody sleeps"
    assert two >= 1.8 * one, f"{one:.1f}, {two:.1f}, {four:.1f} pictures a second"
    assert four >= 3.4 * one, f"{one:.1f}, {two:.1f}, {four:.1f} pictures a second"


def test_workers_and_leaders_are_killed_and_nothing_is_lost_or_doubled(tmp_path, own_cluster):
    chance = random.Random(8)
    with Receiver(SECRET, usual=moody(8), slow_s=0.7) as desk:
        world = Installation(tmp_path / "world", desk, own_cluster.url("hurt"))
        leaders = set()
        with Crew(world, desk, ["worker"] * 4) as crew:
            for _ in range(STRIKES):
                crew.feed(20)
                crew.wait_for_load(3)
                leaders.add(holder(crew.db))
                kill_and_replace(crew, leader_of(crew))
                kill_and_replace(crew, chance.randrange(4))
            crew.wait_until_idle(120)
        assert len(leaders - {""}) >= 2, "the leader was never killed"
        assert world.wrongs(desk) == []


def kill_and_replace(crew, at):
    forks.kill(crew.processes[at])
    crew.processes[at] = crew.start(crew.roles[at])


def holder(db):
    with db.read() as session:
        return session.scalar(select(Lease.holder).where(Lease.name == LEADER)) or ""


def leader_of(crew):
    """The place in the crew of the process that leads; the first when nobody does yet."""
    pid = holder(crew.db).split(":")[1:2]
    return next((at for at, one in enumerate(crew.processes) if [str(one.pid)] == pid), 0)
