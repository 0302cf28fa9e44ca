"""WHEN does what run, and on which process?

The table is `jobs()`. Jobs marked `everywhere` claim rows, so every worker may run them; the others run on the leader:
the process that holds the lease row. Even two leaders for a moment do nothing twice, because a tick first inserts
(job, slot), which is unique. (Three schedulers on one APScheduler job store ran 21 jobs for 10 slots.)
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from apscheduler.util import undefined
from sqlalchemy import Integer, cast, or_, update

from ticketbot import flow
from ticketbot.app import App
from ticketbot.db import Database
from ticketbot.db.leases import LEADER, is_over
from ticketbot.db.models import Lease
from ticketbot.db.rows import rows
from ticketbot.db.slots import finish_slot, take_slot
from ticketbot.errors import SettingsError, TicketbotError
from ticketbot.failpoints import failpoint

log = logging.getLogger(__name__)

# The wall clock was set when it moved by so much against the monotonic one.
CLOCK_SET_S = 2.0


@dataclass(frozen=True)
class Job:
    """`every` is seconds or a cron expression; `run` one step of the flow."""

    name: str
    every: float | str
    run: Callable[[App], object]
    everywhere: bool = False


def jobs(app: App) -> list[Job]:
    """What runs when. The whole table."""
    times = app.settings.schedule
    if app.settings.engine.kind == "celery":
        work = [Job("handout", times.handout_s, flow.hand_out)]
    else:
        work = [
            Job("classify", times.classify_s, flow.classify, everywhere=True),
            Job("deliver", times.deliver_s, flow.deliver, everywhere=True),
        ]
    return [
        Job("poll", times.poll_s, flow.poll),
        Job("inbound", times.inbound_s, flow.receive),
        Job("corrections", times.corrections_s, flow.read_corrections),
        Job("notices", times.notices_s, flow.tell_chat),
        Job("labels", times.labels_s, flow.read_labels),
        Job("retrain", times.retrain_s, flow.retrain_if_due),
        Job("clean", times.retrain_s, flow.clean_if_due),
        Job("sweep", times.sweep, flow.sweep),
        Job("tidy", times.tidy, flow.tidy),
        *work,
        Job("backfill", times.backfill_s, flow.backfill, everywhere=True),
    ]


class Leader:
    """Is this process the one that runs the leader's jobs?

    The lease is taken by a conditional UPDATE and renewed every third of it; `token` grows with every change of hands.
    """

    def __init__(self, db: Database, lease_s: float, now: Callable[[], float] = time.time) -> None:
        self.db = db
        self.lease_s = lease_s
        self.now = now
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._until = 0.0

    def renew(self) -> bool:
        """Take or keep the lease; True when it is ours."""
        now = self.now()
        mine_or_over = or_(Lease.holder == self.holder, is_over(Lease.until, now, self.lease_s))
        with self.db.write() as session:
            session.execute(
                self.db.insert(Lease).values(name=LEADER, holder="", until=0.0, token=0).on_conflict_do_nothing()
            )
            changed = session.execute(
                update(Lease)
                .where(Lease.name == LEADER, mine_or_over)
                .values(
                    holder=self.holder,
                    until=now + self.lease_s,
                    token=Lease.token + cast(Lease.holder != self.holder, Integer),
                )
            )
        # Counted from before the UPDATE and on our own monotonic clock: we stop believing before others may take it.
        self._until = time.monotonic() + self.lease_s if rows(changed) else 0.0
        return self.is_leader()

    def is_leader(self) -> bool:
        return time.monotonic() < self._until

    def resign(self) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        self._until = 0.0
        with self.db.write() as session:
            session.execute(update(Lease).where(Lease.name == LEADER, Lease.holder == self.holder).values(until=0.0))


class Ticker:
    """Runs the table until `stop()`: one APScheduler with a memory job store, and the leader's heartbeat."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.leader = Leader(app.db, app.settings.schedule.lease_s)
        self.scheduler = BackgroundScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._stopping = threading.Event()
        self._heart = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._beat()
        for job in jobs(self.app):
            self.scheduler.add_job(self._tick, trigger(job), args=[job], id=job.name, next_run_time=first_run(job))
        self.scheduler.start()
        self._heart.start()

    def stop(self) -> None:
        """No new ticks; running ones finish or are told to give back what they hold."""
        self._stopping.set()
        self.app.stopping.set()
        self.scheduler.shutdown(wait=True)
        self._heart.join()
        self.leader.resign()

    def _beat(self) -> None:
        try:
            self.leader.renew()
        except Exception:
            log.exception("the leader's lease could not be renewed; trying again")

    def _beat_on(self) -> None:
        """Not a job of the scheduler, which goes by the wall clock: set back by an hour, it would sleep for an hour."""
        ahead_s = time.time() - time.monotonic()
        while not self._stopping.wait(self.app.settings.schedule.lease_s / 3):
            self._beat()
            before_s, ahead_s = ahead_s, time.time() - time.monotonic()
            if abs(ahead_s - before_s) > CLOCK_SET_S:
                log.warning("the clock was set; all jobs are timed anew", extra={"by_s": round(ahead_s - before_s)})
                self._time_anew()

    def _time_anew(self) -> None:
        now = datetime.now().astimezone()
        for job in self.scheduler.get_jobs():
            is_cron = isinstance(job.trigger, CronTrigger)
            job.modify(next_run_time=job.trigger.get_next_fire_time(None, now) if is_cron else now)

    def _tick(self, job: Job) -> None:
        if self._stopping.is_set():
            return
        if job.everywhere:
            _run(self.app, job)
            return
        slot = slot_of(job, time.time())
        if self.leader.is_leader() and take_slot(self.app.db, job.name, slot, time.time()):
            failpoint("slot.taken")
            error = _run(self.app, job)
            failpoint("slot.ran")
            finish_slot(self.app.db, job.name, slot, time.time(), error)


def trigger(job: Job) -> BaseTrigger:
    if isinstance(job.every, str):
        try:
            return CronTrigger.from_crontab(job.every)
        except ValueError as error:
            raise SettingsError(f"schedule.{job.name} = {job.every!r}: {error}; five fields, as in crontab") from None
    return IntervalTrigger(seconds=job.every)


def first_run(job: Job) -> object:
    """Interval jobs run at once after a start; cron jobs at their time."""
    return undefined if isinstance(job.every, str) else datetime.now().astimezone()


def slot_of(job: Job, now: float) -> int:
    """The number of the interval that `now` lies in; for cron, the minute."""
    return int(now // (60 if isinstance(job.every, str) else job.every))


def _run(app: App, job: Job) -> str | None:
    """Run one job; its error as text, so that one bad round never ends the schedule."""
    try:
        job.run(app)
    except TicketbotError as error:
        log.error("%s: %s", job.name, error)
        return str(error)
    except Exception as error:
        log.exception("%s failed; it runs again at its next time", job.name)
        return f"{type(error).__name__}: {error}"
    return None
