"""What happens in a cleaning? due? → snapshot → `trainer clean` → its suspects.csv → rows for the Clean page.

A child process with the limits of a training, and never beside one. It decides nothing: what is suspect is shown to
people, and what they say are label events.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ticketbot.contracts import suspects
from ticketbot.db import Database
from ticketbot.db.models import Cleaning, Label, LabelEvent, Picture, Suspect, Training
from ticketbot.errors import Conflict, NotReady, TicketbotError
from ticketbot.imaging.decode import DecoderPool
from ticketbot.retrain import launch, run, snapshot
from ticketbot.retrain.due import CleanFacts, Due, Rules, clean_due
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

# The switch of `run.ask`.
WISH = "clean.asked"
# Rows kept of suspects.csv: nobody looks further than this, and what is left is ranked anew by the next cleaning.
MOST = 2000
BATCH = 500


def is_due(db: Database, settings: Settings, now: float, *, asked: bool = False) -> Due:
    """Would `clean` begin now, and why (not)?"""
    rules = settings.retrain
    with db.read() as session:
        running = run.is_busy(session)
        trained = session.scalar(select(func.min(Training.started_at)).where(Training.state == "succeeded"))
        cleaned, until = session.execute(select(func.max(Cleaning.started_at), func.max(Cleaning.labels_until))).one()
        last = session.scalar(select(func.max(LabelEvent.id))) or 0
    counts = snapshot.labels_now(db, settings.categories)
    facts = CleanFacts(counts, running, trained, cleaned, last > (until or 0))
    limits = Rules(rules.min_new_labels, rules.min_interval_s, rules.min_per_category)
    return clean_due(facts, limits, rules.clean_interval_s, now, asked=asked)


def clean(
    db: Database,
    settings: Settings,
    decoders: DecoderPool,
    *,
    now: Callable[[], float],
    stopping: threading.Event | None = None,
) -> Cleaning | None:
    """Look for wrong labels when it is due or somebody asked; None when not. Returns when it has ended."""
    run.bury_silent(db, now())
    who = run.wish(db, WISH)
    answer = is_due(db, settings, now(), asked=who is not None)
    if not answer.due:
        if who is not None:
            raise NotReady(answer.reason)
        return None
    cleaning_id = _begin(db, f"asked for by {who}" if who else "schedule", now())
    try:
        message = _clean(db, settings, decoders, cleaning_id, now, stopping)
        state = "succeeded"
    except TicketbotError as error:
        message, state = str(error), "failed"
    except BaseException as error:
        run.note(
            db, cleaning_id, Cleaning, state="failed", finished_at=now(), message=f"{type(error).__name__}: {error}"
        )
        raise
    finally:
        # Names of users and pictures: what is needed of them is in the database now.
        _tidy(settings, cleaning_id)
    run.note(db, cleaning_id, Cleaning, state=state, finished_at=now(), message=message)
    if state == "succeeded":
        _forget_earlier(db, cleaning_id)
    log.info("cleaning ended", extra={"cleaning": cleaning_id, "state": state, "reason": message[:500]})
    with db.read() as session:
        return session.get(Cleaning, cleaning_id)


@dataclass(frozen=True)
class Found:
    """What the last cleaning found: of `n` labels looked at, `suspects` may be wrong, and of these `changed` are
    another label now, or none."""

    n: int
    suspects: int
    changed: int
    at: float


def found(session: Session) -> Found | None:
    """None: no cleaning has succeeded yet. Counts at most the rows that are kept (`keep`)."""
    last = session.scalar(select(Cleaning).where(Cleaning.state == "succeeded").order_by(Cleaning.id.desc()).limit(1))
    if last is None:
        return None
    # As on the Clean page: another class is likelier, or its own is unlikely.
    suspect = (Suspect.cleaning_id == last.id, or_(Suspect.label != Suspect.suggested, Suspect.p_label < 0.5))
    now = select(func.count(), func.count(Label.sha256)).select_from(Suspect).where(*suspect)
    same = and_(Label.sha256 == Suspect.sha256, Label.category == Suspect.label)
    n, unchanged = session.execute(now.outerjoin(Label, same)).one()
    return Found(last.n_pictures, n, n - unchanged, last.finished_at or last.started_at)


def folder_of(settings: Settings, cleaning_id: int) -> Path:
    """trainer.log of a cleaning, and while it runs its snapshot and suspects.csv."""
    return settings.data_dir / "cleanings" / str(cleaning_id)


def _begin(db: Database, cause: str, now: float) -> int:
    row = Cleaning(state="running", cause=cause, started_at=now, progress={"stage": "snapshot", "beat_at": now})
    try:
        with db.write() as session:
            run.alone(db, session)
            session.add(row)
    except IntegrityError:
        raise Conflict("a cleaning is running") from None
    return row.id


def _clean(
    db: Database,
    settings: Settings,
    decoders: DecoderPool,
    cleaning_id: int,
    now: Callable[[], float],
    stopping: threading.Event | None,
) -> str:
    """-> a sentence for people. Raises TicketbotError."""
    folder = folder_of(settings, cleaning_id)
    shutil.rmtree(folder.parent, ignore_errors=True)
    beat = run.Beat(db, cleaning_id, now, None, Cleaning)
    made = snapshot.make(db, settings, decoders, folder / "snapshot", now(), stopping, beat)
    run.note(db, cleaning_id, Cleaning, labels_until=made.labels_until, n_pictures=len(made.items))
    end = launch.run(
        launch.clean_command(settings, folder / "snapshot", folder / "out"),
        folder,
        timeout_s=settings.retrain.timeout_s,
        memory_mb=settings.retrain.memory_mb,
        nice=settings.retrain.nice,
        progress=beat,
        stopping=stopping,
    )
    if end.state != "succeeded":
        raise NotReady(end.message)
    found = suspects.read(folder / "out" / "suspects.csv")
    kept = keep(db, cleaning_id, found)
    other = sum(one.label != one.suggested for one in found)
    return f"{len(found)} labels ranked, {other} look like another class; the first {kept} are shown"


def keep(db: Database, cleaning_id: int, found: list[suspects.Suspect]) -> int:
    """Keep the first MOST rows, and of the rest those whose look-alikes disagree. -> how many."""
    chosen = [one for number, one in enumerate(found) if number < MOST or (one.conflict and number < 10 * MOST)]
    kept = 0
    for start in range(0, len(chosen), BATCH):
        some = chosen[start : start + BATCH]
        with db.write() as session:
            here = select(Picture.sha256).where(Picture.sha256.in_([one.sha256 for one in some]))
            known = set(session.scalars(here.where(Picture.state == "staged")))
            rows = [_row(cleaning_id, start + number, one) for number, one in enumerate(some, 1) if one.sha256 in known]
            session.add_all(rows)
        kept += len(rows)
    return kept


def _row(cleaning_id: int, rank: int, one: suspects.Suspect) -> Suspect:
    values: dict[str, Any] = {"p_label": one.p_label, "p_suggested": one.p_suggested, "conflict": one.conflict}
    values |= {"sha256": one.sha256, "label": one.label, "suggested": one.suggested, "cluster": one.group}
    return Suspect(cleaning_id=cleaning_id, rank=rank, **values)


def _forget_earlier(db: Database, cleaning_id: int) -> None:
    with db.write() as session:
        session.execute(delete(Suspect).where(Suspect.cleaning_id < cleaning_id))


def _tidy(settings: Settings, cleaning_id: int) -> None:
    for name in ("snapshot", "out"):
        shutil.rmtree(folder_of(settings, cleaning_id) / name, ignore_errors=True)
