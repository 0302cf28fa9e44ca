"""WHAT happens to a picture, from the ERP's folder to the ticket. Read this first: one short function a step, in order.

    poll (scan → stage → resolve) → read_labels → retrain_if_due → classify → deliver (decide → send)

Every step takes what is due, moves rows to their next state and returns counts; running it again does nothing twice.
Stages do not know each other: where one makes news for another, the callback is handed over here. WHEN the steps run is
in schedule.py.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from ticketbot import measures
from ticketbot.app import App
from ticketbot.classify import backfill as backfilling
from ticketbot.classify.bulk import Bulk
from ticketbot.classify.bulk import claim as claim_pictures
from ticketbot.collect import inbound, staging, ticket, walk
from ticketbot.db.slots import forget_old_slots
from ticketbot.deliver import corrections, outbox, send
from ticketbot.engine import broker, handout
from ticketbot.errors import NotReady, UsageError
from ticketbot.operate import erase, notices, pending
from ticketbot.retrain import clean as cleaning
from ticketbot.retrain import run as retraining
from ticketbot.retrain import shelf
from ticketbot.review import folders, labels, pictures, transfer
from ticketbot.settings import Source

Counts = dict[str, int]
log = logging.getLogger(__name__)

# What is due later than this is not waited for by hand: it is reported as stuck.
SOON_S = 30.0


# --- the steps --------------------------------------------------------------------------------------------------------


def receive(app: App) -> Counts:
    """What did ticket systems tell us at /inbound? Fetches what there is to fetch, and looks at those sources now."""
    on_ticket = partial(corrections.soon, app.db, app.settings)
    report = inbound.work(app.db, app.settings, app.now, on_ticket=on_ticket)
    for name in sorted(report.poll):
        only = {name: app.settings.sources[name]}
        poll(app, only)
        if any(source.settle_s == 0 for source in only.values()):
            poll(app, only)  # settled at the second look
    return {"done": report.done, "ignored": report.ignored, "failed": report.failed, "fetched": report.fetched}


def scan(app: App, *, sweep: bool = False, sources: Mapping[str, Source] | None = None) -> Counts:
    """Which files are there? `sweep` lists every folder, also those that did not change."""
    counts: Counter[str] = Counter()
    for name, source in (sources or app.settings.sources).items():
        if source.is_spool:
            source.root.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        report = walk.scan(
            app.db, name, source, app.settings.collect, now=app.now(), sweep=sweep, stop=app.stopping.is_set
        )
        measures.observe("ticketbot_scan_duration_seconds", time.perf_counter() - started, name)
        counts.update(new=report.new, changed=report.changed, gone=report.gone, refused=refused(report.refused))
    return dict(counts)


def stage(app: App, sources: Mapping[str, Source] | None = None) -> Counts:
    """Copy the files that the ERP has finished writing, each content once."""
    counts: Counter[str] = Counter()
    for name, source in (sources or app.settings.sources).items():
        report = staging.stage(app.db, name, source, app.settings.data_dir, now=app.now(), stop=app.stopping.is_set)
        counts.update(staged=report.staged, settling=report.settling, refused=refused(report.refused))
    return dict(counts)


def resolve(app: App, sources: Mapping[str, Source] | None = None) -> Counts:
    """Whose ticket is each file?"""
    report = ticket.resolve(
        app.db,
        sources or app.settings.sources,
        now=app.now(),
        lookups=app.lookups,
        endpoints=app.settings.endpoints,
        on_known=app.announce,
    )
    return {
        "resolved": report.resolved,
        "waiting": report.waiting,
        "given_up": report.given_up,
        "failed": report.failed,
    }


def read_labels(app: App) -> Counts:
    """What did people sort into labelled/<category>/, and what should they sort next?"""
    if not app.settings.review.folders:
        return {}
    report = folders.poll(
        app.db,
        app.settings.data_dir,
        app.settings.categories,
        now=app.now(),
        to_label_max=app.settings.review.to_label_max,
        on_label=app.announce,
    )
    return {"labelled": report.labelled, "offered": report.offered, "conflicts": len(report.conflicts)}


def retrain_if_due(app: App) -> retraining.Outcome | None:
    """Train when enough people said something new; see retrain/due.py for when, judge/gate.py for what goes live."""
    return retraining.retrain(app.db, app.settings, app.decoders, cause="labels", now=app.now, stopping=app.stopping)


def clean_if_due(app: App) -> Counts:
    """Which labels may be wrong? People decide on the Clean page; see retrain/due.py for when."""
    done = cleaning.clean(app.db, app.settings, app.decoders, now=app.now, stopping=app.stopping)
    return {"cleanings": 0 if done is None else 1}


def classify(app: App) -> Counts:
    """What are the pictures that the champion has not seen? Without a model they wait."""
    with app.db.read() as session:
        if not pending.to_classify(session):
            return {"classified": 0}
    bulk = Bulk(app.db, app.settings, app.serving, app.decoders, app.announce, now=app.now)
    try:
        return bulk.run(app.stopping)
    except NotReady:
        return {"classified": 0}


def hand_out(app: App) -> Counts:
    """engine.kind = "celery": what is due goes to the broker, as ids."""
    post = partial(broker.send, app.settings)
    return {**decide(app), **handout.hand_out(app.db, app.settings, app.now(), post)}


def classify_these(app: App, ids: list[str]) -> Counts:
    """The broker brought ids of pictures: what may still be claimed of them is done."""
    handout.received(app.db, handout.CLASSIFY, ids, app.now())
    parts = (app.db, app.settings, app.serving, app.decoders, app.announce)
    try:
        return Bulk(*parts, now=app.now, take=partial(claim_pictures, only=ids), threads=1).run(app.stopping)
    except NotReady:
        return {"classified": 0}


def deliver_these(app: App, ids: list[str]) -> Counts:
    """The broker brought ids of answers: what may still be claimed of them is sent."""
    handout.received(app.db, handout.DELIVER, ids, app.now())
    return send.deliver_due(app.db, app.settings, app.now, stop=app.stopping.is_set, only=ids)


def backfill(app: App) -> Counts:
    """What are the pictures of the past? When somebody asked, at its pace, and while nothing new waits."""
    if not backfilling.is_due(app.db, app.settings, app.now()):
        return {"classified": 0}
    parts = (app.db, app.settings, app.serving, app.decoders, app.announce)
    try:
        return Bulk(*parts, now=app.now, take=backfilling.claim, threads=1).run(app.stopping)
    except NotReady:
        return {"classified": 0}


def decide(app: App) -> Counts:
    """Which tickets have been quiet long enough for an answer?"""
    return outbox.decide_tickets(app.db, app.settings, app.now())


def deliver(app: App) -> Counts:
    """Decide, then send what is due."""
    decided = decide(app)
    sent = send.deliver_due(app.db, app.settings, app.now, stop=app.stopping.is_set)
    return {**decided, **sent}


def read_corrections(app: App) -> Counts:
    """Did agents change our category on the ticket? Then it is a label."""

    def label(session: Session, change: corrections.Change, now: float) -> None:
        try:
            labels.record(
                session,
                sha256=change.sha256,
                new=change.category,
                who=change.who,
                at=now,
                how="ticket",
                key=change.key,
                suggested=change.said,
                suggested_by=change.said_by,
                on_label=app.announce,
            )
        except (
            UsageError
        ) as error:  # erased meanwhile: the ticket keeps the agent's word, and there is nothing to label
            log.info("a correction has no picture any more", extra={"who": change.who, "reason": str(error)})

    return corrections.read(app.db, app.settings, app.now, label)


def tell_chat(app: App) -> Counts:
    """Is there something the team should read in its chat?"""
    return {"told": notices.tell(app.db, app.settings, app.now())}


# --- rounds -----------------------------------------------------------------------------------------------------------


def poll(app: App, sources: Mapping[str, Source] | None = None) -> dict[str, Counts]:
    """One look at the sources, or at some of them."""
    return {"scan": scan(app, sources=sources), "stage": stage(app, sources), "resolve": resolve(app, sources)}


def sweep(app: App) -> dict[str, Counts]:
    """The nightly look at every folder: finds files overwritten in place, which no folder's mtime tells."""
    return {"scan": scan(app, sweep=True), "stage": stage(app), "resolve": resolve(app)}


def tidy(app: App) -> Counts:
    """The nightly clean-up: what is kept for too long, models nobody needs, renderings nobody looked at, old slots, a
    database log that grew."""
    forget_old_slots(app.db, app.now())
    app.db.shrink_log()
    too_old = erase.too_old(app.settings, app.now())
    erased = erase.erase(app.db, app.settings, too_old, who="staging.keep_days", now=app.now()) if too_old else None
    return {
        "erased": erased.pictures if erased else 0,
        "models": len(shelf.tidy(app.db, app.settings)),
        "renderings": pictures.tidy(app.settings.data_dir, app.now()),
        "fetched": inbound.tidy(app.settings, app.now()),
    }


def one_round(app: App) -> dict[str, Any]:
    """Everything once, by hand. -> {"steps": counts a step, "pending": what waits, "stuck": sentences}"""
    steps = {"inbound": receive(app), **poll(app), "labels": read_labels(app)}
    steps |= {"classify": classify(app), "deliver": deliver(app)}
    return {"steps": steps, **_state(app)}


def until_idle(app: App, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Rounds until nothing is left that will be due within SOON_S; what is due later is reported as stuck."""
    totals: dict[str, Counter[str]] = {}
    while True:
        result = one_round(app)
        for step, counts in result["steps"].items():
            totals.setdefault(step, Counter()).update(counts)
        waits = result["pending"]
        if not waits["total"] or result["stuck"]:
            break
        wait_s = waits["next_at"] - app.now()
        if wait_s > SOON_S:
            result["stuck"].append(f"{waits['total']} wait, the first for {wait_s:.0f} s more: {_named(waits)}")
            break
        progress(f"waiting for {_named(waits)}")
        app.stopping.wait(min(max(wait_s, 0.05), 2.0))
    # Settling is a state, not a sum: what the last round saw.
    steps = {step: {**dict(counts), **_states(result["steps"][step])} for step, counts in totals.items()}
    return {**result, "steps": steps}


def import_labels(app: App, path: Path, who: str) -> transfer.ImportReport:
    """Labels from a CSV file or a folder per category; pictures we do not have yet are staged."""

    def bring(file: Path) -> str:
        limit = max((source.max_file_mb for source in app.settings.sources.values()), default=25) * 2**20
        return staging.import_file(app.db, app.settings.data_dir, file, max_bytes=limit, now=app.now())

    take = transfer.import_folder if path.is_dir() else transfer.import_csv
    return take(app.db, path, app.settings.categories, stage=bring, who=who, now=app.now(), on_label=app.announce)


def refused(reasons: Mapping[str, int]) -> int:
    """How many were refused; other kinds of files are no refusal, there may be millions."""
    return sum(count for reason, count in reasons.items() if reason != "extension")


def _state(app: App) -> dict[str, Any]:
    with app.db.read() as session:
        found = pending.look(session, app.settings, app.now())
    queues = {name: count for name, count in vars(found).items() if name != "stuck"}
    # Only who classified here knows whether the model can be served.
    unserved = [app.serving.problem] if "serving" in vars(app) and app.serving.problem else []
    return {"pending": {**queues, "total": found.total}, "stuck": [*found.stuck, *unserved]}


def _named(waits: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in waits.items() if count and name not in ("total", "next_at"))


def _states(counts: Counts) -> Counts:
    return {name: counts[name] for name in ("settling", "waiting") if name in counts}
