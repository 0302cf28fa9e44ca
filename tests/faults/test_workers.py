"""Do more workers do more, on PostgreSQL and without a broker? And does the death of some cost anything?

The network is one that sleeps, so that two cores are enough for four workers: what is measured is the handing out.
"""

import random

import pytest

from tests.support.crew import Crew, moody
from tests.support.installation import Installation
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.service import Service, eventually
from tests.support.throughput import assert_workers_add_up, installation_of, per_s
from tests.support.world import World

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(600)]
STRIKES = 6


def test_several_workers_run_side_by_side_and_end_together(tmp_path, own_cluster):
    world = World(tmp_path, database_url=own_cluster.url("hurt"))
    with Service(world, command=("worker", "--processes", "2")) as service:
        eventually(lambda: sum(event["event"] == "worker ready" for event in service.events()) == 2)
        assert len(service.children()) == 2
        assert service.stop() == 0


def test_two_workers_do_nearly_twice_as_much_and_four_four_times(tmp_path, own_cluster):
    with installation_of(120, tmp_path / "world", own_cluster.url("hurt")) as (world, db):
        rates = [per_s(world, db, ["sleeper"] * workers, workers) for workers in (1, 2, 4)]
    assert_workers_add_up(*rates)


def test_workers_and_leaders_are_killed_and_nothing_is_lost_or_doubled(tmp_path, own_cluster):
    chance = random.Random(8)
    with Receiver(SECRET, usual=moody(8), slow_s=0.7) as desk:
        world = Installation(tmp_path / "world", desk, own_cluster.url("hurt"))
        leaders = set()
        with Crew(world, desk, ["worker"] * 4) as crew:
            for _ in range(STRIKES):
                crew.feed(20)
                crew.wait_for_load(3)
                leaders.add(crew.holder())
                crew.replace(crew.leader())
                crew.replace(chance.randrange(4))
            crew.wait_until_idle(120)
        assert len(leaders - {""}) >= 2, "the leader was never killed"
        assert world.wrongs(desk) == []
