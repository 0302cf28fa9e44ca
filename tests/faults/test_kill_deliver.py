"""Deliverers that are killed or stopped at the worst moment: nothing lost, one effect an id, order kept."""

import random
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import func, select

from tests.support.outbox import SECRET, put_answers
from tests.support.receiver import Receiver
from ticketbot.db.models import Answer
from ticketbot.deliver.send import deliver_due

LEASE_S = 1.0


@pytest.fixture
def settings_for(settings_with):
    """Leases of one second; retries so quick that a test sees them all."""

    def make(desk, **overrides):
        values = {
            "endpoints.desk.url": desk.url,
            "endpoints.desk.secret": SECRET,
            "endpoints.desk.mode": "live",
            "endpoints.desk.allow": ["127.0.0.1"],
            "deliver.timeout_s": LEASE_S / 2,
            "deliver.lease_margin_s": LEASE_S / 2,
            "deliver.schedule_s": [0, *[0.05] * 60],
            **overrides,
        }
        return settings_with(values)

    return make


@pytest.fixture
def worker(db_url, tmp_path):
    """worker(settings, "die") -> a started process; whatever is left is killed at the end."""
    started = []

    def start(settings, *arguments):
        path = tmp_path / "settings.json"
        path.write_text(settings.model_dump_json())
        command = [sys.executable, "-m", "tests.support.deliver_worker", db_url, str(path), *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def ready(process):
    """Wait until it has started; it may be asked again."""
    if not hasattr(process, "is_ready"):
        assert process.stdout.readline().strip() == "ready"
        process.is_ready = True


def counts_by_state(db):
    with db.read() as session:
        return {state: n for state, n in session.execute(select(Answer.state, func.count()).group_by(Answer.state))}  # noqa: C416


def wait_until(condition, timeout_s):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def test_a_sender_killed_between_post_and_commit_sends_the_same_id_again(db, settings_for, worker):
    (id_,) = put_answers(db, [("desk", "T1", 1)], now=time.time())
    with Receiver(SECRET) as desk:
        settings = settings_for(desk)
        assert worker(settings, "die").wait(30) == -signal.SIGKILL
        assert counts_by_state(db) == {"pending": 1}
        delivered = {}
        wait_until(lambda: delivered.update(deliver_due(db, settings)) or delivered, LEASE_S + 2)
        assert delivered == {"delivered": 1}
        assert [request.id for request in desk.requests] == [id_, id_]
        assert desk.requests[0].body == desk.requests[1].body
        assert all(request.verified for request in desk.requests)
        assert desk.effects == [id_]


def test_a_sender_stopped_past_its_lease_can_not_write_the_end(db, settings_for, worker):
    (id_,) = put_answers(db, [("desk", "T1", 1)], now=time.time())
    with Receiver(SECRET) as desk:
        settings = settings_for(desk)
        stopped = worker(settings, "stop")
        desk.wait_for(1, timeout_s=30)
        delivered = {}
        wait_until(lambda: delivered.update(deliver_due(db, settings)) or delivered, LEASE_S + 2)
        assert delivered == {"delivered": 1}
        stopped.send_signal(signal.SIGCONT)
        ready(stopped)
        assert stopped.stdout.readline().strip() == "{'fenced': 1}"
        assert counts_by_state(db) == {"delivered": 1}
        assert desk.effects == [id_]


def held(db):
    """(id, token) of every answer that somebody holds right now."""
    with db.read() as session:
        query = select(Answer.id, Answer.token).where(Answer.state == "pending", Answer.lease_until > time.time())
        return {(id_, token) for id_, token in session.execute(query)}


def taken_over(db, claims):
    """Has each of these ended, or been claimed by somebody else?"""
    with db.read() as session:
        query = select(Answer.id, Answer.token).where(Answer.state == "pending", Answer.lease_until > 0)
        return not claims & {(id_, token) for id_, token in session.execute(query)}


@pytest.mark.slow
def test_answers_survive_deliverers_that_are_killed_again_and_again(db, settings_for, worker):
    """F1 for deliveries: 200 answers of 40 tickets, 2 processes, 10 kills, a receiver that fails every third time.

    Each kill comes while a new wave of 20 answers is being sent, and the other process is up: a kill without load, or
    one that only measures how long Python takes to start, would prove nothing.
    """
    waves, in_wave, chance = 10, 20, random.Random(7)
    ids, recoveries = [], []

    def moody(request):
        return chance.choices([200, 500, 429, "reset", "slow"], [65, 20, 5, 9, 1])[0]

    with Receiver(SECRET, usual=moody, slow_s=0.7) as desk:
        settings = settings_for(desk)
        running = [worker(settings), worker(settings)]
        for wave in range(waves):
            for process in running:
                ready(process)
            before = len(desk.requests)
            numbers = range(wave * in_wave, (wave + 1) * in_wave)
            ids += put_answers(db, [("desk", f"T{n % 40}", 1 + n // 40) for n in numbers], now=time.time())
            desk.wait_for(before + 5, timeout_s=30)
            victim = running.pop(0)
            victim.kill()
            began = time.monotonic()
            claims = held(db)
            wait_until(lambda claims=claims: taken_over(db, claims), 30)
            recoveries.append(time.monotonic() - began)
            running.append(worker(settings))
        wait_until(lambda: counts_by_state(db) == {"delivered": waves * in_wave}, 60)
        assert sorted(desk.effects) == sorted(ids), "nothing lost, one effect an id"
        assert desk.order_violations() == 0
        assert all(request.verified for request in desk.requests)
        assert max(recoveries) <= LEASE_S + 2
