# ruff: noqa: E501 - SQL
"""Does a round cost more, the more is done already? The same steps among 10,000 pictures and among millions, SQLite.

    python -m bench.growth [--most 1000000] [--json FILE]

Rows of pictures that are done (picture, its file, what the champion said; about 0.9 KB each with their indexes) are written
by script, ten times as many each time. Then medians of: a poll of a small tree that brings one new file (scan and
stage), the claim of that one new picture, a claim that finds nothing, what is still to do, and a page of the review
queue.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from sqlalchemy import text

from bench import table
from tests.support.settings import make_settings
from ticketbot.classify import bulk
from ticketbot.collect import staging, walk
from ticketbot.db import connect, migrate
from ticketbot.operate import pending
from ticketbot.review import queue

FIRST, RUNS, FOLDERS, SIXTEEN = 10_000, 9, 50, 16
LIMIT = 1.5
# Below this a ratio is noise: the steps begin with a few milliseconds.
LEAST_MS = 10.0
START = (
    "INSERT INTO source (id, name, scan_no) VALUES (1, 'past', 1)",
    "INSERT INTO model (id, state, created_at, promoted_at, reason, manifest) VALUES ('m', 'champion', 1, 1, '', '{}')",
)
# Hashes spread over all there can be, in their order: SQLite then writes every page of an index once.
MANY = (
    "WITH RECURSIVE counted(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM counted WHERE n < {last}),"
    " made(n, sha) AS (SELECT n, printf('%08x%056x', (n - {first}) * 4294967295 / ({last} - {first} + 1), n) FROM counted)"
)
FILL = (
    f"{MANY} INSERT INTO picture (sha256, state, size_bytes, staged_at, wanted, model_id, lease_until, token, review_until)"
    " SELECT sha, 'staged', 200000, 1.7e9 + n, 1, 'm', 0, 1, 0 FROM made",
    f"{MANY} INSERT INTO file (source_id, path, folder, user_name, state, history, dev, ino, size_bytes, mtime_ns, ctime_ns,"
    " sha256, first_seen_at, observed_at, staged_at, resolve_attempts) SELECT 1, CAST((n / 50) || '/screenshot ' || n || '.jpg'"
    " AS BLOB), CAST(n / 50 AS BLOB), n / 50, 'staged', 0, 2049, n, 200000, 1700000000000000000, 1700000000000000000, sha,"
    " 1.7e9, 1.7e9, 1.7e9, 0 FROM made",
    f"{MANY} INSERT INTO prediction (sha256, model_id, state, category, best, confidence, margin, labelled, created_at)"
    " SELECT sha, 'm', 'done', 'errors', 'errors', 0.98, (n % 1000) / 1000.0, n % 2, 1.7e9 FROM made",
)


def rows(most=1_000_000, first=FIRST):
    """One row: the step that grew most."""
    found = measured(first, most)
    few, many = found[str(first)], found[str(most)]
    growth = {name: max(many[name], LEAST_MS) / max(few[name], LEAST_MS) for name in many}
    grown = max(growth, key=growth.get)
    return [
        table.row(
            f"growth: a round among {most:,} pictures against {first:,}", growth[grown], f"<= {LIMIT}",
            table.at_most(LIMIT), f"{grown}: {few[grown]:.1f} ms, then {many[grown]:.1f} ms", ms=found,
        )
    ]  # fmt: skip


def measured(first, most):
    """-> {number of pictures: {step: ms}}"""
    found = {}
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        world = World(Path(folder))
        done = 0
        while done < most:
            want = min(most, max(first, done * 10))
            world.fill(done + 1, want)
            done = want
            found[str(done)] = world.times()
            print(f"  {done:,}: {found[str(done)]}", flush=True)
        world.db.close()
    return found


class World:
    """A database of the past, and a small tree in which something new comes."""

    def __init__(self, folder):
        self.root, self.count, self.now = folder / "erp", 0, time.time()
        for number in range(FOLDERS):
            (self.root / str(number)).mkdir(parents=True)
        own = {"sources.erp.root": str(self.root), "sources.erp.settle_s": 0}
        self.settings = make_settings(folder, own)
        self.db = connect(self.settings.database_url)
        migrate.upgrade(self.db)
        self.tell(START)
        for _ in range(2):
            self.poll()

    def tell(self, statements):
        with self.db.write(durable=False) as session:
            for one in statements:
                session.execute(text(one))

    def fill(self, first, last):
        for one in FILL:
            self.tell([one.format(first=first, last=last)])

    def poll(self):
        self.now += 60
        source = self.settings.sources["erp"]
        walk.scan(self.db, "erp", source, self.settings.collect, now=self.now)
        return staging.stage(self.db, "erp", source, self.settings.data_dir, now=self.now + 1).staged

    def claim(self):
        return len(bulk.claim(self.db, self.settings, "m", self.now + 2))

    def pending(self):
        with self.db.read() as session:
            return pending.look(session, self.settings, self.now)

    def page(self):
        self.now += 60
        taken = queue.take(
            self.db, who="rita", page=f"page{self.now}", n=SIXTEEN, blind_share=0.1, lease_s=1.0, now=self.now
        )
        return len(taken)

    def times(self):
        took = {name: [] for name in ("poll", "claim", "claim nothing", "pending", "review page")}
        for _ in range(RUNS):
            self.count += 1
            data = b"\xff\xd8\xff" + os.urandom(1000)
            (self.root / str(self.count % FOLDERS) / f"{self.count}.jpg").write_bytes(data)
            assert timed(took["poll"], self.poll) == 1
            assert timed(took["claim"], self.claim) == 1
            assert timed(took["claim nothing"], self.claim) == 0
            timed(took["pending"], self.pending)
            assert timed(took["review page"], self.page) == SIXTEEN
            with self.db.write() as session:  # answered
                session.execute(text("UPDATE picture SET model_id = 'm', lease_until = 0 WHERE model_id IS NULL"))
        return {name: round(statistics.median(some), 2) for name, some in took.items()}


def timed(into, deed):
    began = time.perf_counter()
    found = deed()
    into.append((time.perf_counter() - began) * 1000)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write it there too")
    arguments = parser.parse_args()
    found = rows(arguments.most)
    table.show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
