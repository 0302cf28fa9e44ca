"""With Celery and a real Redis: workers, leaders and the broker's memory are lost; is any work?

Rows are the truth and only ids travel, so nothing may be lost or done twice. The network is one that sleeps where it is
about how much more several workers do: two cores are enough for four.
"""

import os
import signal

import psutil
import pytest
from sqlalchemy import func, select

from tests.support.broker import Redis
from tests.support.crew import Crew, moody
from tests.support.installation import Installation, new_app
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.service import Service, eventually
from tests.support.throughput import assert_workers_add_up, installation_of, per_s
from tests.support.world import World
from ticketbot import flow
from ticketbot.db.models import HandedOut, Picture

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(600)]
pytest.importorskip("celery", reason="celery is not installed (pip install 'ticketbot[celery]')")
ROUNDS, EACH_ROUND = 6, 20


@pytest.fixture
def redis():
    with Redis() as running:
        yield running


def settings_of(redis, **more):
    return {
        "engine__kind": "celery",
        "engine__broker": redis.url,
        "engine__resend_s": "2",
        "schedule__handout_s": "0.1",
        **more,
    }


def test_killed_workers_a_killed_leader_and_a_flushed_broker_lose_nothing(tmp_path, own_cluster, redis):
    """Two schedules (one leads), two that classify, two that deliver; in turn one of each is killed, and FLUSHALL."""
    with Receiver(SECRET, usual=moody(8), slow_s=0.7) as desk:
        world = Installation(tmp_path / "world", desk, own_cluster.url("hurt"), **settings_of(redis))
        roles = ["worker", "worker", "classify_taker", "classify_taker", "deliver_taker", "deliver_taker"]
        leaders, flushed = set(), 0
        with Crew(world, desk, roles) as crew:
            for number in range(ROUNDS):
                crew.feed(EACH_ROUND)
                crew.wait_for_load(5)
                leaders.add(crew.holder())
                crew.replace(2 + number % 2)
                crew.replace(4 + number % 2)
                if number % 2:
                    crew.replace(crew.leader())
                if on_the_way(crew.db):
                    flushed += 1
                assert redis.say("FLUSHALL") == b"+OK"
            crew.wait_until_idle(150)
        assert len(leaders - {""}) >= 2, "the leader was never killed"
        assert flushed, "the broker was never flushed with work in it"
        assert world.wrongs(desk) == []
        assert len(desk.effects) == len(set(desk.effects)) > ROUNDS * EACH_ROUND


def on_the_way(db):
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(HandedOut))


def test_a_broker_that_dies_and_comes_back_empty(tmp_path, own_cluster, redis):
    with Receiver(SECRET) as desk:
        world = Installation(tmp_path / "world", desk, own_cluster.url("hurt"), **settings_of(redis))
        with Crew(world, desk, ["worker", "classify_taker", "deliver_taker"]) as crew:
            crew.feed(10)
            crew.wait_until_idle(60)
            redis.stop()
            crew.feed(20)
            with pytest.raises(AssertionError, match="never finished"):
                crew.wait_until_idle(3)
            redis.start()
            crew.wait_until_idle(90)
        assert world.wrongs(desk) == []


def test_the_command_runs_schedule_and_takers_and_ends_cleanly(tmp_path, own_cluster, redis):
    with Receiver(SECRET) as desk:
        world = Installation(tmp_path / "world", desk, own_cluster.url("hurt"), **settings_of(redis))
        with Service(world, command=("worker", "--processes", "2")) as service:
            eventually(lambda: sum(event["event"] == "worker ready" for event in service.events()) == 5)
            world.upload(1, "T-1")
            eventually(lambda: desk.effects, 60)
            victim = next(pid for pid, one in service.children().items() if one.is_running())
            os.kill(victim, signal.SIGKILL)
            world.upload(2, "T-2")
            eventually(lambda: any(request.ticket == "T-2" for request in desk.requests), 60)
            children = list(service.children().values())
            assert service.stop() == 0
            assert psutil.wait_procs(children, 1)[1] == []
        world.finish()
        assert world.wrongs(desk) == []


def test_ids_and_nothing_else_travel(tmp_path, own_cluster, redis):
    """What stands in the broker while nobody takes it."""
    with Receiver(SECRET) as desk:
        world = Installation(tmp_path / "world", desk, own_cluster.url("hurt"), **settings_of(redis))
        world.upload(1, "T-secret-1")
        app = new_app(world.settings)
        try:
            for _ in range(3):
                flow.poll(app)
            assert flow.hand_out(app)["classify"] == 1
            with app.db.read() as session:
                sha256 = session.scalar(select(Picture.sha256))
        finally:
            app.close()
        assert redis.say("LLEN", "ticketbot.classify") == b":1"
        kept = redis_list(redis, "ticketbot.classify")
        assert sha256 in kept
        assert "T-secret-1" not in kept and "1.jpg" not in kept and SECRET not in kept


def redis_list(redis, name):
    import base64
    import json

    import redis as client

    with client.Redis(port=redis.port) as connection:
        (raw,) = connection.lrange(name, 0, -1)
    message = json.loads(raw)
    return base64.b64decode(message["body"]).decode() + json.dumps(message["headers"])


def test_a_world_on_sqlite_is_told_what_celery_needs(tmp_path):
    world = World(tmp_path, engine__kind="celery", engine__broker="redis://127.0.0.1:1/0")
    done = world.run("worker")
    assert done.returncode == 2
    assert "engine.kind is 'celery', which needs PostgreSQL: set database.url" in done.stderr


def test_two_workers_do_nearly_twice_as_much_and_four_four_times(tmp_path, own_cluster, redis):
    settings = settings_of(redis, engine__in_flight="16")
    rates = []
    with installation_of(120, tmp_path / "world", own_cluster.url("hurt"), **settings) as (world, db):
        for workers in (1, 2, 4):
            redis.say("FLUSHALL")
            rates.append(per_s(world, db, ["worker"] + ["sleeping_taker"] * workers, workers))
    assert_workers_add_up(*rates)
