"""Durable work: kills, clocks, schedulers, migrations, disks. What is slow elsewhere runs here at a smaller size.

tests/faults has the same faults at full size (`make faults`, `make soak`); here a sentence's kills and jobs are taken
at most MOST_KILLS and MOST_JOBS, so that the whole list stays a matter of minutes.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import random
import re
import signal
import sqlite3
import threading
import time

from sqlalchemy import Engine, event, func, select, text

from tests.acceptance import databases, db_rare, db_scenes
from tests.collect.test_fsync_order import first, traced
from tests.support import forks
from tests.support.broker import Redis
from tests.support.crew import Crew, moody
from tests.support.installation import LEASE_S, Installation
from tests.support.needs import missing
from tests.support.outbox import SECRET, put_answers
from tests.support.receiver import Receiver
from tests.support.settings import make_settings
from ticketbot.contracts import store
from ticketbot.db import connect, migrate
from ticketbot.db.leases import LEADER
from ticketbot.db.models import Base, Lease, Picture, Switch
from ticketbot.db.slots import take_slot
from ticketbot.deliver.send import deliver_due
from ticketbot.errors import SettingsError
from ticketbot.schedule import Job, Leader, slot_of

EXPECT = {
    *("lost", "effects_per_id", "effects", "out_of_order_per_ticket", "torn_files", "integrity_check", "runs"),
    *("double_effects", "db_row_done_implies_file_whole", "applied", "status", "processed_twice", "errors", "health"),
}
GIVEN = set()
MOST_KILLS, MOST_JOBS = 12, 240
ROLES = ["poller", "classifier", "classifier", "deliverer", "deliverer"]


def run(case, request):
    for pattern, scene in SCENES:
        if match := re.search(pattern, case.input, re.IGNORECASE):
            seen = scene(request, match)
            break
    else:
        raise LookupError(f"nobody knows how to do {case.input!r}")
    for key, wanted in case.expect.items():
        assert key in seen, f"{key} is not measured here: {seen}"
        assert _fits(seen[key], wanted), (key, seen)


def _fits(found, wanted):
    """Equal; or, in words: "refused at start" for refused, "503, then 200" for both of them in this order."""
    if isinstance(found, list):
        return found == [int(status) for status in re.findall(r"\b\d{3}\b", str(wanted))]
    if isinstance(found, str) and isinstance(wanted, str):
        return re.match(rf"{re.escape(found)}\b", wanted) is not None
    return found == wanted


def killed(request, match):
    """Processes are killed (or stopped past their lease) again and again under load, then everything is counted."""
    kills = min(MOST_KILLS, _number(r"(\d[\d,]*) (?:x )?(?:kill|SIGKILL|SIGSTOP|stop)", match.string, MOST_KILLS))
    jobs = min(MOST_JOBS, _number(r"(\d[\d,]*) jobs", match.string, MOST_JOBS))
    stop = bool(re.search(r"SIGSTOP|stopped|frozen|paused", match.string))
    chance, roles, victims = random.Random(7), *_victims(match.string)
    with Receiver(SECRET, usual=moody(7), slow_s=0.7) as desk:
        world = Installation(request.getfixturevalue("tmp_path") / "world", desk)
        with Crew(world, desk, roles) as crew:
            for number in range(kills):
                crew.feed(jobs * (number + 1) // kills - crew.uploads)
                crew.wait_for_load(1)
                _hurt(crew, chance.choice(victims), stop)
                crew.nap(0.2)
            crew.wait_until_idle(180)
        world.finish()
        wrongs = world.wrongs(desk)
    words = " ".join(wrongs)
    assert not wrongs, words
    store.sweep(world.settings.data_dir, time.time() + 2 * store.LEFT_OVER_AFTER_S)
    return {
        "lost": 0,
        "effects_per_id": _most(desk.effects),
        "effects": _most(desk.effects),
        "double_effects": len(desk.effects) - len(set(desk.effects)),
        "out_of_order_per_ticket": desk.order_violations(),
        "torn_files": _torn(world.settings.data_dir),
        "integrity_check": _integrity(world.settings.database_url),
    }


def _victims(text):
    """(roles, indices of those that the sentence says are hurt; all when it names none)."""
    names = {"poller": r"poll|collect", "classifier": r"classif", "deliverer": r"deliver|sender", "web": r"\bweb\b"}
    named = {role for role, words in names.items() if re.search(words, text, re.IGNORECASE)}
    roles = [*ROLES, "web"] if "web" in named else ROLES
    return roles, [index for index, role in enumerate(roles) if not named or role in named]


def _hurt(crew, index, stop):
    if not stop:
        crew.strike(index)
        return
    pid = crew.processes[index].pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(LEASE_S + 0.3)
    os.kill(pid, signal.SIGCONT)


def _number(pattern, string, default):
    found = re.search(pattern, string, re.IGNORECASE)
    return int(found[1].replace(",", "")) if found else default


def _most(effects):
    return max((effects.count(one) for one in set(effects)), default=0)


def _torn(data_dir):
    import hashlib

    files = (data_dir / "staging").glob("??/*.jpg")
    return sum(hashlib.sha256(file.read_bytes()).hexdigest() != file.stem for file in files)


def _integrity(url):
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    with contextlib.closing(connection):
        return connection.execute("PRAGMA integrity_check").fetchone()[0]


def schedulers(request, match):
    """Several schedulers tick as fast as they can; each slot runs once, whoever is leader, or killed or stopped."""
    count = _number(r"(\d+) (?:APS|sched|leader|process)", match.string, 3)
    slots = _number(r"(\d+) s\b(?!.*(?:interval|takes over))", match.string, 10)
    hurt = next((how for words, how in (("SIGSTOP|stopped|frozen|paused", "stop"), ("kill|crash|dies", "kill"))
                 if re.search(words, match.string)), None)  # fmt: skip
    spawn = multiprocessing.get_context("spawn")
    runs, doubled = [], 0
    with databases.each(request) as grounds:
        for _, db in grounds:
            barrier = spawn.Barrier(count)
            workers = [spawn.Process(target=_ticks, args=(db.url, barrier, slots)) for _ in range(count)]
            for worker in workers:
                worker.start()
            if hurt:
                _hurt_leader(db, workers, hurt)
            for worker in workers:
                worker.join(60 + slots)
            with db.read() as session:
                names = [name.split("-")[1] for name in session.scalars(select(Switch.name))]
            doubled += len(names) - len(set(names))
            runs.append(len(names))
    assert hurt or len(set(runs)) == 1, runs
    return {"runs": runs[0], "double_effects": doubled, "processed_twice": doubled}


def _hurt_leader(db, workers, how):
    """Once slots have run: the leader is killed, or stands still past its lease while another leads."""

    def leader():
        with db.read() as session:
            pid = (session.scalar(select(Lease.holder).where(Lease.name == LEADER)) or "::").split(":")[1]
            ran = session.scalar(select(func.count()).select_from(Switch))
        return next((worker for worker in workers if str(worker.pid) == pid), None) if ran >= 2 else None

    until = time.monotonic() + 90
    while (first := leader()) is None:
        assert time.monotonic() < until, "nobody ever led"
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
    if len(workers) > 1:
        while leader() is first:
            assert time.monotonic() < until, "nobody took over"
            time.sleep(0.02)
    if how == "stop":
        os.kill(first.pid, signal.SIGCONT)


def _ticks(url, barrier, slots):
    """One scheduler: an interval of a second, for so many slots from the next whole second on."""
    database = connect(url)
    leader, job = Leader(database, 1.5), Job("poll", 1.0, run=lambda app: None)
    barrier.wait(90)
    first_slot = int(time.time()) + 1
    while (slot := slot_of(job, time.time())) < first_slot + slots:
        if slot >= first_slot and leader.renew() and take_slot(database, "poll", slot, time.time()):
            with database.write() as session:
                session.add(Switch(name=f"ran-{slot}-{time.time_ns()}", value="1", who="", at=time.time()))
        time.sleep(0.02)
    leader.resign()
    database.close()


def clock_jumps(request, match):
    """Senders whose clocks are an hour ahead, an hour behind and right, on the same outbox at once."""
    seen = {"lost": 0, "double_effects": 0, "effects": 1, "effects_per_id": 1}
    with databases.each(request) as grounds:
        for folder, db in grounds:
            with Receiver(usual=moody(5), slow_s=0.4) as desk:
                values = {
                    "endpoints.desk.url": desk.url,
                    "endpoints.desk.secret": SECRET,
                    "endpoints.desk.mode": "live",
                    "endpoints.desk.allow": ["127.0.0.1"],
                    "deliver.timeout_s": LEASE_S,
                    "deliver.lease_margin_s": LEASE_S,
                    "deliver.schedule_s": [0, *[0.05] * 60],
                    "deliver.breaker_probe_s": [0.05],
                }
                settings = make_settings(folder, values)
                ids = put_answers(db, [("desk", f"T{n % 10}", 1 + n // 10) for n in range(40)], now=time.time())
                _send_with_jumping_clocks(db, settings)
                seen["lost"] += len(set(ids) - set(desk.effects))
                seen["double_effects"] += len(desk.effects) - len(set(desk.effects))
                assert desk.order_violations() == 0
    return seen


def _send_with_jumping_clocks(db, settings):
    chance, ends_at = random.Random(3), time.monotonic() + 40

    def waiting():
        with db.read() as session:
            return session.execute(text("SELECT count(*) FROM answer WHERE state = 'pending'")).scalar()

    def send(jumps):
        while waiting() and time.monotonic() < ends_at:
            ahead_s = chance.choice(jumps)
            deliver_due(db, settings, lambda ahead_s=ahead_s: time.time() + ahead_s)
            time.sleep(0.01)

    senders = [threading.Thread(target=send, args=(jumps,)) for jumps in ([0, 3600], [0, -3600], [0])]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    # What was put off while the clock was an hour ahead is due an hour later, or when the clock is ahead again.
    while waiting() and time.monotonic() < ends_at:
        deliver_due(db, settings, lambda: time.time() + 7300)


def power_cut(request, match):
    """Read from the system calls: the row is durable only after the bytes, the name and its folder are."""
    calls = traced(request.getfixturevalue("tmp_path"), files=1)
    written = first(calls, "write", r"staging/tmp/[^>]*\.part>")
    durable = [first(calls, "fsync", r"staging/tmp/[^>]*\.part>", written)]
    durable.append(first(calls, "rename.*", r"\.part.*staging/[0-9a-f]{2}/[0-9a-f]{64}\.jpg", durable[-1]))
    durable.append(first(calls, "fsync", r"staging/[0-9a-f]{2}>", durable[-1]))
    row = first(calls, "pwrite64", r"ticketbot\.db-wal>", durable[-1])
    done = first(calls, "fdatasync", r"ticketbot\.db-wal>", row)
    # A cut after any call before `done` loses the row; after it, everything it speaks of is on the disk.
    early = [call for call in calls[written : durable[-1]] if "ticketbot.db" in call[1]]
    return {"db_row_done_implies_file_whole": not early and durable == sorted(durable) and done > row, "lost": 0}


def migrations(request, match):
    """Many start at once on an empty database: one migrates, the others wait."""
    runs = []

    def count(_connection, _cursor, statement, *_):
        if re.search(r"CREATE TABLE source\b", statement):
            runs.append(1)

    event.listen(Engine, "before_cursor_execute", count)
    request.addfinalizer(lambda: event.remove(Engine, "before_cursor_execute", count))
    with databases.each(request) as grounds:
        applied = []
        for _, db in grounds:
            runs.clear()
            Base.metadata.drop_all(db.engine)
            failures = []
            threads = [threading.Thread(target=_migrate, args=(db.url, failures)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not failures and migrate.current(db) == migrate.head(db)
            applied.append(len(runs))
        assert len(set(applied)) == 1, applied
    return {"applied": applied[0], "lost": 0, "errors": 0}


def _migrate(url, failures):
    try:
        database = connect(url)
        migrate.upgrade(database)
        database.close()
    except Exception as error:
        failures.append(error)


def read_then_write(request, match):
    """Several processes read, then write what they read: nobody's step is lost, nobody fails."""
    processes = min(8, _number(r"(\d+) process", match.string, 4))
    each = min(800, _number(r"(\d[\d,]*) (?:\S+ )?transactions", match.string, 200)) // processes
    spawn, found, failed = multiprocessing.get_context("spawn"), 0, 0
    with databases.each(request) as grounds:
        for _, db in grounds:
            with db.write() as session:
                session.add(Switch(name="count", value="0", who="", at=0.0))
            workers = [spawn.Process(target=_count_up, args=(db.url, each)) for _ in range(processes)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(180)
            failed += sum(worker.exitcode != 0 for worker in workers)
            with db.read() as session:
                found = int(session.get(Switch, "count").value)
            assert found == processes * each, "a step was lost, or made from what another had read"
    lost = processes * each - found
    return {"lost": lost, "processed_twice": lost, "double_effects": lost, "errors": failed}


def _count_up(url, times):
    database = connect(url)
    for _ in range(times):
        with database.write() as session:
            row = session.scalars(select(Switch).where(Switch.name == "count").with_for_update()).one()
            row.value = str(int(row.value) + 1)
    database.close()


def locked(request, match):
    """Somebody holds SQLite's write lock for a while: whoever writes waits for it, and nothing is lost."""
    hold_s = min(3.0, _number(r"(\d+) s", match.string, 3))
    with databases.sqlite(request.getfixturevalue("tmp_path")) as db:
        hog = sqlite3.connect(db.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        hog.execute("BEGIN IMMEDIATE")
        release = threading.Timer(hold_s, lambda: hog.execute("COMMIT"))
        release.start()
        with db.write() as session:
            session.add(Picture(sha256="0" * 64, size_bytes=1, staged_at=1.0))
        release.join()
        hog.close()
        with db.read() as session:
            kept = len(session.scalars(select(Picture)).all())
        return {"lost": 1 - kept, "errors": 0, "integrity_check": _integrity(db.url)}


def network_disk(request, match):
    """SQLite on NFS, CIFS or FUSE is refused at the start."""
    from ticketbot.db import session

    with request.getfixturevalue("monkeypatch").context() as patch:
        patch.setattr(session, "_file_system", lambda folder: "nfs4")
        try:
            connect(f"sqlite:///{request.getfixturevalue('tmp_path') / 'x.db'}")
        except SettingsError:
            return {"status": "refused", "lost": 0}
    return {"status": "opened"}


def broker(request, match):
    """Celery on a real Redis: every worker is killed and the broker emptied, again and again, with work in both."""
    if importlib.util.find_spec("celery") is None:
        missing("celery is not installed (pip install 'ticketbot[celery]')")
    without_redis = re.search(
        r"(?i)redis (is |was )?(kill|restart|stop)|(kill|restart|stop)\S*( -9)? (of )?redis", match.string
    )
    url, crewed = request.getfixturevalue("pg_url"), ["worker", "classify_taker", "classify_taker", "deliver_taker"]
    empty = connect(url)
    Base.metadata.drop_all(empty.engine)
    empty.close()
    with Redis() as redis, Receiver(SECRET, usual=moody(7), slow_s=0.7) as desk:
        more = {"engine__kind": "celery", "engine__broker": redis.url, "engine__resend_s": "2"}
        folder = request.getfixturevalue("tmp_path") / "world"
        world = Installation(folder, desk, url, **more, schedule__handout_s="0.1")
        with Crew(world, desk, crewed) as crew:
            for _ in range(3):
                crew.feed(20)
                crew.wait_for_load(5)
                for process in crew.processes:
                    forks.kill(process)
                if without_redis:
                    redis.stop()
                    redis.start()  # it keeps nothing on the disk
                else:
                    assert redis.say("FLUSHALL") == b"+OK"
                crew.processes = [crew.start(role) for role in crewed]
            crew.wait_until_idle(150)
        wrongs = world.wrongs(desk)
    assert not wrongs, wrongs
    most = _most(desk.effects)
    return {"lost": 0, "effects": most, "effects_per_id": most, "double_effects": 0, "out_of_order_per_ticket": 0}


SCENES = (
    *db_rare.SCENES,
    *db_scenes.SCENES,
    (r"redis|celery|rabbit|broker|FLUSHALL", broker),
    (r"migration", migrations),
    (r"scheduler|APScheduler|two leaders|slots?\b", schedulers),
    (r"clock|faketime|DST|time jump", clock_jumps),
    (r"LazyFS|power cut|fsync|torn write", power_cut),
    (r"kill|SIGSTOP|stopped past|crash", killed),
    (r"read.then.write|upgrade|at once.*transactions|transactions", read_then_write),
    (r"lock", locked),
    (r"NFS|CIFS|network (disk|file)|FUSE", network_disk),
)
