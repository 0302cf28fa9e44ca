"""Do transactions keep two workers from doing the same thing?"""

import sqlite3
import threading

from sqlalchemy import select, text, update

from ticketbot.db import connect
from ticketbot.db.models import Base, Lease, Switch


def test_a_write_session_commits_at_the_end(db):
    with db.write() as session:
        session.add(Switch(name="paused", value="1", who="me", at=1.0))
    with db.read() as session:
        assert session.get(Switch, "paused").value == "1"


def test_an_exception_rolls_back(db):
    try:
        with db.write() as session:
            session.add(Switch(name="paused", value="1", who="me", at=1.0))
            session.flush()
            raise KeyError
    except KeyError:
        pass
    with db.read() as session:
        assert session.get(Switch, "paused") is None


def test_a_conditional_update_is_won_by_one_of_many(db):
    with db.write() as session:
        session.add(Lease(name="leader", holder="nobody", until=0.0, token=0))
    won = []

    def claim(me):
        with db.write() as session:
            claimed = update(Lease).where(Lease.name == "leader", Lease.holder == "nobody").values(holder=me)
            if session.execute(claimed).rowcount:
                won.append(me)

    threads = [threading.Thread(target=claim, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        assert [session.scalar(select(Lease.holder))] == won


def test_read_then_write_counts_every_step(db):
    """The driver's default transactions lost or doubled updates here; ours lock before they read."""
    with db.write() as session:
        session.add(Lease(name="count", holder="", until=0.0, token=0))

    def add():
        for _ in range(20):
            with db.write() as session:
                query = db.for_claim(select(Lease).where(Lease.name == "count"))
                row = session.scalar(query if db.is_sqlite else select(Lease).with_for_update())
                row.token += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        assert session.get(Lease, "count").token == 80


def test_insert_of_what_is_there_does_nothing(db):
    values = {"name": "x", "value": "1", "who": "me", "at": 1.0}
    for value in ("1", "2"):
        with db.write() as session:
            session.execute(db.insert(Switch).values({**values, "value": value}).on_conflict_do_nothing())
    with db.read() as session:
        assert session.get(Switch, "x").value == "1"


def test_a_new_file_that_another_is_writing_is_waited_for(tmp_path):
    """SQLite refuses the switch to WAL at once then, whatever the timeout is: two that started at once met it."""
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.2, other.execute, args=("COMMIT",))
    end.start()
    database = connect(f"sqlite:///{path}")
    with database.read() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
    end.join()
    other.close()
    database.close()


def test_a_log_that_grew_is_cut_when_nobody_reads_and_left_when_somebody_does(tmp_path):
    database = connect(f"sqlite:///{tmp_path / 'new.db'}")
    Base.metadata.create_all(database.engine)
    log = tmp_path / "new.db-wal"
    with database.read() as session:
        session.execute(text("SELECT count(*) FROM switch")).scalar()
        with database.write() as writing:
            writing.add(Switch(name="x", value="y" * 100_000, who="me", at=1.0))
        assert not database.shrink_log(), "a reader still needs it"
    assert log.stat().st_size > 100_000
    assert database.shrink_log() and log.stat().st_size == 0
    with database.read() as session:
        assert len(session.get(Switch, "x").value) == 100_000
    database.close()
