"""Is it working? The start page: four steps with their numbers, what needs a person, queues, pictures by category.

`look` reads the figures with indexed queries; the page only draws them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ticketbot.db.conditions import REFUSED, UNSETTLED
from ticketbot.db.models import (
    Answer,
    EndpointState,
    File,
    Label,
    Model,
    Picture,
    Prediction,
    Source,
    Ticket,
    Training,
)
from ticketbot.deliver import alerts, claim
from ticketbot.operate import pending
from ticketbot.settings import Settings
from ticketbot.web.access import needs
from ticketbot.web.context import services

blueprint = Blueprint("overview", __name__, template_folder="templates")

TRAININGS = 4
UNSURE = "unsure"
NOT_YET = "not classified"


@dataclass(frozen=True)
class Queue:
    """What waits somewhere: how much, and since when the oldest (Unix seconds)."""

    name: str
    count: int
    oldest_at: float | None
    hint: str


@blueprint.get("/")
@needs("read")
def show() -> ResponseReturnValue:
    made = services()
    with made.db.read() as session:
        return render_template("overview/overview.html", **look(session, made.settings, made.now()))


def look(session: Session, settings: Settings, now: float) -> dict[str, Any]:
    """Everything on the page."""
    since = midnight(now)
    champion = session.scalar(select(Model).where(Model.state == "champion"))
    champion_id = champion.id if champion else ""
    return {
        "stuck": pending.stuck(session),
        "alerts": alerts.current(session),
        "paused": claim.is_paused(session),
        "sources": _sources(session, settings),
        "queues": queues(session, champion_id),
        "today": dict(by_category(session, champion_id, settings.categories, since)),
        "all": by_category(session, champion_id, settings.categories, None),
        "labels": _labels(session, settings),
        "champion": champion,
        "trainings": list(session.scalars(select(Training).order_by(Training.id.desc()).limit(TRAININGS))),
        "endpoints": _endpoints(session, settings, now, since),
        "staged_today": _count(session, Picture.staged_at >= since),
        "staged": _count(session, Picture.state == "staged"),
    }


def midnight(now: float) -> float:
    """When today began where the server is."""
    here = datetime.fromtimestamp(now, UTC).astimezone()
    return here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _count(session: Session, *where: Any) -> int:
    return session.scalar(select(func.count()).where(*where)) or 0


def _sources(session: Session, settings: Settings) -> list[dict[str, Any]]:
    """Each configured source, and whether a scan was ever complete."""
    rows = {row.name: row for row in session.scalars(select(Source))}
    return [
        {
            "name": name,
            "root": str(source.root),
            "row": rows.get(name),
            "refused": _refused(session, rows[name].id) if name in rows else [],
        }
        for name, source in settings.sources.items()
    ]


def _refused(session: Session, source_id: int) -> list[tuple[str, int]]:
    """Files of a source we do not take, by reason, most frequent first."""
    query = select(File.reason, func.count()).where(REFUSED, File.source_id == source_id)
    found = session.execute(query.group_by(File.reason))
    return sorted(((reason or "unknown", count) for reason, count in found), key=lambda each: -each[1])


def queues(session: Session, champion_id: str) -> list[Queue]:
    """What waits between the steps, in the order of the flow."""

    def queue(name: str, column: Any, hint: str, *where: Any) -> Queue:
        count, oldest_at = session.execute(select(func.count(), func.min(column)).where(*where)).one()
        return Queue(name, count, oldest_at, hint)

    waiting = [
        queue("settling", File.observed_at, "the ERP may still be writing", UNSETTLED),
        queue("without ticket", File.first_seen_at, "no ticket found yet", File.resolve_due_at.is_not(None)),
        queue("to classify", Picture.staged_at, "the model has not looked yet", *pending.unanswered(session)),
        queue("quiet time", Ticket.due_at, "a ticket may get more pictures", Ticket.due_at.is_not(None)),
        queue("to deliver", Answer.created_at, "on the way, or to be tried again", Answer.state == "pending"),
        queue("held", Answer.created_at, "dry run: written down, not sent", Answer.state == "held"),
        queue("dead", Answer.created_at, "all attempts failed", Answer.state == "dead"),
    ]
    return waiting if champion_id else [each for each in waiting if each.name != "to classify"]


def by_category(
    session: Session, champion_id: str, categories: Iterable[str], since: float | None
) -> list[tuple[str, int]]:
    """Pictures (staged since then) by what they are: a person's word, else the champion's."""
    predicted = select(Prediction.category, func.count()).where(Prediction.model_id == champion_id)
    corrected = (
        select(Prediction.category, Prediction.id.is_not(None), Label.category, func.count())
        .select_from(Label)
        .outerjoin(Prediction, (Prediction.sha256 == Label.sha256) & (Prediction.model_id == champion_id))
        .group_by(Prediction.category, Prediction.id.is_not(None), Label.category)
    )
    total = select(func.count()).select_from(Picture)
    if since is not None:
        predicted = predicted.join(Picture, Picture.sha256 == Prediction.sha256).where(Picture.staged_at >= since)
        corrected = corrected.join(Picture, Picture.sha256 == Label.sha256).where(Picture.staged_at >= since)
        total = total.where(Picture.staged_at >= since)
    said = {category or UNSURE: count for category, count in session.execute(predicted.group_by(Prediction.category))}
    corrections = [tuple(row) for row in session.execute(corrected)]
    return added_up(said, corrections, session.scalar(total) or 0, categories)


def added_up(
    predicted: dict[str, int],
    labels: Iterable[tuple[Any, ...]],
    total: int,
    categories: Iterable[str],
) -> list[tuple[str, int]]:
    """Counts in the order of the settings. `labels`: (predicted category, was it predicted, label, count)."""
    counts = Counter(predicted)
    for category, was_predicted, label, count in labels:
        if was_predicted:
            counts[category or UNSURE] -= count
        counts[label] += count
    counts[NOT_YET] = max(0, total - sum(counts.values()))
    order = [*categories, "junk", UNSURE, NOT_YET]
    order += sorted(set(counts) - set(order))
    known = set(categories)
    return [(name, counts[name]) for name in order if counts[name] > 0 or name in known]


def _labels(session: Session, settings: Settings) -> dict[str, Any]:
    ended = select(func.max(Training.labels_until)).where(Training.state.in_(("succeeded", "refused")))
    new = session.scalar(select(func.count()).select_from(Label).where(Label.version > (session.scalar(ended) or 0)))
    said = session.execute(select(Label.category, func.count()).group_by(Label.category))
    counts = {row[0]: row[1] for row in said}
    minimum = settings.retrain.min_per_category
    return {
        "total": sum(counts.values()),
        "new": new or 0,
        "needed": settings.retrain.min_new_labels,
        "few": [(name, counts.get(name, 0)) for name in settings.categories if counts.get(name, 0) < minimum],
        "minimum": minimum,
    }


def _endpoints(session: Session, settings: Settings, now: float, since: float) -> list[dict[str, Any]]:
    states = {row.name: row for row in session.scalars(select(EndpointState))}
    delivered = (
        select(Answer.endpoint, func.count())
        .where(Answer.state == "delivered", Answer.delivered_at >= since)
        .group_by(Answer.endpoint)
    )
    today = {row[0]: row[1] for row in session.execute(delivered)}
    return [
        {
            "name": name,
            "url": endpoint.url,
            "mode": endpoint.mode,
            "today": today.get(name, 0),
            "row": states.get(name),
            "health": health(states.get(name), now),
        }
        for name, endpoint in settings.endpoints.items()
    ]


def health(state: EndpointState | None, now: float) -> tuple[str, str]:
    """(colour, word) for an endpoint."""
    if state is None:
        return "", "not called yet"
    if state.disabled_at is not None:
        return "bad", "switched off"
    if state.opened_at is not None:
        return "bad", "failing, probing"
    if state.paused_until > now:
        return "warn", "asked us to wait"
    if state.failing_since is not None:
        return "warn", "failing"
    return "good", "working" if state.last_success_at else "not called yet"
