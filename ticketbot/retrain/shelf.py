"""Which model is in service, which was before, which may come next?

A bundle comes onto the shelf (data_dir/models/<id>) whole or not at all: copied beside its place, checked there, tried
in a child process, renamed, then the row. What serves is decided by one row in state `champion`; the database allows
one. Promotion and rollback change rows only, so a half-done one does not exist.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ticketbot.contracts import bundle
from ticketbot.contracts.bundle import MANIFEST, Manifest
from ticketbot.contracts.files import sync_folder
from ticketbot.db import Database
from ticketbot.db.models import Audit, Model
from ticketbot.db.rows import rows
from ticketbot.errors import BundleRefused, Conflict, UsageError
from ticketbot.failpoints import failpoint
from ticketbot.judge import trust
from ticketbot.judge.probe import probe
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

COPY_LEFT_S = 3600.0


def folder_of(settings: Settings, model_id: str) -> Path:
    """Where a model's bundle lies."""
    if not bundle.MODEL_ID.fullmatch(model_id):
        raise UsageError(f"{model_id!r} is not the id of a model")
    return settings.data_dir / "models" / model_id


def champion(db: Database) -> Model | None:
    """The model in service."""
    with db.read() as session:
        return session.scalar(select(Model).where(Model.state == "champion"))


def listed(db: Database) -> list[Model]:
    """Every model, newest first."""
    with db.read() as session:
        return list(session.scalars(select(Model).order_by(Model.created_at.desc(), Model.id)))


def register(db: Database, settings: Settings, source: Path, reason: str = "") -> Manifest:
    """Put a bundle on the shelf as a challenger. The same one again changes nothing.

    Raises BundleRefused (hashes, files that are not listed, classes, signature, golden pictures, first run), Conflict
    for another bundle of the same id.
    """
    manifest = bundle.read(source)
    bundle.check_nothing_else(source, manifest)
    place = folder_of(settings, manifest.model_id)
    if not place.is_dir():
        _bring(settings, source, place)
    elif bundle.read(place).signed_bytes() != manifest.signed_bytes():
        raise Conflict(f"there is another model with the id {manifest.model_id}")
    row = Model(
        id=manifest.model_id,
        state="challenger",
        created_at=manifest.created_at,
        reason=reason,
        manifest=manifest.as_json(),
    )
    with db.write() as session:
        if session.get(Model, manifest.model_id) is None:
            session.add(row)
        session.flush()
        failpoint("shelf.row")
    log.info("model on the shelf", extra={"model": manifest.model_id})
    return manifest


def promote(db: Database, settings: Settings, model_id: str, *, who: str, reason: str, now: float) -> None:
    """Put a model into service; the champion becomes `previous`, and what was previous is retired.

    Raises UsageError (unknown, or its files are gone), BundleRefused, Conflict (somebody promoted meanwhile).
    """
    manifest = _ready(db, settings, model_id)
    try:
        with db.write() as session:
            if session.scalar(select(Model.id).where(Model.state == "champion")) == model_id:
                return
            session.execute(update(Model).where(Model.state == "previous").values(state="retired"))
            _crown(session, model_id, "previous", None, f"{who}: {reason}", now)
            session.add(Audit(at=now, who=who, what="model.promote", detail={"model": model_id, "reason": reason}))
    except IntegrityError:
        raise Conflict("another model was promoted at the same moment") from None
    log.info("model promoted", extra={"model": manifest.model_id, "who": who, "reason": reason})


def rollback(db: Database, settings: Settings, *, who: str, reason: str, now: float) -> str:
    """Put the model that was in service before back; the present one is refused from now on. -> its id."""
    with db.read() as session:
        earlier = session.scalars(
            select(Model.id)
            .where(Model.state.in_(("previous", "retired")), Model.promoted_at.is_not(None))
            .order_by(Model.promoted_at.desc())
        ).all()
    there = [one for one in earlier if (folder_of(settings, one) / MANIFEST).is_file()]
    if not there:
        raise UsageError("there is no earlier model to go back to")
    _ready(db, settings, there[0])
    try:
        with db.write() as session:
            _crown(session, there[0], "refused", f"rolled back by {who}: {reason}", f"{who}: rollback, {reason}", now)
            session.add(Audit(at=now, who=who, what="model.rollback", detail={"model": there[0], "reason": reason}))
    except IntegrityError:
        raise Conflict("another model was promoted at the same moment") from None
    log.info("model rolled back", extra={"model": there[0], "who": who, "reason": reason})
    return there[0]


def bring(db: Database, settings: Settings, source: Path, *, promoted: bool, who: str, now: float) -> str:
    """`models import DIR [--promote]`. -> the model's id."""
    manifest = register(db, settings, source, f"brought by {who}")
    if promoted:
        promote(db, settings, manifest.model_id, who=who, reason="import", now=now)
    return manifest.model_id


def consider(db: Database, settings: Settings, manifest: Manifest, now: float, verdict: Mapping[str, Any]) -> str:
    """After a training: promote it when the rules say so. verdict: the gate's. -> a sentence for people."""
    reigning = champion(db)
    reason = str(verdict.get("reason", ""))
    if not verdict.get("promote"):
        state = "challenger" if verdict.get("offered") or reigning is None else "refused"
        _note(db, manifest.model_id, state, reason)
        return f"not promoted: {reason}"
    if reigning is None and settings.model.first == "ask":
        _note(db, manifest.model_id, "challenger", f"waits for a person (model.first = ask): {reason}")
        return f"a person may promote it: {reason}"
    if reigning is not None and verdict.get("champion") != reigning.id:
        reason = (
            f"it was compared with {verdict.get('champion')}, but {reigning.id} is in service; a person must decide"
        )
        _note(db, manifest.model_id, "challenger", reason)
        return f"not promoted: {reason}"
    promote(db, settings, manifest.model_id, who="gate", reason=reason, now=now)
    return f"promoted: {reason}"


def tidy(db: Database, settings: Settings) -> list[str]:
    """Take the bundles of all but champion, previous and the newest `model.keep` others off the disk. -> their ids."""
    spare = [model for model in listed(db) if model.state not in ("champion", "previous")]
    gone = []
    for model in spare[settings.model.keep :]:
        with db.write() as session:
            # The condition again: it may have been promoted since.
            changed = session.execute(
                update(Model)
                .where(Model.id == model.id, Model.state.not_in(("champion", "previous")))
                .values(state="retired")
            )
        place = folder_of(settings, model.id)
        if rows(changed) and place.is_dir():
            shutil.rmtree(place)
            gone.append(model.id)
    _sweep_copies(settings)
    return gone


def _sweep_copies(settings: Settings) -> None:
    """Half-made copies of a process that was killed."""
    for left in (settings.data_dir / "models").glob(".*.tmp"):
        if time.time() - left.stat().st_mtime > COPY_LEFT_S:
            shutil.rmtree(left, ignore_errors=True)


def _ready(db: Database, settings: Settings, model_id: str) -> Manifest:
    """The manifest of a model that may go into service."""
    with db.read() as session:
        if session.get(Model, model_id) is None:
            raise UsageError(f"there is no model {model_id!r}; see `ticketbot models list`")
    place = folder_of(settings, model_id)
    if not place.is_dir():
        raise UsageError(f"the bundle of {model_id} is no longer on disk (model.keep); import it again")
    manifest = bundle.read(place)
    trust.admit(manifest, categories=settings.categories, trusted_keys=settings.model.trusted_keys)
    return manifest


def _bring(settings: Settings, source: Path, place: Path) -> None:
    """Copy, check the copy, try the copy, then give it its name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    copy = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    shutil.rmtree(copy, ignore_errors=True)
    try:
        manifest = bundle.read(source)
        copy.mkdir()
        for name in [*manifest.files, MANIFEST]:
            _copy(source / name, copy / name)
        failpoint("shelf.copied")
        copied = bundle.read(copy)
        trust.admit(copied, categories=settings.categories, trusted_keys=settings.model.trusted_keys)
        probe(copy)
        sync_folder(copy)
        os.rename(copy, place)
        failpoint("shelf.renamed")
        sync_folder(place.parent)
    except OSError as error:
        raise BundleRefused(f"{source} cannot be copied: {error}") from None
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    with open(source, "rb") as reader, open(target, "xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def _crown(session: Session, model_id: str, fate: str, fate_reason: str | None, reason: str, now: float) -> None:
    """In one transaction: the champion gets the state `fate`, then `model_id` becomes champion."""
    change = {"state": fate} if fate_reason is None else {"state": fate, "reason": fate_reason}
    session.execute(update(Model).where(Model.state == "champion").values(**change))
    failpoint("promote.abdicated")
    session.execute(update(Model).where(Model.id == model_id).values(state="champion", promoted_at=now, reason=reason))
    failpoint("promote.crowned")


def _note(db: Database, model_id: str, state: str, reason: str) -> None:
    with db.write() as session:
        session.execute(
            update(Model)
            .where(Model.id == model_id, Model.state.in_(("challenger", "refused")))
            .values(state=state, reason=reason)
        )
