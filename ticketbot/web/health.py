"""Is the process alive, and can it work?"""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ticketbot.db import Database, migrate
from ticketbot.db.leases import LEADER, is_held
from ticketbot.db.models import Model
from ticketbot.web.access import public
from ticketbot.web.context import Services, services
from ticketbot.web.problem import AGAIN_S

blueprint = Blueprint("health", __name__)

# With less the database itself may fail at any moment.
ROOM_BYTES = 16 * 2**20
# What is said of a part that is missing. Anybody may ask, so no path, no name and no address is in it.
SAID = {
    "database": "the database does not answer",
    "schema": "the database's schema is not this version's",
    "writable": "the database is read-only, or somebody holds its lock",
    "disk": "the disk of data_dir is full, or data_dir is gone",
    "staging": "the staging area cannot be written",
    "worker": "no worker is alive: nothing is collected, classified or delivered",
    "model": "the model in service cannot be loaded, or there is none where one is required",
}


@blueprint.get("/healthz")
@public
def alive() -> ResponseReturnValue:
    """This process answers. Touches nothing else: a database that is down is no reason to restart us."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@public
def ready() -> ResponseReturnValue:
    """200 when we can work, else 503, each part that is missing by its name, and a sentence about it.

    Database (answers, ours, can be written), room, staging area, a worker where a tree is watched, the model loads.
    """
    found = checks(services())
    missing = [name for name, good in found.items() if not good]
    answer = jsonify(
        ready=not missing,
        checks={name: "ok" if good else "missing" for name, good in found.items()},
        problems=[SAID[name] for name in missing],
    )
    if missing:
        answer.status_code = 503
        answer.headers["Retry-After"] = str(AGAIN_S)
    return answer


def checks(made: Services) -> dict[str, bool]:
    """By the names of SAID: is it well? Cheap: some reads, no sync; only the first one loads the model."""
    found = {**_of_disk(made.settings.data_dir), **_of_database(made)}
    return {name: found[name] for name in SAID if name in found}


def _of_database(made: Services) -> dict[str, bool]:
    try:
        schema = migrate.current(made.db) == _head(made.db)
        with made.db.read() as session:
            champion = schema and session.scalar(select(Model.id).where(Model.state == "champion")) is not None
            worker = schema and is_held(session, LEADER, made.now(), made.settings.schedule.lease_s)
        found = {"database": True, "schema": schema, "writable": made.db.can_write()}
        if champion or made.model_required:  # without one pictures are collected and wait: that is work too
            found["model"] = champion and made.model_problem() is None
    except SQLAlchemyError:
        return {"database": False}
    if made.settings.sources:  # without one there is only /classify to answer, which needs no worker
        found["worker"] = worker
    return found


def _of_disk(data_dir: Path) -> dict[str, bool]:
    staging, room = data_dir / "staging", False
    try:
        room = shutil.disk_usage(data_dir).free >= ROOM_BYTES
        # Before the first picture there is no staging area, and whoever makes it needs to write here. The file has no
        # name and is gone when it is closed.
        with tempfile.TemporaryFile(dir=staging if staging.exists() else data_dir, buffering=0) as file:
            file.write(b"x")
    except OSError:
        return {"disk": room, "staging": False}
    return {"disk": room, "staging": True}


@functools.cache
def _head(db: Database) -> str | None:
    """Reads the migration scripts: once is enough, they do not change while we run."""
    return migrate.head(db)
