"""The database: does it answer, is its schema ours, are its rules on, is anything stuck?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ticketbot.db import Database, migrate
from ticketbot.deliver import alerts, claim
from ticketbot.operate import backup, pending, plainly
from ticketbot.operate.checks.finding import Finding, Patient, fault, note, ok

SKEW_S = 5.0
# A full check of a large file takes minutes; the quick one reads every page once.
QUICK_CHECK_MB = 512
BACKUP_OLD_S = 3 * 86400.0
SQLITE_RULES = {"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"}
CHECK = "database"


def answers(patient: Patient) -> Iterator[Finding]:
    url = patient.settings.database_url
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///").split("?")[0]).is_file():
        yield fault(
            CHECK, f"there is none yet at {url.removeprefix('sqlite:///')}", "ticketbot init, or start the service"
        )
        return
    db = Database(url)
    try:
        found = list(_schema(db))
    except SQLAlchemyError as error:
        db.close()
        do = (
            "put a backup back: ticketbot restore"
            if db.is_sqlite
            else "is it running, and may we sign in? database.url"
        )
        yield fault(CHECK, f"cannot be used: {plainly.of_database(error)}", do)
        return
    yield from found
    if any(one.level == "fault" for one in found):
        db.close()
    else:
        patient.db = db


def _schema(db: Database) -> Iterator[Finding]:
    here, head = migrate.current(db), migrate.head(db)
    if here is not None and here not in migrate.known(db):
        do = "install that version again, or restore a backup that was made before"
        yield fault(CHECK, f"its schema {here} is of a newer ticketbot (this one knows {head})", do)
        return
    if not db.can_write():
        yield fault(CHECK, "it is read-only, or somebody holds its lock", "look at its rights, or who uses it")
        return
    shown = "SQLite" if db.is_sqlite else "PostgreSQL"
    if here != head:
        yield note(
            CHECK, f"its schema is {here or 'none'}, ours {head}", "the next start brings it forward; back up first"
        )
    else:
        yield ok(CHECK, f"{shown}, schema {here}, can be written")


def rules(patient: Patient) -> Iterator[Finding]:
    if patient.db is None:
        return
    yield from _sqlite(patient.db) if patient.db.is_sqlite else _postgres(patient.db, patient)


def _sqlite(db: Database) -> Iterator[Finding]:
    name = "rules of the database"
    with db.reader.connect() as connection:
        found = {rule: str(connection.scalar(text(f"PRAGMA {rule}"))) for rule in SQLITE_RULES}
        if wrong := [rule for rule, wanted in SQLITE_RULES.items() if found[rule] != wanted]:
            yield fault(
                name, f"{wrong[0]} is {found[wrong[0]]}", "is the database on a network drive? Use a local disk"
            )
            return
        if Path(db.path).stat().st_size > QUICK_CHECK_MB * 2**20:
            yield note(name, "too large to read through here", f"sqlite3 {db.path} 'PRAGMA quick_check'")
            return
        said = [str(row[0]) for row in connection.execute(text("PRAGMA quick_check(3)"))]
        if said != ["ok"]:
            yield fault(
                name, f"the file is damaged: {said[0].splitlines()[-1]}", "put a backup back: ticketbot restore"
            )
            return
        lost = connection.execute(text("PRAGMA foreign_key_check")).first()
    if lost is not None:
        yield fault(name, f"rows of the table {lost[0]} point nowhere", "put a backup back: ticketbot restore")
        return
    yield ok(name, "WAL, full sync, foreign keys; every page reads well")


def _postgres(db: Database, patient: Patient) -> Iterator[Finding]:
    name = "rules of the database"
    with db.engine.connect() as connection:
        encoding = connection.scalar(text("SHOW server_encoding"))
        sync = connection.scalar(text("SHOW synchronous_commit"))
        fsync = connection.scalar(text("SHOW fsync"))
        away_s = float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0) - patient.now()
    if encoding != "UTF8":
        yield fault(
            name, f"its encoding is {encoding}; names in other scripts would fail", "make it with ENCODING 'UTF8'"
        )
    if abs(away_s) > SKEW_S:
        yield fault(name, f"its clock is {away_s:+.0f} s away from ours", "set both by NTP: leases compare times")
    if fsync != "on" or sync == "off":
        yield note(name, f"fsync = {fsync}, synchronous_commit = {sync}: a power cut loses answers", "switch both on")
    else:
        yield ok(name, f"{encoding}, fsync, commits wait for the disk")


def backed_up(patient: Patient) -> Iterator[Finding]:
    db = patient.db
    if db is None or migrate.current(db) != migrate.head(db):
        return
    with db.read() as session:
        at = backup.last_at(session)
    if at is None:
        do = "ticketbot backup; every night: systemctl enable --now ticketbot-backup.timer"
        yield note("backup", "none was ever made", do)
    elif patient.now() - at > BACKUP_OLD_S:
        days = (patient.now() - at) / 86400
        yield note(
            "backup", f"the last one is {days:.0f} days old", "systemctl status ticketbot-backup; ticketbot backup"
        )
    else:
        yield ok("backup", f"the last one was made and verified {time.strftime('%Y-%m-%d %H:%M', time.localtime(at))}")


def stuck(patient: Patient) -> Iterator[Finding]:
    """What does not go on without a person, and what the service itself complains about."""
    db = patient.db
    if db is None or migrate.current(db) != migrate.head(db):
        return
    with db.read() as session:
        sentences = pending.stuck(session)
        raised = alerts.current(session)
        paused = claim.is_paused(session)
        found = pending.look(session, patient.settings, patient.now())
    if paused:
        yield note("work", "deliveries are paused", "ticketbot resume")
    yield from (fault("work", sentence, "see the page, or: ticketbot answers") for sentence in sentences)
    said_of = {sentence.split()[1] for sentence in sentences if sentence.startswith("endpoint ")}
    for one in raised:
        if one.endpoint not in said_of:
            yield fault("work", f"endpoint {one.endpoint}: {one.text}", "ticketbot endpoints")
    if not sentences and not raised:
        yield ok("work", f"nothing is stuck; {found.total} things wait for their time")
