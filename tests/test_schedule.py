"""Does every slot run once, whoever is leader?"""

import multiprocessing
import time

import pytest
from sqlalchemy import func, select

from ticketbot.db import connect
from ticketbot.db.models import JobSlot, Lease, Switch
from ticketbot.db.slots import finish_slot, forget_old_slots, take_slot
from ticketbot.errors import SettingsError
from ticketbot.schedule import Job, Leader, slot_of, trigger


def job(every=60.0):
    return Job("poll", every, run=lambda app: None)


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


def test_the_first_becomes_leader_and_the_second_waits(db):
    first, second = Leader(db, 15), Leader(db, 15)
    assert first.renew()
    assert not second.renew()
    assert first.renew()


def test_a_lease_that_ran_out_goes_to_the_next(db):
    clock = Clock()
    first, second = Leader(db, 15, clock), Leader(db, 15, clock)
    first.renew()
    clock.time += 16
    assert second.renew()
    assert not first.renew()
    with db.read() as session:
        assert session.get(Lease, "leader").token == 2


def test_a_leader_that_resigns_is_followed_at_once(db):
    first, second = Leader(db, 15), Leader(db, 15)
    first.renew()
    first.resign()
    assert not first.is_leader()
    assert second.renew()


def test_a_leader_stops_believing_when_its_lease_is_over(db):
    leader = Leader(db, 0.05)
    assert leader.renew()
    time.sleep(0.1)
    assert not leader.is_leader()


def test_a_slot_is_taken_once(db):
    assert take_slot(db, "poll", 2, 120.0)
    assert not take_slot(db, "poll", 2, 121.0)
    assert take_slot(db, "sweep", 2, 122.0)
    assert take_slot(db, "poll", 3, 180.0)


@pytest.mark.parametrize(("every", "now", "slot"), [(60.0, 119.0, 1), (0.5, 10.0, 20), ("30 2 * * *", 119.0, 1)])
def test_slots_are_numbered_by_time(every, now, slot):
    assert slot_of(job(every), now) == slot


def test_what_went_wrong_in_a_slot_is_kept(db):
    take_slot(db, "poll", 2, 120.0)
    finish_slot(db, "poll", 2, 121.0, "disk full")
    with db.read() as session:
        assert session.scalars(select(JobSlot.error)).all() == ["disk full"]


def test_old_slots_are_forgotten(db):
    take_slot(db, "poll", 2, 120.0)
    forget_old_slots(db, 120.0 + 8 * 86400)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(JobSlot)) == 0


def test_a_bad_cron_expression_names_the_setting():
    with pytest.raises(SettingsError, match=r"schedule\.poll = 'often'"):
        trigger(job("often"))


def scheduler_process(url, barrier):
    """Ticks as fast as it can for a while, as the leader or not, and counts what it ran."""
    database = connect(url)
    leader = Leader(database, 0.6)
    counted = job(0.25)
    barrier.wait(60)  # importing takes longer than ticking
    ends_at = time.time() + 2.5
    while time.time() < ends_at:
        slot = slot_of(counted, time.time())
        if leader.renew() and take_slot(database, "poll", slot, time.time()):
            with database.write() as session:
                session.add(Switch(name=f"ran-{slot}-{time.time_ns()}", value="1", who="", at=time.time()))
        time.sleep(0.01)
    leader.resign()
    database.close()


def test_three_schedulers_run_each_slot_once(db, db_url):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    processes = [spawn.Process(target=scheduler_process, args=(db_url, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
    with db.read() as session:
        ran = sorted(int(name.split("-")[1]) for name in session.scalars(select(Switch.name)))
    assert len(ran) == len(set(ran))
    # No slot between the first and the last was left out, and there were enough of them to tell.
    assert ran == list(range(ran[0], ran[-1] + 1))
    assert len(ran) >= 5
