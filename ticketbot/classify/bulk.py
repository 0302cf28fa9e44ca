"""Which staged pictures have no answer of the present model, and what is it?

A worker claims a batch (lease and token), decodes and infers outside any transaction, and writes the batch in one short
one. A worker that dies leaves nothing but a lease, after which others take its pictures; a late one finds its token
overtaken and writes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from ticketbot import measures
from ticketbot.db import Database
from ticketbot.db.leases import is_over
from ticketbot.db.models import File, Label, Model, Picture, Prediction
from ticketbot.db.rows import rows
from ticketbot.errors import ImageError
from ticketbot.failpoints import failpoint
from ticketbot.imaging.decode import DecoderPool
from ticketbot.judge import lookalike
from ticketbot.judge.decide import category_of
from ticketbot.judge.engine import Engine
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

# Called in the transaction of a prediction: announce(session, sha256, now).
Announce = Callable[[Session, str, float], None]


@dataclass(frozen=True)
class Claim:
    """A picture that is ours until the lease ends; `token` proves it."""

    sha256: str
    token: int


# Takes the next batch: take(db, settings, model_id, now); [] when there is none.
Take = Callable[[Database, Settings, str, float], list[Claim]]


@dataclass(frozen=True)
class Seen:
    """A picture after decoding: its pixels (uint8 RGB) and facts, or the code of what is wrong with it."""

    claim: Claim
    rgb: NDArray[np.uint8] | None = None
    facts: dict[str, Any] | None = None
    error: str | None = None


class Bulk:
    """Bulk classification of one process. `serving` gives the engine; see `run`.

    take: says which pictures are next, as `claim`; threads: classify.workers unless told.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        serving: Any,
        decoders: DecoderPool,
        announce: Announce,
        *,
        now: Callable[[], float] = time.time,
        take: Take | None = None,
        threads: int | None = None,
    ) -> None:
        self.db, self.settings, self.serving, self.decoders = db, settings, serving, decoders
        self.announce, self.now = announce, now
        self.threads = threads or settings.classify.workers
        self.take = take or partial(claim, sharers=self.threads)

    def run(self, stopping: threading.Event | None = None, limit: int | None = None) -> dict[str, int]:
        """Work until nothing is left (or `limit` batches a thread, or told to stop).

        -> {"classified": n, "unsure": n, "failed": n}. Raises NotReady without a model.
        """
        self.serving.current()
        counts: Counter[str] = Counter(classified=0, unsure=0, failed=0)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="classify") as threads:
            for done in threads.map(lambda _: self._work(stopping, limit), range(self.threads)):
                counts.update(done)
        return dict(counts)

    def _work(self, stopping: threading.Event | None, limit: int | None) -> Counter[str]:
        counts: Counter[str] = Counter()
        batches = 0
        while not (stopping is not None and stopping.is_set()) and (limit is None or batches < limit):
            engine = self.serving.current()
            claims = self.take(self.db, self.settings, engine.model_id, self.now())
            if not claims:
                break
            batches += 1
            try:
                counts.update(self._batch(engine, claims))
            except BaseException:
                give_back(self.db, claims)
                raise
        return counts

    def _batch(self, engine: Engine, claims: Sequence[Claim]) -> Counter[str]:
        failpoint("classify.claimed")
        seen = [self._see(one, engine.manifest.canonical_px) for one in claims]
        failpoint("classify.decoded")
        good = [one for one in seen if one.rgb is not None]
        started = time.perf_counter()
        answers = iter(engine.answer([one.rgb for one in good if one.rgb is not None]))
        if good:
            took_s = (time.perf_counter() - started) / len(good)
            measures.observe("ticketbot_predict_duration_seconds", took_s, "bulk", n=len(good))
        rows = [self._prediction(engine, one, next(answers) if one.rgb is not None else None) for one in seen]
        failpoint("classify.answered")
        written = self._write(seen, rows)
        failpoint("classify.written")
        return Counter(
            classified=sum(row.state == "done" for row in written),
            unsure=sum(row.state == "done" and row.category is None for row in written),
            failed=sum(row.state == "failed" for row in written),
        )

    def _see(self, one: Claim, canonical_px: int) -> Seen:
        try:
            data = self.settings.staged_path(one.sha256).read_bytes()
        except OSError as error:
            log.error("a staged picture is not there", extra={"picture": one.sha256, "reason": error.strerror})
            return Seen(one, error="missing")
        try:
            seen = self.decoders.decode(data, max_px=canonical_px)
        except ImageError as error:
            return Seen(one, error=error.code)
        facts = {"width": seen.width, "height": seen.height, "format": seen.format}
        return Seen(one, seen.rgb, {**facts, "phash": lookalike.phash(seen.rgb)})

    def _prediction(self, engine: Engine, seen: Seen, answer: NDArray[np.float64] | None) -> Prediction:
        row = Prediction(sha256=seen.claim.sha256, model_id=engine.model_id, created_at=self.now())
        if answer is None:
            row.state, row.error = "failed", seen.error
            return row
        rules = self.settings.model
        decision = category_of(answer, engine.classes, engine.manifest.thresholds, rules.unproven, rules.tag_threshold)
        row.state, row.category, row.best = "done", decision.category, decision.best
        row.confidence, row.margin = decision.confidence, decision.margin
        row.probabilities = {name: float(value) for name, value in zip(engine.classes, answer, strict=True)}
        return row

    def _write(self, seen: Sequence[Seen], rows: Sequence[Prediction]) -> list[Prediction]:
        """One transaction for the batch; what another worker took over meanwhile is left alone."""
        written = []
        with self.db.write() as session:
            for one, row in zip(seen, rows, strict=True):
                if not _ours(session, one, row.model_id):
                    log.warning("another worker took this picture over", extra={"picture": one.claim.sha256})
                    continue
                failpoint("classify.taken")
                _put(session, self.db, row)
                failpoint("classify.predicted")
                if row.state == "failed":
                    _refuse_files(session, row)
                written.append(row)
                self.announce(session, row.sha256, row.created_at)
                failpoint("classify.announced")
        for row in written:
            measures.count("ticketbot_pictures_classified_total", row.category or row.error or "unsure")
            log.info(
                "classified",
                extra={"picture": row.sha256, "model": row.model_id, "category": row.category, "error": row.error},
            )
        return written


def claim(
    db: Database, settings: Settings, model_id: str, now: float, only: Sequence[str] | None = None, sharers: int = 1
) -> list[Claim]:
    """Take the next batch of wanted pictures without an answer of this model; [] when there is none.

    New pictures come before those that an older model answered. only: of these. sharers: who work at the same time;
    of the last pictures each takes a share of what is left, else one would have a whole batch while others have none.
    """
    found: list[Any] = []
    mine = [] if only is None else [Picture.sha256.in_(only)]
    over = is_over(Picture.lease_until, now, settings.classify.lease_s)
    batch = settings.classify.batch
    with db.write() as session:
        conditions = [
            (Picture.state == "staged", Picture.wanted, some, over, *mine)
            for some in to_do(model_id, is_champion(session, model_id))
        ]
        if sharers > 1:
            batch = min(batch, max(1, -(-_waiting(session, conditions, batch * sharers) // sharers)))
        for condition in conditions:
            query = (
                select(Picture.sha256, Picture.token)
                .where(*condition)
                .order_by(Picture.model_id, Picture.staged_at)
                .limit(batch - len(found))
            )
            found += session.execute(db.for_claim(query)).all()
        session.execute(
            update(Picture)
            .where(Picture.sha256.in_([sha256 for sha256, _ in found]))
            .values(lease_until=now + settings.classify.lease_s, token=Picture.token + 1)
        )
        failpoint("classify.claim")
    return [Claim(sha256, token + 1) for sha256, token in found]


def _waiting(session: Session, conditions: Sequence[Sequence[Any]], most: int) -> int:
    """How many pictures there are by these conditions, counted up to `most`."""
    found = 0
    for condition in conditions:
        some = select(Picture.sha256).where(*condition).limit(most - found).subquery()
        found += session.scalar(select(func.count()).select_from(some)) or 0
    return found


def due(
    session: Session,
    settings: Settings,
    model_id: str,
    now: float,
    most: int,
    but: Callable[[Any], ColumnElement[bool]],
) -> list[str]:
    """Which pictures would `claim` take, in its order? but: a further condition on their sha256."""
    over = is_over(Picture.lease_until, now, settings.classify.lease_s)
    found: list[str] = []
    for some in to_do(model_id, is_champion(session, model_id)):
        query = select(Picture.sha256).where(Picture.state == "staged", Picture.wanted, some, over)
        query = query.where(but(Picture.sha256)).order_by(Picture.model_id, Picture.staged_at)
        found += session.scalars(query.limit(most - len(found)))
    return found


def give_back(db: Database, claims: Sequence[Claim]) -> None:
    """End our leases now, so that others need not wait for their end."""
    with db.write() as session:
        for one in claims:
            session.execute(
                update(Picture).where(Picture.sha256 == one.sha256, Picture.token == one.token).values(lease_until=0.0)
            )


def is_champion(session: Session, model_id: str) -> bool:
    return session.scalar(select(Model.state).where(Model.id == model_id)) == "champion"


def to_do(model_id: str, again: bool) -> list[ColumnElement[bool]]:
    """What lacks this model's answer (again: also what another model answered), as conditions that ix_picture_classify
    serves in its own order.

    With one condition ("is another or none") each claim would pass over everything that is done: a million pictures
    would take hours.
    """
    if not again:
        # Just overtaken (or standing in for a champion that cannot be served): do not undo the newer one's answers.
        return [Picture.model_id.is_(None)]
    return [Picture.model_id.is_(None), Picture.model_id < model_id, Picture.model_id > model_id]


def _ours(session: Session, seen: Seen, model_id: str) -> bool:
    """Note the answer on the picture, if the claim still holds."""
    changed = session.execute(
        update(Picture)
        .where(Picture.sha256 == seen.claim.sha256, Picture.token == seen.claim.token, Picture.state == "staged")
        .values(model_id=model_id, lease_until=0.0, **(seen.facts or {}))
    )
    return bool(rows(changed))


def _put(session: Session, db: Database, row: Prediction) -> None:
    """A model answers a picture once; after a rollback its earlier answer stands."""
    columns = ("sha256", "model_id", "state", "category", "best", "confidence", "margin", "probabilities", "error")
    values: dict[str, Any] = {name: getattr(row, name) for name in (*columns, "created_at")}
    values["labelled"] = select(Label.sha256).where(Label.sha256 == row.sha256).exists()
    session.execute(db.insert(Prediction).values(**values).on_conflict_do_nothing())


def _refuse_files(session: Session, row: Prediction) -> None:
    if row.error == "missing":
        return  # our loss, not the file's fault
    session.execute(
        update(File).where(File.sha256 == row.sha256, File.state == "staged").values(state="refused", reason=row.error)
    )
