"""How many pictures a second do so many workers answer, with a network that sleeps?

with installation_of(pictures, folder, database_url, **settings) as (world, db):
    per_s(world, db, ["sleeper"] * 2, workers=2)
"""

import time
from contextlib import contextmanager

from sqlalchemy import func, select, update

from tests.support import forks
from tests.support.installation import Installation, new_app
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.roles import ROLES, SLEEP_S
from ticketbot import flow
from ticketbot.db import connect
from ticketbot.db.models import File, HandedOut, Picture, Prediction

ONE_AT_A_TIME = {"classify__batch": "1", "classify__workers": "1", "classify__lease_s": "60"}


@contextmanager
def installation_of(pictures, folder, database_url, **settings):
    """An installation with so many pictures that no model has looked at, and its database."""
    with Receiver(SECRET) as desk:
        world = Installation(folder, desk, database_url, **ONE_AT_A_TIME, **settings)
        for number in range(pictures):
            world.upload(number, f"T-{number}")
        app = new_app(world.settings)
        try:
            for _ in range(3):  # seen, settled, staged
                flow.poll(app)
        finally:
            app.close()
        db = connect(world.settings.database_url)
        try:
            assert count(db, File.state == "staged") == pictures
            yield world, db
        finally:
            db.close()


def count(db, *where):
    with db.read() as session:
        return session.scalar(select(func.count()).where(*where))


def per_s(world, db, roles, workers, each=12):
    """Pictures a second that `roles` with so many workers among them answer, from when all of those are at work to
    `each` for every one of them."""
    with db.write() as session:
        session.execute(update(Picture).values(lease_until=0.0))
        session.execute(HandedOut.__table__.delete())
    processes = [forks.start(ROLES[role], world.settings) for role in roles]
    try:
        until = time.monotonic() + 60
        while count(db, Picture.lease_until > time.time()) < workers:
            assert time.monotonic() < until, "they never were all at work"
            time.sleep(0.02)
        goal, began = count(db, Prediction.id > 0) + each * workers, time.monotonic()
        while count(db, Prediction.id > 0) < goal:
            assert time.monotonic() < began + 120, "they stopped"
            time.sleep(0.05)
        return each * workers / (time.monotonic() - began)
    finally:
        for process in processes:
            forks.kill(process)


def assert_workers_add_up(one, two, four):
    assert one <= 1.2 / SLEEP_S, "nobody sleeps"
    assert two >= 1.8 * one, f"{one:.2f}, {two:.2f}, {four:.2f} pictures a second"
    assert four >= 3.4 * one, f"{one:.2f}, {two:.2f}, {four:.2f} pictures a second"
