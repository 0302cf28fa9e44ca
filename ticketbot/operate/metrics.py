"""What does Prometheus get to see? The text of /metrics.

Two kinds of figures: what the database knows at this moment (queues, endpoints, the model, jobs), and what processes
counted (`ticketbot.measures`). Every name is in METRICS or in measures; docs/metrics.md is made from both.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping

from flask import Blueprint, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ticketbot import __version__, measures
from ticketbot.db.models import (
    ANSWER_STATES,
    Answer,
    EndpointState,
    JobSlot,
    Label,
    Lease,
    Model,
    Source,
    Training,
)
from ticketbot.deliver import alerts, claim
from ticketbot.operate import backup, overview, pending
from ticketbot.settings import Settings
from ticketbot.web.access import needs
from ticketbot.web.context import services

blueprint = Blueprint("metrics", __name__)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# name -> help. All of them are gauges: they say how it is now.
METRICS = {
    "ticketbot_info": "1; the version is in the label.",
    "ticketbot_queue_items": "What waits between two steps.",
    "ticketbot_queue_oldest_age_seconds": "How long the oldest thing in a queue has waited; 0 when it is empty.",
    "ticketbot_stuck": "Things that do not go on without a person; see: ticketbot doctor",
    "ticketbot_answers": "Answers in the outbox, by endpoint and state.",
    "ticketbot_endpoint_up": "1: delivering; 0: switched off, or its breaker is open.",
    "ticketbot_endpoint_last_success_timestamp_seconds": "When an answer last arrived.",
    "ticketbot_endpoint_clock_skew_seconds": "How far the receiver's clock is ahead of ours.",
    "ticketbot_deliveries_paused": "1 when a person has paused all deliveries.",
    "ticketbot_alert": "1 for each alert that is raised, by endpoint and code.",
    "ticketbot_source_last_scan_timestamp_seconds": "When a tree was last looked through to the end.",
    "ticketbot_source_incomplete": "1 when the last scan was not complete.",
    "ticketbot_job_last_start_timestamp_seconds": "When a job last began, on whichever host.",
    "ticketbot_job_last_duration_seconds": "How long its last finished run took.",
    "ticketbot_job_last_failed": "1 when its last finished run ended with an error.",
    "ticketbot_leader": "1 when some worker holds the leader's lease: the schedule runs.",
    "ticketbot_model_info": "1 for the model in service; id and architecture are in the labels.",
    "ticketbot_model_accuracy": "Its measured accuracy on pictures kept out of training: value, low, high (95 %).",
    "ticketbot_model_promoted_timestamp_seconds": "When it went into service.",
    "ticketbot_audit_pictures": "Pictures the model in service answered that people labelled without a suggestion.",
    "ticketbot_audit_correct": "Those of them that it answered rightly, unsure ones left out.",
    "ticketbot_audit_answered": "Those of them that it was sure about.",
    "ticketbot_labels": "Pictures with a label, by category.",
    "ticketbot_labels_new": "Labels that no training has seen.",
    "ticketbot_training_running": "1 while a training runs.",
    "ticketbot_training_last_failed": "1 when the last training failed.",
    "ticketbot_disk_free_bytes": "Room on the disk of data_dir.",
    "ticketbot_backup_last_timestamp_seconds": "When the last backup was made and verified; missing: none ever was.",
}

Sample = tuple[str, dict[str, str], float]


@blueprint.get("/metrics")
@needs("read", api=True)
def show() -> Response:
    """For Prometheus, with a token of the scope read."""
    made = services()
    measures.flush()
    with made.db.read() as session:
        samples = list(collect(session, made.settings, made.now()))
    return Response(rendered(samples, measures.read(made.settings.data_dir)), content_type=CONTENT_TYPE)


def collect(session: Session, settings: Settings, now: float) -> Iterator[Sample]:
    """Every sample of METRICS, from the database and the disk."""
    yield "ticketbot_info", {"version": __version__}, 1
    champion = session.scalar(select(Model).where(Model.state == "champion"))
    yield from _queues(session, champion.id if champion else "", now)
    yield from _deliveries(session, settings, now)
    yield from _sources(session)
    yield from _jobs(session, now)
    yield from _labels(session, settings)
    if champion is not None:
        yield from _model(session, champion)
    if (at := backup.last_at(session)) is not None:
        yield "ticketbot_backup_last_timestamp_seconds", {}, at
    yield "ticketbot_disk_free_bytes", {}, shutil.disk_usage(settings.data_dir).free


def _queues(session: Session, champion_id: str, now: float) -> Iterator[Sample]:
    for queue in overview.queues(session, champion_id):
        labels = {"queue": queue.name.replace(" ", "_")}
        yield "ticketbot_queue_items", labels, queue.count
        # The quiet time's moment lies ahead: nothing has waited too long yet.
        age_s = max(0.0, now - queue.oldest_at) if queue.oldest_at is not None and queue.count else 0.0
        yield "ticketbot_queue_oldest_age_seconds", labels, age_s
    yield "ticketbot_stuck", {}, len(pending.stuck(session))


def _deliveries(session: Session, settings: Settings, now: float) -> Iterator[Sample]:
    counts = select(Answer.endpoint, Answer.state, func.count()).group_by(Answer.endpoint, Answer.state)
    found = {(row[0], row[1]): row[2] for row in session.execute(counts)}
    states = {row.name: row for row in session.scalars(select(EndpointState))}
    for name in settings.endpoints:
        for state in ANSWER_STATES:
            yield "ticketbot_answers", {"endpoint": name, "state": state}, found.get((name, state), 0)
        row = states.get(name)
        up = row is None or (row.disabled_at is None and row.opened_at is None)
        yield "ticketbot_endpoint_up", {"endpoint": name}, up
        if row is not None and row.last_success_at is not None:
            yield "ticketbot_endpoint_last_success_timestamp_seconds", {"endpoint": name}, row.last_success_at
        if row is not None and row.clock_skew_s is not None:
            yield "ticketbot_endpoint_clock_skew_seconds", {"endpoint": name}, row.clock_skew_s
    yield "ticketbot_deliveries_paused", {}, claim.is_paused(session)
    for alert in alerts.current(session):
        yield "ticketbot_alert", {"endpoint": alert.endpoint, "code": alert.code}, 1


def _sources(session: Session) -> Iterator[Sample]:
    for source in session.scalars(select(Source)):
        if source.scanned_at is not None:
            yield "ticketbot_source_last_scan_timestamp_seconds", {"source": source.name}, source.scanned_at
        yield "ticketbot_source_incomplete", {"source": source.name}, source.incomplete is not None


def _jobs(session: Session, now: float) -> Iterator[Sample]:
    latest = select(JobSlot.job, func.max(JobSlot.slot).label("slot")).group_by(JobSlot.job)
    ended = latest.where(JobSlot.finished_at.is_not(None)).subquery()
    begun = select(JobSlot.job, func.max(JobSlot.started_at)).group_by(JobSlot.job)
    for job, started_at in session.execute(begun):
        yield "ticketbot_job_last_start_timestamp_seconds", {"job": job}, started_at
    mine = (JobSlot.job == ended.c.job) & (JobSlot.slot == ended.c.slot)
    for slot in session.scalars(select(JobSlot).join(ended, mine)):
        took_s = max(0.0, (slot.finished_at or 0.0) - slot.started_at)
        yield "ticketbot_job_last_duration_seconds", {"job": slot.job}, took_s
        yield "ticketbot_job_last_failed", {"job": slot.job}, slot.error is not None
    held = session.scalar(select(func.count()).select_from(Lease).where(Lease.name == "leader", Lease.until > now))
    yield "ticketbot_leader", {}, bool(held)


def _labels(session: Session, settings: Settings) -> Iterator[Sample]:
    counts = {row[0]: row[1] for row in session.execute(select(Label.category, func.count()).group_by(Label.category))}
    for category in {**dict.fromkeys(settings.categories), **counts}:
        yield "ticketbot_labels", {"category": category}, counts.get(category, 0)
    ended = select(func.max(Training.labels_until)).where(Training.state.in_(("succeeded", "refused")))
    new = select(func.count()).select_from(Label).where(Label.version > (session.scalar(ended) or 0))
    yield "ticketbot_labels_new", {}, session.scalar(new) or 0
    last = session.scalar(
        select(Training.state).where(Training.state != "running").order_by(Training.id.desc()).limit(1)
    )
    running = session.scalar(select(Training.id).where(Training.state == "running")) is not None
    yield "ticketbot_training_running", {}, running
    yield "ticketbot_training_last_failed", {}, last == "failed"


def _model(session: Session, champion: Model) -> Iterator[Sample]:
    yield "ticketbot_model_info", {"model": champion.id, "arch": str(champion.manifest.get("arch", ""))}, 1
    measured = champion.manifest.get("metrics") or {}
    for bound, key in (("value", "accuracy"), ("low", "accuracy_low"), ("high", "accuracy_high")):
        if isinstance(measured.get(key), int | float):
            yield "ticketbot_model_accuracy", {"bound": bound}, measured[key]
    if champion.promoted_at is not None:
        yield "ticketbot_model_promoted_timestamp_seconds", {}, champion.promoted_at
    total, answered, correct = session.execute(overview.audit(champion.id)).one()
    yield "ticketbot_audit_pictures", {}, total
    yield "ticketbot_audit_answered", {}, answered or 0
    yield "ticketbot_audit_correct", {}, correct or 0


# --- the text ---------------------------------------------------------------------------------------------------------


def rendered(samples: list[Sample], counted: Mapping[measures.Key, list[float]]) -> str:
    """Prometheus's text format: each name once, with its help and type, then its samples."""
    lines: list[str] = []
    for name, said in METRICS.items():
        lines += [f"# HELP {name} {_help(said)}", f"# TYPE {name} gauge"]
        lines += [f"{name}{_labels_of(labels)} {_number(value)}" for one, labels, value in samples if one == name]
    for name, (said, names) in measures.COUNTERS.items():
        lines += [f"# HELP {name} {_help(said)}", f"# TYPE {name} counter"]
        for values, (value,) in _of(counted, name):
            lines.append(f"{name}{_labels_of(dict(zip(names, values, strict=True)))} {_number(value)}")
    for name, (said, names, bounds) in measures.HISTOGRAMS.items():
        lines += [f"# HELP {name} {_help(said)}", f"# TYPE {name} histogram"]
        for values, found in _of(counted, name):
            lines += _histogram(name, dict(zip(names, values, strict=True)), bounds, found)
    return "\n".join(lines) + "\n"


def _histogram(name: str, labels: dict[str, str], bounds: tuple[float, ...], found: list[float]) -> Iterator[str]:
    below = 0.0
    for bound, count in zip((*bounds, math.inf), found[:-1], strict=True):
        below += count
        yield f"{name}_bucket{_labels_of({**labels, 'le': _number(bound)})} {_number(below)}"
    yield f"{name}_sum{_labels_of(labels)} {_number(found[-1])}"
    yield f"{name}_count{_labels_of(labels)} {_number(below)}"


def _of(counted: Mapping[measures.Key, list[float]], name: str) -> list[tuple[tuple[str, ...], list[float]]]:
    return sorted((labels, value) for (one, labels), value in counted.items() if one == name)


def _labels_of(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_value(value)}"' for name, value in labels.items()) + "}"


def _value(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value == math.inf:
        return "+Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
