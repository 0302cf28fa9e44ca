"""The processes of an installation under load: start them, hurt them, watch how soon others take over.

with Crew(world, desk, ["poller", "classifier", …]) as crew:
    crew.feed(n)                        n more uploads
    crew.wait_for_load()                enough deliveries a second for a fault to mean something
    crew.replace(crew.leader())         kill -9, and start again
    crew.strike(index)                  kill -9, start again, and watch the recovery
    crew.wait_until_idle(timeout_s)
crew.recoveries                         seconds, one a strike
"""

import random
import threading
import time
import urllib.error
import urllib.request

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from tests.support import forks
from tests.support.installation import LEASE_S
from tests.support.loopback import free_port
from tests.support.roles import ROLES
from ticketbot.db import connect
from ticketbot.db.leases import LEADER
from ticketbot.db.models import Answer, File, Lease, Picture, Source, Ticket
from ticketbot.operate import pending

# etcd's rule: a fault without load proves nothing.
LOAD_PER_S = 30
PICTURES_A_TICKET = 5
RECOVERED_WITHIN_S = LEASE_S + 2


def moody(seed):
    """What a receiver answers that fails about every third time."""
    chance = random.Random(seed)
    return lambda request: chance.choices([200, 500, 429, "reset", "slow"], [68, 20, 5, 6, 1])[0]


class Crew:
    def __init__(self, world, desk, roles):
        self.port = free_port()
        world.more["TICKETBOT_WEB__PORT"] = str(self.port)
        self.world, self.desk, self.roles = world, desk, list(roles)
        self.db = connect(world.settings.database_url)
        self.processes = []
        self.uploads = 0
        self.recoveries = []
        self.watches = []
        # How late this very thread was at the worst: on a machine that is busy with other things, bounds move by that.
        self.lag_s = 0.0

    def __enter__(self):
        self.processes = [self.start(role) for role in self.roles]
        return self

    def __exit__(self, *_):
        for process in self.processes:
            forks.kill(process)
        for watch in self.watches:
            watch.join(60)
        self.db.close()

    def start(self, role):
        return forks.start(ROLES[role], self.world.settings)

    def feed(self, count):
        """`count` new uploads, five on a ticket."""
        for number in range(self.uploads, self.uploads + count):
            self.world.upload(number, f"T-{number // (4 * PICTURES_A_TICKET)}-{number % 4}")
        self.uploads += count

    def replace(self, index):
        """kill -9 one process, and start it again."""
        forks.kill(self.processes[index])
        self.processes[index] = self.start(self.roles[index])

    def holder(self):
        """Who leads: the lease's holder; empty when nobody does yet."""
        with self.db.read() as session:
            return session.scalar(select(Lease.holder).where(Lease.name == LEADER)) or ""

    def leader(self):
        """The index of the process that leads; 0 when nobody does yet."""
        pid = self.holder().split(":")[1:2]
        return next((index for index, one in enumerate(self.processes) if [str(one.pid)] == pid), 0)

    def strike(self, index):
        """kill -9 one process, start it again, and watch how soon what it held is taken over."""
        role, victim = self.roles[index], self.processes[index]
        seen = self.scan_no() if role == "poller" else None
        victim.kill()
        began = time.monotonic()
        held = self.held() if role in ("classifier", "deliverer") else None
        victim.join(10)
        self.processes[index] = self.start(role)
        self.watch(began, lambda: self.taken_over(role, held, seen))

    def watch(self, began, recovered):
        """Note in the background when `recovered()` first came true."""

        def wait():
            while not recovered():
                if time.monotonic() - began > 30:
                    break
                self.nap(0.05)
            self.recoveries.append(time.monotonic() - began)

        self.watches.append(threading.Thread(target=wait, daemon=True))
        self.watches[-1].start()

    def held(self):
        """(table, id, token) of everything that somebody holds right now."""
        now = time.time()
        with self.db.read() as session:
            answers = session.execute(
                select(Answer.id, Answer.token).where(Answer.state == "pending", Answer.lease_until > now)
            )
            pictures = session.execute(select(Picture.sha256, Picture.token).where(Picture.lease_until > now))
            return {(id_, token) for rows in (answers.all(), pictures.all()) for id_, token in rows}

    def taken_over(self, role, held, seen):
        if role == "web":
            return self.get("/healthz") == 200
        if role == "poller":
            return self.scan_no() > seen
        with self.db.read() as session:
            answers = session.execute(
                select(Answer.id, Answer.token).where(Answer.state == "pending", Answer.lease_until > 0)
            )
            pictures = session.execute(select(Picture.sha256, Picture.token).where(Picture.lease_until > 0))
            still = {(id_, token) for rows in (answers.all(), pictures.all()) for id_, token in rows}
        return not held & still

    def scan_no(self):
        with self.db.read() as session:
            return session.scalar(select(Source.scan_no)) or 0

    def get(self, path):
        """The status of the web process's answer; 0 when there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def rate(self, over_s=1.0):
        """Deliveries a second that arrived lately."""
        since = time.time() - over_s
        return sum(request.at > since for request in self.desk.requests[-500:]) / over_s

    def wait_for_load(self, timeout_s=5.0):
        """True as soon as enough is delivered a second; False when it never is."""
        until = time.monotonic() + timeout_s
        while self.rate() < LOAD_PER_S:
            if time.monotonic() > until:
                return False
            self.nap(0.02)
        return True

    def waiting(self):
        """How many uploads have no delivered answer yet, about: what keeps the crew busy."""
        with self.db.read() as session:
            done = session.scalar(
                select(func.count()).where(Answer.state == "delivered", Answer.type == "picture.classified")
            )
        return self.uploads - done

    def is_idle(self):
        try:
            with self.db.read() as session:
                left = pending.look(session, self.world.settings, time.time())
                known = session.scalar(select(func.count()).select_from(File))
                tickets = session.scalar(select(func.count()).select_from(Ticket))
            return left.total == 0 and known >= self.uploads and tickets >= len(self.world.truth)
        except SQLAlchemyError:
            return False  # a database that is being hurt

    def wait_until_idle(self, timeout_s):
        until = time.monotonic() + timeout_s
        while not self.is_idle():
            assert time.monotonic() < until, "it never finished"
            self.nap(0.1)

    def nap(self, seconds):
        began = time.monotonic()
        time.sleep(seconds)
        self.lag_s = max(self.lag_s, time.monotonic() - began - seconds)
