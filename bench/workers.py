"""Do two workers do twice as much as one, and four four times? Without a broker and with Celery on a real Redis.

    python -m bench.workers [--each 12] [--json FILE]

The network is a stand-in that sleeps 1.5 s a picture, so two cores are enough for four workers, and what is measured
is the handing out. PostgreSQL and Redis are the machine's own programs, started for this.
"""

import argparse
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import update

from bench import table
from tests.faults import test_broker, test_workers
from tests.support import postgres
from tests.support.broker import Redis
from tests.support.installation import Installation, new_app
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.roles import SLEEP_S
from ticketbot import flow
from ticketbot.db import connect
from ticketbot.db.models import Picture, Prediction

PICTURES, GOALS = 120, {2: 1.8, 4: 3.4}


def rows(each=12):
    found = []
    for name in ("database alone", "Celery, Redis"):
        per_s = measured(name, each)
        found += [
            table.row(
                f"workers: {workers}, {name}", per_s[workers] / per_s[1], f">= {goal} of one", table.at_least(goal),
                f"{per_s[workers]:.2f} pictures a second; one {per_s[1]:.2f}, at most {1 / SLEEP_S:.2f}",
                per_s=per_s[workers], one_per_s=per_s[1],
            )
            for workers, goal in GOALS.items()
        ]  # fmt: skip
    return found


def measured(name, each):
    """{workers: pictures a second}"""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="ticketbot-bench-")))
        desk = closing.enter_context(Receiver(SECRET))
        cluster = postgres.Cluster(postgres.programs(), durable=True)
        cluster.start()
        closing.callback(cluster.remove)
        redis = closing.enter_context(Redis()) if "Celery" in name else None
        one_by_one = {"classify__batch": "1", "classify__workers": "1", "classify__lease_s": "60"}
        more = {**test_broker.settings_of(redis), "engine__in_flight": "16"} if redis else {}
        world = Installation(folder / "world", desk, cluster.url(), **more, **one_by_one)
        for number in range(PICTURES):
            world.upload(number, f"T-{number}")
        app = new_app(world.settings)
        for _ in range(3):
            flow.poll(app)
        app.close()
        db = connect(world.settings.database_url)
        closing.callback(db.close)
        found = {}
        for workers in (1, 2, 4):
            if redis:
                found[workers] = test_broker.per_s(world, db, redis, workers, each)
            else:
                found[workers] = test_workers.per_s(world, db, workers)
            forget(db)
        return found


def forget(db):
    """Everything is to be classified once more."""
    with db.write() as session:
        session.execute(Prediction.__table__.delete())
        session.execute(update(Picture).values(model_id=None, lease_until=0.0))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=12, help="pictures for each worker, with Celery")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    arguments = parser.parse_args()
    found = rows(arguments.each)
    table.show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
