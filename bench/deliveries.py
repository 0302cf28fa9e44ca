"""How many answers a second reach a receiver that takes 50 ms, eight at a time? Ours beside bare `requests`.

    python -m bench.deliveries [--answers 600] [--rounds 3]

Bare: eight threads, a session each, the same bodies, unsigned, remembered nowhere. Ours: claims, signatures, the
guard of addresses, the outbox's rows with what came back. On SQLite and on PostgreSQL (a server of its own), in turn.
The receiver is a process of its own.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import requests
from sqlalchemy import delete, func, select

from bench import table
from tests.support import postgres
from tests.support.outbox import SECRET, body_of, put_answers
from tests.support.settings import make_settings
from ticketbot.db import connect, migrate
from ticketbot.db.models import Answer, Attempt
from ticketbot.deliver import send

GOAL, TAKES_S, IN_FLIGHT = 0.8, 0.05, 8


def rows(answers=600, rounds=3):
    found = []
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder, receiver() as url, databases(folder) as urls:
        for name, database in urls.items():
            found.append(measured(name, Path(folder), database, url, answers, rounds))
    return found


def measured(name, folder, database, url, answers, rounds):
    overrides = {"url": url, "secret": SECRET, "mode": "live", "allow": ["127.0.0.1"]}
    settings = make_settings(folder, {f"endpoints.desk.{key}": value for key, value in overrides.items()})
    db = connect(database)
    migrate.upgrade(db)
    bare_s, ours_s = table.seconds(lambda: bare(url, answers)), table.seconds(lambda: deliver(db, settings, answers))
    took = {"bare": [], "ours": []}
    for _ in range(rounds):
        took["bare"].append(bare_s())
        fill(db, answers)
        took["ours"].append(ours_s())
    db.close()
    bare_per_s, ours_per_s = (answers / statistics.median(took[one]) for one in ("bare", "ours"))
    return table.row(
        f"deliveries: {name}", table.ratio(took["bare"], took["ours"]), f">= {GOAL} of bare requests",
        table.at_least(GOAL), f"{ours_per_s:.0f} a second; bare {bare_per_s:.0f}, at most {IN_FLIGHT / TAKES_S:.0f}",
        ours_per_s=ours_per_s, bare_per_s=bare_per_s,
    )  # fmt: skip


def fill(db, answers):
    with db.write() as session:
        session.execute(delete(Attempt))
        session.execute(delete(Answer))
    put_answers(db, [("desk", f"T-{number}", 1) for number in range(answers)], now=time.time())


def deliver(db, settings, answers):
    counts = send.deliver_due(db, settings)
    assert counts == {"delivered": answers}, counts
    with db.read() as session:
        assert session.scalar(select(func.count()).where(Answer.state == "delivered")) == answers


def bare(url, answers):
    left = iter(range(answers))
    lock = threading.Lock()

    def work():
        with requests.Session() as session:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                session.post(url, data=body_of(f"T-{number}", 1), timeout=20).raise_for_status()

    threads = [threading.Thread(target=work) for _ in range(IN_FLIGHT)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


@contextmanager
def receiver():
    """Its address; a process, so that it does not share our interpreter's lock."""
    process = subprocess.Popen([sys.executable, "-m", "bench.slow_receiver", str(TAKES_S)], stdout=subprocess.PIPE)
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def databases(folder):
    urls = {"SQLite": f"sqlite:///{Path(folder) / 'bench.db'}"}
    programs = postgres.programs()
    if programs is None:
        yield urls
        return
    cluster = postgres.Cluster(programs, durable=True)
    cluster.start()
    try:
        yield urls | {"PostgreSQL": cluster.url()}
    finally:
        cluster.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    table.show(rows(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
