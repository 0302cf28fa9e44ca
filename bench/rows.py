# ruff: noqa: E501 - SQL
"""What does a picture cost in PostgreSQL, and does a claim grow dearer with what is done? For docs/scale.md.

    python -m bench.rows [--pictures 300000] [--json FILE]

Rows of pictures that are done (file, picture, prediction, ticket, what was said, two answers with an attempt each) are
written by script, with names, probabilities and bodies as long as real ones; then bytes a table with its indexes, and
the time of one claim among a tenth of them and among all. The write-ahead log a picture is taken from 100 pictures that
go the real way, from file to delivery.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from sqlalchemy import select, text

from tests.support import postgres
from tests.support.installation import Installation
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.settings import make_settings
from ticketbot.classify import bulk
from ticketbot.db import connect, migrate
from ticketbot.db.models import Answer
from ticketbot.deliver import claim as delivery

TABLES = ("file", "picture", "prediction", "file_ticket", "ticket", "said", "answer", "attempt")
SHA = "encode(sha256(('p' || n)::bytea), 'hex')"
MANY = "FROM generate_series({first}, {last}) AS n"
FILL = (
    f"INSERT INTO picture (sha256, state, size_bytes, staged_at, width, height, format, phash, wanted, model_id,"
    f" lease_until, token, review_until) SELECT {SHA}, 'staged', 200000, 1.7e9 + n, 1920, 1080, 'JPEG',"
    f" sha256(('h' || n)::bytea), true, 'm', 0, 1, 0 {MANY}",
    f"INSERT INTO file (id, source_id, path, folder, user_name, state, history, dev, ino, size_bytes, mtime_ns, ctime_ns,"
    f" sha256, first_seen_at, observed_at, staged_at, resolve_attempts) SELECT n, 1,"
    f" convert_to((n / 50) || '/2026-11/screenshot ' || n || '.jpg', 'UTF8'), convert_to((n / 50) || '/2026-11', 'UTF8'),"
    f" (n / 50)::text, 'staged', false, 2049, n, 200000, 1.7e18, 1.7e18, {SHA}, 1.7e9, 1.7e9, 1.7e9, 1 {MANY}",
    f"INSERT INTO prediction (id, sha256, model_id, state, category, best, confidence, margin, probabilities, created_at)"
    f" SELECT n, {SHA}, 'm', 'done', 'errors', 'errors', 0.98, 0.97, json_build_object('reports', 0.0101234567,"
    f" 'errors', 0.9812345678, 'screens', 0.0031234567, 'tickets', 0.0054321098), 1.7e9 {MANY}",
    f"INSERT INTO file_ticket SELECT n, 'T-' || n, 'desk', 1.7e9 {MANY}",
    f"INSERT INTO ticket (id, endpoint, ticket, category, confidence, by, answered_at, seq) SELECT n, 'desk', 'T-' || n,"
    f" 'errors', 0.98, 'm', 1.7e9, 2 {MANY}",
    f"INSERT INTO said SELECT 'desk', 'T-' || n, {SHA}, n, 'errors', 0.98, 'm', 1.7e9 {MANY}",
    f"INSERT INTO answer (id, endpoint, ticket, seq, type, sha256, body, state, attempts, due_at, lease_until, token,"
    f" last_status, created_at, delivered_at) SELECT 'msg_' || lpad(n || '-' || k, 26, '0'), 'desk', 'T-' || n, k,"
    f" 'ticket.answered', CASE k WHEN 1 THEN {SHA} END, convert_to(repeat('x', 600) || n, 'UTF8'), 'delivered', 1, 1.7e9,"
    f" 0, 1, 200, 1.7e9 + n, 1.7e9 {MANY}, generate_series(1, 2) AS k",
    f"INSERT INTO attempt (id, answer_id, number, at, took_ms, status, response) SELECT 2 * n + k, 'msg_' ||"
    f" lpad(n || '-' || k, 26, '0'), 1, 1.7e9, 40, 200, convert_to('headers: date, server' || n, 'UTF8') {MANY},"
    f" generate_series(1, 2) AS k",
)
START = (
    "INSERT INTO source (id, name, scan_no) VALUES (1, 'erp', 1)",
    "INSERT INTO model (id, state, created_at, promoted_at, reason, manifest) VALUES ('m', 'champion', 1, 1, '', '{}')",
)


def measured(pictures):
    cluster = postgres.Cluster(postgres.programs(), durable=True)
    cluster.start()
    try:
        with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
            db = connect(cluster.url())
            migrate.upgrade(db)
            settings = make_settings(Path(folder), _desk("http://127.0.0.1:9/"))
            tell(db, *START)
            fill(db, 1, pictures // 10)
            few = claim_ms(db, settings)
            fill(db, pictures // 10 + 1, pictures)
            many = claim_ms(db, settings)
            sizes = {name: size(db, name) / pictures for name in TABLES}
            db.close()
            wal = wal_bytes(Path(folder), cluster)
    finally:
        cluster.remove()
    return {"pictures": pictures, "bytes_a_picture": {**sizes, "all": sum(sizes.values())}, "wal_bytes_a_picture": wal,
            "claim_ms": {str(pictures // 10): few, str(pictures): many}}  # fmt: skip


def _desk(url):
    desk = {"url": url, "secret": SECRET, "mode": "live", "allow": ["127.0.0.1"]}
    return {f"endpoints.desk.{name}": value for name, value in desk.items()}


def fill(db, first, last):
    tell(db, *(statement.format(first=first, last=last) for statement in FILL), "ANALYZE")


def tell(db, *statements):
    with db.engine.begin() as connection:
        for one in statements:
            connection.execute(text(one))


def size(db, name):
    """Bytes of a table with its indexes and what is stored apart."""
    with db.engine.connect() as connection:
        return connection.scalar(text(f"SELECT pg_total_relation_size('{name}')"))


def claim_ms(db, settings, times=20):
    """Median ms of: claim the one new picture; claim the one new answer; find that there is none."""
    took = {"picture": [], "answer": [], "nothing": []}
    for number in range(times):
        tell(
            db,
            "INSERT INTO picture (sha256, state, size_bytes, staged_at, wanted, lease_until, token, review_until)"
            f" VALUES ('new{number}', 'staged', 1, 2e9, true, 0, 0, 0)",
            "INSERT INTO answer (id, endpoint, ticket, seq, type, body, state, attempts, due_at, lease_until, token,"
            f" created_at) VALUES ('msg_new{number}', 'desk', 'N-{number}', 1, 'ticket.answered', 'x', 'pending', 0, 1, 0,"
            " 0, 1)",
        )
        assert len(timed(took["picture"], lambda: bulk.claim(db, settings, "m", time.time()))) == 1
        assert len(timed(took["answer"], lambda: delivery.claim(db, settings, time.time(), {}, {}))) == 1
        assert timed(took["nothing"], lambda: bulk.claim(db, settings, "m", time.time())) == []
        tell(db, f"DELETE FROM picture WHERE sha256 = 'new{number}'", f"DELETE FROM answer WHERE ticket = 'N-{number}'")
    return {name: round(statistics.median(found), 2) for name, found in took.items()}


def timed(into, deed):
    began = time.perf_counter()
    found = deed()
    into.append((time.perf_counter() - began) * 1000)
    return found


def wal_bytes(folder, cluster, pictures=100):
    admin = connect(cluster.url())
    with admin.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("CREATE DATABASE wal"))
    with Receiver(SECRET) as desk:
        world = Installation(folder / "wal", desk, cluster.url("wal"))
        for number in range(pictures):
            world.upload(number, f"T-{number}")
        before = lsn(admin)
        world.finish()
        after = lsn(admin)
        db = connect(cluster.url("wal"))
        with db.read() as session:
            states = set(session.scalars(select(Answer.state)))
        assert states == {"delivered"}, states
        db.close()
    admin.close()
    return (after - before) / pictures


def lsn(db):
    with db.engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300_000)
    parser.add_argument("--json", type=Path, help="write it there too")
    arguments = parser.parse_args()
    found = json.dumps(measured(arguments.pictures), indent=2)
    print(found)
    if arguments.json:
        arguments.json.write_text(found + "\n")


if __name__ == "__main__":
    main()
