"""Does the cost of a round grow with what is done already? Every statement of the hot path, as SQLite plans it.

No table that grows for ever may be scanned; indexes of what waits (db/models/) may. PostgreSQL has the same indexes,
and chooses by its statistics.
"""

import re
import time
from functools import partial

import pytest
from sqlalchemy import event, update

from tests.support.settings import make_settings
from ticketbot.classify import backfill, bulk
from ticketbot.collect import staging, ticket, walk
from ticketbot.collect.book import source_row
from ticketbot.collect.lookups import Lookups
from ticketbot.db import connect
from ticketbot.db.models import Base, Model, Picture, Prediction
from ticketbot.deliver import outbox, send
from ticketbot.engine import handout
from ticketbot.operate import pending
from ticketbot.review import labels, queue

GROW = {"file", "picture", "prediction", "answer", "ticket", "said", "file_ticket", "attempt", "label_event"}
# Indexes that hold only what waits.
WAITING = {"ix_file_unsettled", "ix_file_refused", "ix_file_resolve", "ix_answer_due", "ix_answer_fifo"}


@pytest.fixture
def db(tmp_path):
    opened = connect(f"sqlite:///{tmp_path / 'plans.db'}")
    Base.metadata.create_all(opened.engine)
    with opened.write() as session:
        session.add(Model(id="m", state="champion", created_at=1.0, promoted_at=1.0, manifest={}))
    yield opened
    opened.close()


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "erp" / "1").mkdir(parents=True)
    (tmp_path / "erp" / "1" / "a.jpg").write_bytes(b"\xff\xd8\xff picture")
    desk = {"endpoints.desk.url": "http://127.0.0.1:9/", "endpoints.desk.allow": ["127.0.0.1"]}
    live = {"endpoints.desk.mode": "live", "endpoints.desk.secret": "whsec_" + "A" * 32}
    own = {"sources.erp.root": tmp_path / "erp", "sources.erp.endpoint": "desk", "sources.erp.settle_s": 0}
    return make_settings(tmp_path, {**own, "sources.erp.history": "deliver", **desk, **live})


def scan(db, settings):
    source = settings.sources["erp"]
    for after_s in (0, 10, 20):
        walk.scan(db, "erp", source, settings.collect, now=time.time() + after_s, sweep=after_s == 20)


def stage(db, settings):
    scan(db, settings)
    found = staging.stage(db, "erp", settings.sources["erp"], settings.data_dir, now=time.time() + 60)
    assert found.staged == 1


def resolve(db, settings):
    source_row(db, "erp")
    lookups = Lookups()
    ticket.resolve(db, settings.sources, now=time.time(), lookups=lookups)
    lookups.close()


def claim_pictures(db, settings):
    stage(db, settings)
    assert len(bulk.claim(db, settings, "m", time.time() + 120, sharers=2)) == 1


def claim_the_past(db, settings):
    stage(db, settings)
    with db.write() as session:
        session.execute(update(Picture).where(Picture.staged_at > 0).values(wanted=False))
    backfill.start(db, "ann", time.time())
    assert len(backfill.claim(db, settings, "m", time.time() + 120)) == 1


def write_answers(db, settings):
    """The transaction in which a batch's answers are written, and the outbox hears of them."""
    stage(db, settings)
    (one,) = bulk.claim(db, settings, "m", time.time() + 120)
    worker = bulk.Bulk(db, settings, None, None, partial(_announce, db, settings))
    said = Prediction(sha256=one.sha256, model_id="m", state="done", category="errors", confidence=0.9, created_at=1.0)
    assert worker._write([bulk.Seen(one)], [said])


def _announce(db, settings, session, sha256, now):
    outbox.announce(session, db, settings, sha256, now)


def take_pages_and_label(db, settings):
    write_answers(db, settings)
    page = {"who": "rita", "page": "page0001", "n": 4, "lease_s": 60.0, "now": time.time()}
    (one,) = queue.take(db, blind_share=0.25, **page)
    queue.take_alike(db, blind_share=0.0, **page)
    words = {"new": "errors", "who": "rita", "at": time.time(), "how": "page", "key": "key-0001"}
    with db.write() as session:
        assert labels.record(session, sha256=one.sha256, on_label=partial(_announce, db, settings), **words)


def hand_out(db, settings):
    stage(db, settings)
    sent = []
    handout.hand_out(db, settings, time.time() + 120, lambda kind, ids: sent.extend(ids))
    assert sent
    handout.received(db, handout.CLASSIFY, sent[0], time.time() + 121)


def is_there_something(db, settings):
    with db.read() as session:
        pending.to_classify(session)


def what_waits(db, settings):
    with db.read() as session:
        pending.look(session, settings, time.time())


def decide(db, settings):
    outbox.decide_tickets(db, settings, time.time())


def deliver(db, settings):
    send.deliver_due(db, settings)


@pytest.mark.parametrize(
    "step",
    [
        scan,
        stage,
        resolve,
        claim_pictures,
        claim_the_past,
        write_answers,
        take_pages_and_label,
        hand_out,
        is_there_something,
        what_waits,
        decide,
        deliver,
    ],
)
def test_no_statement_scans_what_grows(db, settings, step):
    said = listen(db)
    step(db, settings)
    assert said
    wrong = {query: lines for query, plan in plans(db, said) if (lines := bad(plan))}
    assert wrong == {}


def test_the_check_sees_a_scan(db):
    said = [("SELECT count(*) FROM picture WHERE width = ?", (3,)), ("SELECT id FROM answer ORDER BY due_at", ())]
    assert all(bad(plan) for _, plan in plans(db, said))


@pytest.mark.parametrize("step", [claim_pictures, hand_out, is_there_something, what_waits])
def test_what_is_done_is_not_passed_over(db, settings, step):
    """An index that is searched by its first columns only can still be read from end to end."""
    found = [plan for _, plan in plans(db, listen_to(db, settings, step))]
    searched = [line for plan in found for line in plan if "ix_picture_classify" in line]
    assert searched and [line for line in searched if "model_id" not in line] == []


@pytest.mark.parametrize("step", [claim_pictures, claim_the_past, deliver, stage])
def test_the_next_ones_come_from_an_index_in_their_order(db, settings, step):
    said = [one for one in listen_to(db, settings, step) if "LIMIT" in one[0] and "FOR ORDER" not in one[0]]
    sorted_anew = [query for query, plan in plans(db, said) if "USE TEMP B-TREE FOR ORDER BY" in " ".join(plan)]
    assert sorted_anew == []


def listen_to(db, settings, step):
    said = listen(db)
    step(db, settings)
    return said


def listen(db):
    """(statement, values) of all that is said to the database from now on."""
    said = []
    for engine in {db.engine, db.reader, db.unsynced}:
        event.listen(
            engine, "before_cursor_execute", lambda _c, _k, query, values, _x, _m: said.append((query, values))
        )
    return said


def plans(db, said):
    """(statement, lines of its plan)"""
    with db.engine.connect() as connection:
        raw = connection.connection.driver_connection
        for query, values in said:
            if query.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
                values = values[0] if isinstance(values, list) else values
                yield query, [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}", values)]


def bad(plan):
    """Lines that read a table that grows from one end to the other."""
    found = [re.match(r"SCAN (?:TABLE )?(\w+)(?:.* INDEX (\w+))?", line) for line in plan]
    return [one[0] for one in found if one and re.sub(r"_\d+$", "", one[1]) in GROW and one[2] not in WAITING]
