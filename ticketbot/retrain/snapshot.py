"""What do we learn from this time, and what do we measure on?

Labels, never the model's own guesses, become a snapshot (contracts.snapshot): pictures stay in the staging area, look-
alikes share a group, and each picture's side (train or holdout) is written to its row once and for ever.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, func, or_, select, update

from ticketbot.contracts import snapshot as contract
from ticketbot.contracts.snapshot import Item, Snapshot
from ticketbot.db import Database
from ticketbot.db.models import File, Label, LabelEvent, Picture
from ticketbot.errors import ImageError, NotReady, TrainingFailed
from ticketbot.imaging.decode import DecoderPool
from ticketbot.judge import lookalike
from ticketbot.retrain import split
from ticketbot.retrain.due import too_few
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

BATCH = 100
# Ways of labelling in which the picture was not picked out because of what a model said about it.
UNPICKED = ("page", "folder", "import")


@dataclass(frozen=True)
class Known:
    """A picture with a label, or one that once had a side: what the database says about it."""

    sha256: str
    label: str | None
    honest: bool
    blind: bool
    user: str
    split: str | None
    phash: bytes | None


def labels_now(db: Database, categories: tuple[str, ...]) -> dict[str, int]:
    """Usable labels per category: of pictures whose bytes are here."""
    query = (
        select(Label.category, func.count())
        .join(Picture, Picture.sha256 == Label.sha256)
        .where(Picture.state == "staged", Label.category.in_(categories))
        .group_by(Label.category)
    )
    with db.read() as session:
        found = dict(session.execute(query).all())
    return {name: found.get(name, 0) for name in categories}


def make(
    db: Database,
    settings: Settings,
    decoders: DecoderPool,
    folder: Path,
    now: float,
    stopping: threading.Event | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> Snapshot:
    """Write the snapshot of today's labels into `folder` and return it. `progress` hears how far it is.

    Raises NotReady when a category has too few readable pictures, TrainingFailed when told to stop meanwhile.
    """
    until, known = _known(db, settings)
    known = _hashed(db, settings, decoders, known, stopping, progress or (lambda _: None))
    rows = _rows(known)
    sides = split.assign(rows, settings.retrain.holdout_share)
    _keep_sides(db, known, sides)
    items = _items(known, rows, sides)
    counts = Counter(item.label for item in items)
    few = too_few({name: counts[name] for name in settings.categories}, settings.retrain.min_per_category)
    if few:
        raise NotReady(f"every category needs {settings.retrain.min_per_category} usable pictures: {few}")
    root = os.path.relpath(settings.data_dir / "staging", folder)
    made = Snapshot(settings.categories, root, items, created_at=now, labels_until=until)
    contract.write(folder, made)
    log.info("snapshot", extra={"hash": made.hash, "pictures": len(items), "left_out": len(rows) - len(items)})
    return made


def _known(db: Database, settings: Settings) -> tuple[int, list[Known]]:
    """(the last label event that counts, every picture that is labelled or has a side), in the order of their hash."""
    user = select(func.min(File.user)).where(File.sha256 == Picture.sha256).scalar_subquery()
    query = (
        select(Picture, Label.category, LabelEvent, user)
        .outerjoin(Label, Label.sha256 == Picture.sha256)
        .outerjoin(LabelEvent, LabelEvent.id == Label.version)
        .where(Picture.state == "staged", or_(Label.category.in_(settings.categories), Picture.split.is_not(None)))
        .order_by(Picture.sha256)
    )
    with db.read() as session:
        until = session.scalar(select(func.max(LabelEvent.id))) or 0
        found = session.execute(query).all()
    return until, [
        _one(picture, category if category in settings.categories else None, event, name or "")
        for picture, category, event, name in found
    ]


def _one(picture: Picture, label: str | None, event: LabelEvent | None, user: str) -> Known:
    blind = event is not None and event.blind
    unpicked = event is not None and event.suggested is None and event.how in UNPICKED
    return Known(picture.sha256, label, blind or unpicked, blind, user, picture.split, picture.phash)


def _hashed(
    db: Database,
    settings: Settings,
    decoders: DecoderPool,
    known: list[Known],
    stopping: threading.Event | None,
    progress: Callable[[dict[str, Any]], None],
) -> list[Known]:
    """Decode what was never decoded, keep its size and look-alike hash; unreadable pictures are not in the result."""
    missing = [one.sha256 for one in known if one.phash is None]
    hashes: dict[str, bytes] = {}
    with ThreadPoolExecutor(settings.classify.decoders) as threads:
        for start in range(0, len(missing), BATCH):
            if stopping is not None and stopping.is_set():
                raise TrainingFailed("stopped while the snapshot was made")
            progress({"stage": "look-alikes", "done": start, "total": len(missing)})
            some = missing[start : start + BATCH]
            facts = [
                fact for fact in threads.map(lambda sha256: _look(settings, decoders, sha256), some) if fact is not None
            ]
            _keep_facts(db, facts)
            hashes.update({fact["sha256"]: fact["phash"] for fact in facts})
    complete = (replace(one, phash=one.phash or hashes.get(one.sha256)) for one in known)
    return [one for one in complete if one.phash is not None]


def _look(settings: Settings, decoders: DecoderPool, sha256: str) -> dict[str, Any] | None:
    """What a picture's row should know after its first decoding; None when it cannot be read."""
    try:
        seen = decoders.decode(settings.staged_path(sha256).read_bytes())
    except (ImageError, OSError) as error:
        log.warning("a labelled picture cannot be read", extra={"picture": sha256, "error": str(error)})
        return None
    hashed = lookalike.phash(seen.rgb)
    return {"sha256": sha256, "width": seen.width, "height": seen.height, "format": seen.format, "phash": hashed}


def _keep_facts(db: Database, facts: list[dict[str, Any]]) -> None:
    if not facts:
        return
    with db.write() as session:
        session.execute(update(Picture), facts)


def _rows(known: list[Known]) -> list[split.Row]:
    groups = lookalike.groups([one.phash for one in known if one.phash is not None])
    return [
        split.Row(one.sha256, one.label or "", group, one.honest, one.split)
        for one, group in zip(known, groups, strict=True)
    ]


def _keep_sides(db: Database, known: list[Known], sides: dict[str, str]) -> None:
    """Write the sides that are new; one that was written meanwhile stays."""
    new = [{"key": one.sha256, "side": sides[one.sha256]} for one in known if one.split is None]
    change = update(Picture).where(Picture.sha256 == bindparam("key"), Picture.split.is_(None))
    for start in range(0, len(new), BATCH):
        with db.write() as session:
            session.connection().execute(change.values(split=bindparam("side")), new[start : start + BATCH])


def _items(known: list[Known], rows: list[split.Row], sides: dict[str, str]) -> tuple[Item, ...]:
    """The snapshot's entries: labelled, and on a side where they may be. A group is named by its first picture."""
    skipped = split.left_out(rows, sides)
    names: dict[int, str] = {}
    for row in rows:
        names.setdefault(row.group, row.sha256[:16])
    return tuple(
        Item(
            sha256=one.sha256,
            file=f"{one.sha256[:2]}/{one.sha256}.jpg",
            label=one.label,
            group=names[row.group],
            user=one.user,
            split=sides[one.sha256],
            blind=one.blind,
        )
        for one, row in zip(known, rows, strict=True)
        if one.label and one.sha256 not in skipped
    )
