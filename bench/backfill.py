"""Does a backfill stand in the way of new tickets? The age of new pictures when they are answered, with and without it.

    python -m bench.backfill [--for-s 40] [--postgres] [--json FILE]

One `ticketbot worker` with its whole schedule (looks every second), a picture of 1920x1080 on a new ticket every 0.2 s,
and 4,000 of the past. Decoding is real; the network is a stand-in that burns 12 ms of processor time a picture, about
what the small body takes. In turn: no backfill, one at 5 a second (the default), one as fast as it goes. Age: from the
last byte of the file to the answer in the database.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import func, select

from bench import table
from tests.support import forks, postgres
from tests.support.installation import Installation
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.shelf import jpeg
from tests.support.staged import put_picture
from ticketbot import serve
from ticketbot.classify import backfill
from ticketbot.db import connect
from ticketbot.db.models import File, Picture, Prediction
from ticketbot.judge.engine import Engine

EVERY_S, PAST, BURN_S = 0.2, 4000, 0.012
SLOW = {"poll_s": "1", "classify_s": "1", "deliver_s": "1", "labels_s": "3600", "lease_s": "15"}


def rows(for_s=40.0, database=None):
    found = {}
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder, Receiver(SECRET) as desk:
        for name, per_s in (("without", None), ("at 5 a second", "5"), ("as fast as it goes", "0")):
            with (database or nowhere)() as url:
                found[name] = measured(Path(folder) / name.replace(" ", "-"), desk, url, per_s, for_s)
    without = found.pop("without")
    kind = "PostgreSQL" if database else "SQLite"
    return [
        table.row(
            f"backfill {name}: age of new pictures, {kind}", p99(ages) / p99(without[0]), "<= 1.25 of none",
            table.at_most(1.25),
            f"p50 {statistics.median(ages):.2f} s, p99 {p99(ages):.2f} s; without p50 "
            f"{statistics.median(without[0]):.2f} s, p99 {p99(without[0]):.2f} s; {past_per_s:.1f} of the past/s",
            n=len(ages), p50_s=statistics.median(ages), p99_s=p99(ages), p99_without_s=p99(without[0]),
            past_per_s=past_per_s,
        )
        for name, (ages, past_per_s) in found.items()
    ]  # fmt: skip


def measured(folder, desk, url, per_s, for_s):
    """(ages of the new pictures in seconds, pictures of the past a second)"""
    more = {f"schedule__{name}": value for name, value in SLOW.items()}
    world = Installation(folder, desk, url, **more, classify__batch="16", classify__lease_s="60",
                         deliver__timeout_s="20", deliver__lease_margin_s="10",
                         retrain__min_new_labels="1000", backfill__per_s=per_s or "0")  # fmt: skip
    db, big = connect(world.settings.database_url), screenshot()
    for number in range(PAST if per_s is not None else 0):
        put_picture(db, world.settings.data_dir, big + b"past %d" % number, wanted=False)
    if per_s is not None:
        backfill.start(db, "bench", time.time())
    process = forks.start(worker, world.settings)
    try:
        wait_until(lambda: new_answered(db, world, big, "warm"), 60)
        written, began = {}, time.monotonic()
        before = answered_past(db)
        while time.monotonic() - began < for_s:
            name = f"{len(written)}.jpg"
            world.add(str(len(written) % 20), name, big + b"new %d" % len(written), ticket=f"T-{len(written)}")
            written[name] = time.time()
            time.sleep(max(0.0, began + EVERY_S * len(written) - time.monotonic()))
        past_per_s = (answered_past(db) - before) / (time.monotonic() - began)
        wait_until(lambda: len(ages_of(db, written)) == len(written), 120)
        return ages_of(db, written), past_per_s
    finally:
        forks.kill(process)
        db.close()


def worker(settings):
    """`ticketbot worker` whose network burns BURN_S of processor time a picture."""
    logging.disable(logging.CRITICAL)
    quick = Engine.answer
    some = np.random.default_rng(1).random((200, 200))

    def answer(self, pictures):
        until = time.thread_time() + BURN_S * len(pictures)
        while time.thread_time() < until:
            some @ some
        return quick(self, pictures)

    Engine.answer = answer
    serve.run_worker(settings)


def new_answered(db, world, big, name):
    path = world.tree / "warm" / f"{name}.jpg"
    if not path.exists():
        world.add("warm", f"{name}.jpg", big + b"warm")
    with db.read() as session:
        query = select(func.count()).select_from(Prediction).join(File, File.sha256 == Prediction.sha256)
        return session.scalar(query.where(File.user == "warm")) == 1


def ages_of(db, written):
    query = select(File.path, Prediction.created_at).join(Prediction, Prediction.sha256 == File.sha256)
    with db.read() as session:
        found = {path.rpartition(b"/")[2].decode(): at for path, at in session.execute(query)}
    return [found[name] - at for name, at in written.items() if name in found]


def answered_past(db):
    with db.read() as session:
        return session.scalar(select(func.count()).where(Picture.wanted.is_(False), Picture.model_id.is_not(None)))


def screenshot():
    """1920x1080 with something on it, as JPEG."""
    dice = np.random.default_rng(3)
    blocks = dice.integers(0, 255, (54, 96, 3), dtype=np.uint8)
    return jpeg(blocks.repeat(20, 0).repeat(20, 1), quality=85)


def p99(values):
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]


def wait_until(check, timeout_s):
    until = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.1)


@contextmanager
def nowhere():
    yield ""


@contextmanager
def own_cluster():
    cluster = postgres.Cluster(postgres.programs(), durable=True)
    cluster.start()
    try:
        yield cluster.url()
    finally:
        cluster.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for-s", type=float, default=40.0, help="seconds a way")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    arguments = parser.parse_args()
    found = rows(arguments.for_s, own_cluster if arguments.postgres else None)
    table.show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
