"""Is the process alive, and can it work?"""

from __future__ import annotations

import functools
import shutil

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ticketbot.db import Database, migrate
from ticketbot.db.leases import LEADER, is_held
from ticketbot.db.models import Model
from ticketbot.web.access import public
from ticketbot.web.context import Services, services

blueprint = Blueprint("health", __name__)

# With less the database itself may fail at any moment.
ROOM_BYTES = 16 * 2**20


@blueprint.get("/healthz")
@public
def alive() -> ResponseReturnValue:
    """This process answers. Touches nothing else: a database that is down is no reason to restart us."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@public
def ready() -> ResponseReturnValue:
    """200 when we can work, else 503 and what is missing.

    Database, schema, room on the disk, a worker where a tree is watched, and (where one is required) a model.
    """
    found = checks(services())
    good = all(found.values())
    return jsonify(ready=good, checks={name: "ok" if value else "missing" for name, value in found.items()}), (
        200 if good else 503
    )


def checks(made: Services) -> dict[str, bool]:
    try:
        schema = migrate.current(made.db) == _head(made.db)
        with made.db.read() as session:
            champion = schema and session.scalar(select(Model.id).where(Model.state == "champion")) is not None
            writable = made.db.can_write()
            worker = schema and is_held(session, LEADER, made.now(), made.settings.schedule.lease_s)
    except SQLAlchemyError:
        return {"database": False}
    room = shutil.disk_usage(made.settings.data_dir).free >= ROOM_BYTES
    found = {"database": True, "schema": schema, "writable": writable, "disk": room}
    if made.settings.sources:  # without one there is only /classify to answer, which needs no worker
        found["worker"] = worker
    return {**found, "model": champion} if made.model_required else found


@functools.cache
def _head(db: Database) -> str | None:
    """Reads the migration scripts: once is enough, they do not change while we run."""
    return migrate.head(db)
