"""What happens in a training, from its cause to the shelf? Read aloud: due? → snapshot → trainer → shelf → promoted?"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ticketbot.contracts import snapshot as contract
from ticketbot.db import Database
from ticketbot.db.models import Cleaning, Label, Lease, Picture, Switch, Training
from ticketbot.errors import Conflict, NotReady, TicketbotError
from ticketbot.failpoints import failpoint
from ticketbot.imaging.decode import DecoderPool
from ticketbot.retrain import away, launch, shelf, snapshot
from ticketbot.retrain.due import Due, Facts, Rules, due
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

BEAT_S = 5.0
# A running training whose keeper has not been heard of for so long is over.
SILENT_S = 120.0
# The switch of `ask`.
WISH = "retrain.asked"
Kind = type[Training] | type[Cleaning]
TABLES: tuple[tuple[Kind, str], ...] = ((Training, "training"), (Cleaning, "cleaning"))
# The lease row that who begins one locks for a moment.
TURN = "trainer"


@dataclass(frozen=True)
class Outcome:
    """How a training ended: the row's state, the model it made (if any), a sentence or more for people."""

    training_id: int
    state: str
    model_id: str | None
    message: str


def is_due(db: Database, settings: Settings, now: float, *, asked: bool = False) -> Due:
    """Would `retrain` train now, and why (not)?"""
    rules = settings.retrain
    limits = Rules(rules.min_new_labels, rules.min_interval_s, rules.min_per_category)
    return due(_facts(db, settings), limits, now, asked=asked)


def retrain(
    db: Database,
    settings: Settings,
    decoders: DecoderPool,
    *,
    cause: str,
    asked: bool = False,
    now: Callable[[], float] = time.time,
    stopping: threading.Event | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> Outcome | None:
    """Train when it is due (or asked for); None when it is not. Returns when the training has ended.

    cause: "labels", "schedule" or "command", and who. progress: gets the trainer's progress lines too.
    Raises NotReady or Conflict when it was asked for and cannot be.
    """
    if bury_silent(db, now()):
        away.forget(settings)
    if not asked and (who := wish(db, WISH)) is not None:
        asked, cause = True, f"asked for by {who}"
    answer = is_due(db, settings, now(), asked=asked)
    if not answer.due:
        if asked:
            raise NotReady(answer.reason)
        return None
    training_id = _begin(db, cause, now())
    failpoint("training.begun")
    log.info("training begins", extra={"training": training_id, "cause": cause, "reason": answer.reason})
    try:
        outcome = _train(db, settings, decoders, training_id, now, stopping, progress)
    except TicketbotError as error:
        outcome = Outcome(training_id, "failed", None, str(error))
    except BaseException as error:
        _finish(db, Outcome(training_id, "failed", None, f"{type(error).__name__}: {error}"), now())
        raise
    _finish(db, outcome, now())
    log.info("training ended", extra={"training": training_id, "state": outcome.state, "reason": outcome.message[:500]})
    return outcome


def ask(db: Database, who: str, now: float, name: str = WISH) -> None:
    """A person wants a training now; the worker takes the wish at its next look. Asking twice is one wish."""
    with db.write() as session:
        session.execute(db.insert(Switch).values(name=name, value="asked", who=who, at=now).on_conflict_do_nothing())


def wish(db: Database, name: str) -> str | None:
    """Who asked for this, if somebody did; taken once."""
    with db.read() as session:
        if session.get(Switch, name) is None:
            return None
    with db.write() as session:
        return session.scalar(delete(Switch).where(Switch.name == name).returning(Switch.who))


def bury_silent(db: Database, now: float) -> int:
    """Trainings and cleanings whose service died are reported as failed. -> how many."""
    buried = 0
    with db.write() as session:
        for table, doing in TABLES:
            rows: list[Any] = list(session.scalars(select(table).where(table.state == "running")))
            for row in rows:
                if now - (row.progress or {}).get("beat_at", row.started_at) > SILENT_S:
                    row.state, row.finished_at = "failed", now
                    row.message = f"the service ended while it was {doing}"
                    buried += 1
    return buried


def is_busy(session: Session) -> bool:
    """Is a training or a cleaning running? Never two at once: each may take all the memory we allow."""
    return any(session.scalar(select(table.id).where(table.state == "running")) for table, _ in TABLES)


def alone(db: Database, session: Session) -> None:
    """From here to the end of the transaction nobody else begins a training or a cleaning. Raises Conflict."""
    free = db.insert(Lease).values(name=TURN, holder="", until=0.0, token=0).on_conflict_do_nothing()
    session.execute(free)
    session.execute(select(Lease.name).where(Lease.name == TURN).with_for_update())
    if is_busy(session):
        raise Conflict("a training or a cleaning is running")


def folder_of(settings: Settings, training_id: int) -> Path:
    """Snapshot and trainer.log of a training."""
    return settings.data_dir / "trainings" / str(training_id)


def _facts(db: Database, settings: Settings) -> Facts:
    with db.read() as session:
        running = is_busy(session)
        last = session.scalar(select(func.max(Training.started_at)))
        seen = session.scalar(
            select(func.max(Training.labels_until)).where(Training.state.in_(("succeeded", "refused")))
        )
        new = session.scalar(
            select(func.count())
            .select_from(Label)
            .join(Picture, Picture.sha256 == Label.sha256)
            .where(Label.version > (seen or 0), Label.category.in_(settings.categories), Picture.state == "staged")
        )
    return Facts(snapshot.labels_now(db, settings.categories), new or 0, running, last)


def _begin(db: Database, cause: str, now: float) -> int:
    row = Training(state="running", cause=cause, started_at=now, progress={"stage": "snapshot", "beat_at": now})
    try:
        with db.write() as session:
            alone(db, session)
            session.add(row)
    except IntegrityError:
        raise Conflict("a training is running") from None
    return row.id


def _train(
    db: Database,
    settings: Settings,
    decoders: DecoderPool,
    training_id: int,
    now: Callable[[], float],
    stopping: threading.Event | None,
    progress: Callable[[dict[str, Any]], None] | None,
) -> Outcome:
    folder = folder_of(settings, training_id)
    shutil.rmtree(folder, ignore_errors=True)
    beat = Beat(db, training_id, now, progress)
    made = snapshot.make(db, settings, decoders, folder / "snapshot", now(), stopping, beat)
    failpoint("training.snapshot")
    note(db, training_id, labels_until=made.labels_until, n_pictures=len(made.items))
    reigning = shelf.champion(db)
    place = shelf.folder_of(settings, reigning.id) if reigning else None
    place = place if place and place.is_dir() else None
    out = folder / "bundle"
    is_away = settings.retrain.where == "command"
    try:
        if is_away:
            words = away.command(settings, away.pack(settings, folder, place), out)
        else:
            words = launch.command(settings, folder / "snapshot", out, place)
        end = _launched(settings, words, folder, beat, stopping)
    finally:
        away.forget(settings)
    beat.write()
    if not end.bundle:
        return Outcome(training_id, end.state, None, end.message)
    failpoint("training.trained")
    manifest = shelf.register(db, settings, out, f"training {training_id}")
    failpoint("training.shelved")
    verdict = manifest.gate
    if is_away:
        sent = contract.read(folder / "snapshot")
        own = shelf.folder_of(settings, manifest.model_id)
        verdict = away.measured(settings, decoders, sent, own, place, beat, stopping)
    said = shelf.consider(db, settings, manifest, now(), verdict)
    failpoint("training.decided")
    shutil.rmtree(out)  # the shelf has its own copy
    return Outcome(training_id, "succeeded" if verdict.get("promote") else end.state, manifest.model_id, said)


def _launched(
    settings: Settings, words: list[str], folder: Path, beat: Beat, stopping: threading.Event | None
) -> launch.End:
    return launch.run(
        words,
        folder,
        timeout_s=settings.retrain.timeout_s,
        memory_mb=settings.retrain.memory_mb,
        nice=settings.retrain.nice,
        progress=beat,
        stopping=stopping,
    )


class Beat:
    """Keeps the row of a training (or cleaning) fresh: the last progress, and that its keeper lives. At most a write a
    second."""

    def __init__(
        self,
        db: Database,
        training_id: int,
        now: Callable[[], float],
        also: Callable[[dict[str, Any]], None] | None,
        table: Kind = Training,
    ) -> None:
        self.db, self.training_id, self.now, self.also, self.table = db, training_id, now, also, table
        self.last: dict[str, Any] = {"stage": "snapshot"}
        self.written, self.new = 0.0, False

    def __call__(self, said: dict[str, Any] | None) -> None:
        if said is not None:
            self.last, self.new = said, True
            if self.also is not None:
                self.also(said)
        waited_s = time.monotonic() - self.written
        if waited_s >= BEAT_S or (self.new and waited_s >= 1.0):
            self.write()

    def write(self) -> None:
        """Write the last progress now."""
        self.written, self.new = time.monotonic(), False
        note(self.db, self.training_id, self.table, progress={**self.last, "beat_at": self.now()})


def note(db: Database, row_id: int, table: Kind = Training, **values: Any) -> None:
    """Write down something about a training or a cleaning."""
    with db.write() as session:
        session.execute(update(table).where(table.id == row_id).values(**values))


def _finish(db: Database, outcome: Outcome, now: float) -> None:
    said = {"state": outcome.state, "model_id": outcome.model_id, "message": outcome.message}
    note(db, outcome.training_id, Training, **said, finished_at=now)
