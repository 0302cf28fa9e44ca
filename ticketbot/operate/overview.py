"""Is it working? The start page: four steps with their numbers, what needs a person, queues, pictures by category.

`count` reads what takes longer the more there is, all or today's, and stands in a tally; `look` reads the few rows that
are left. The page only draws them.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from flask import Blueprint, current_app, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import Integer, and_, cast, func, select
from sqlalchemy.orm import Session

from ticketbot.db import Database
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
from ticketbot.judge.intervals import clopper_pearson
from ticketbot.operate import pending
from ticketbot.review import progress
from ticketbot.settings import Settings
from ticketbot.web.access import known_caller, needs
from ticketbot.web.context import services
from ticketbot.web.i18n import N_

blueprint = Blueprint("overview", __name__, template_folder="templates")

TRAININGS = 4
UNSURE = "unsure"
NOT_YET = "not classified"
DAYS = 14
AUDIT_DAYS = 7
DAY_S = 86400.0
# Below this much free, staging may stop at any moment.
SHORT_OF_DISK = 0.1
# The four steps lead to the pages that are there.
PAGES = {"label.page": "label", "tickets.show": "read", "models.show": "read"}
# Words of the code that the page says in the reader's language.
WORDS = {
    UNSURE: N_("unsure"),
    NOT_YET: N_("not classified"),
    "junk": N_("junk"),
    "settling": N_("settling"),
    "without ticket": N_("without ticket"),
    "to classify": N_("to classify"),
    "quiet time": N_("quiet time"),
    "to deliver": N_("to deliver"),
    "held": N_("held"),
    "dead": N_("given up"),
    "not called yet": N_("not called yet"),
    "switched off": N_("switched off"),
    "failing, probing": N_("failing, probing"),
    "asked us to wait": N_("asked us to wait"),
    "failing": N_("failing"),
    "working": N_("working"),
    "running": N_("running"),
    "failed": N_("failed"),
    "refused": N_("refused"),
    "succeeded": N_("succeeded"),
    "extension": N_("other kinds of files"),
    "empty": N_("empty"),
    "too_large": N_("too large"),
    "not_regular": N_("no ordinary files"),
    "permission": N_("not readable for us"),
    "too_deep": N_("too deep"),
    "quota": N_("too many of one user"),
    "erased": N_("erased before"),
}


@dataclass(frozen=True)
class Queue:
    """What waits somewhere: how much, and since when the oldest (Unix seconds)."""

    name: str
    count: int
    oldest_at: float | None
    hint: str


class Audit(NamedTuple):
    """What people said blindly against what the model had answered: pictures, answered ones, right ones, interval."""

    total: int
    answered: int
    right: int
    low: float
    high: float


@dataclass(frozen=True)
class Counted:
    """What grows with the total or with the day. `days`: (Unix seconds, pictures staged) of two weeks, oldest first."""

    by_category: list[tuple[str, int]]
    today: dict[str, int]
    queues: list[Queue]
    audit: Audit | None
    staged: int
    staged_today: int
    delivered_today: int
    labels: dict[str, int]
    refused: dict[str, list[tuple[str, int]]]
    days: list[tuple[float, int]]
    # "today" (delivered), "waits", "dead": by endpoint.
    answers: dict[str, dict[str, int]]


@blueprint.get("/")
@needs("read")
def show() -> ResponseReturnValue:
    made = services()
    counted = made.tallies.get("overview", lambda: count(made.db, made.settings, made.now))
    with made.db.read() as session:
        shown = look(session, made.settings, made.now(), counted)
    may = known_caller().may
    links = {name for name, scope in PAGES.items() if may(scope) and name in current_app.view_functions}
    return render_template("overview/overview.html", links=links, words=WORDS, **shown)


def count(db: Database, settings: Settings, now: Callable[[], float]) -> Counted:
    """Reads everything: in a tally only."""
    with db.read() as session:
        at = now()
        since = midnight(at)
        champion_id = session.scalar(select(Model.id).where(Model.state == "champion")) or ""
        said = session.execute(select(Label.category, func.count()).group_by(Label.category))
        known = {row.name: row.id for row in session.scalars(select(Source))}
        return Counted(
            by_category=by_category(session, champion_id, settings.categories, None),
            today=dict(by_category(session, champion_id, settings.categories, since)),
            queues=queues(session, champion_id),
            audit=audited(session, champion_id, at),
            staged_today=_count(session, Picture.staged_at >= since),
            delivered_today=_count(session, Answer.state == "delivered", Answer.delivered_at >= since),
            staged=_count(session, Picture.state == "staged"),
            labels={row[0]: row[1] for row in said},
            refused={name: _refused(session, known[name]) for name in settings.sources if name in known},
            days=_days(session, at),
            answers={
                "today": _by_endpoint(session, "delivered", Answer.delivered_at >= since),
                "waits": _by_endpoint(session, "pending"),
                "dead": _by_endpoint(session, "dead"),
            },
        )


def _by_endpoint(session: Session, state: str, *where: Any) -> dict[str, int]:
    found = select(Answer.endpoint, func.count()).where(Answer.state == state, *where).group_by(Answer.endpoint)
    return {row[0]: row[1] for row in session.execute(found)}


def _days(session: Session, now: float) -> list[tuple[float, int]]:
    # Noon, not a count of seconds: a day may have 23 or 25 hours.
    begins = [midnight(midnight(now) - n * DAY_S + DAY_S / 2) for n in reversed(range(DAYS))]
    ends = [*begins[1:], now + DAY_S]
    return [
        (begin, _count(session, Picture.staged_at >= begin, Picture.staged_at < end))
        for begin, end in zip(begins, ends, strict=True)
    ]


def look(session: Session, settings: Settings, now: float, counted: Counted) -> dict[str, Any]:
    """Everything on the page. What is read here does not grow: tests/operate/test_overview.py holds it to that."""
    champion = session.scalar(select(Model).where(Model.state == "champion"))
    dead = sum(counted.answers["dead"].values())
    return {
        "counted": counted,
        "audit": counted.audit,
        "disk": disk(settings.data_dir),
        "stuck": pending.stuck(session, dead),
        "alerts": alerts.current(session),
        "paused": claim.is_paused(session),
        "sources": _sources(session, settings, counted),
        "queues": counted.queues,
        "today": counted.today,
        "all": counted.by_category,
        "labels": _labels(session, settings, counted),
        "champion": champion,
        "trainings": list(session.scalars(select(Training).order_by(Training.id.desc()).limit(TRAININGS))),
        "endpoints": _endpoints(session, settings, now, counted),
        "staged_today": counted.staged_today,
        "delivered_today": counted.delivered_today,
        "staged": counted.staged,
    }


def audited(session: Session, champion_id: str, now: float) -> Audit | None:
    """The model in service against this week's blind labels; None while there are none it answered."""
    recent = audit(champion_id).where(Label.at >= now - AUDIT_DAYS * DAY_S)
    total, answered, right = session.execute(recent).one()
    if not answered:
        return None
    return Audit(total, answered, right or 0, *clopper_pearson(right or 0, answered))


def audit(model_id: str) -> Any:
    """Blind labels against this model's answers: how many, how many answered, how many of these rightly."""
    right = func.sum(cast(Prediction.category == Label.category, Integer))
    mine = (Prediction.sha256 == Label.sha256, Prediction.model_id == model_id, Prediction.state == "done")
    # An outer join begins with the labels: an inner one would begin with all that the model ever said.
    return (
        select(func.count(Prediction.id), func.count(Prediction.category), right)
        .select_from(Label)
        .outerjoin(Prediction, and_(*mine))
        .where(Label.blind, Label.category != "junk")
    )


def disk(folder: Path) -> dict[str, Any] | None:
    """Room where our data lies, in bytes; None when it cannot be told."""
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return None
    share = found.free / found.total if found.total else 0.0
    return {"free": found.free, "total": found.total, "used_share": 1 - share, "short": share < SHORT_OF_DISK}


def midnight(now: float) -> float:
    """When today began where the server is."""
    here = datetime.fromtimestamp(now, UTC).astimezone()
    return here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _count(session: Session, *where: Any) -> int:
    return session.scalar(select(func.count()).where(*where)) or 0


def _sources(session: Session, settings: Settings, counted: Counted) -> list[dict[str, Any]]:
    """Each configured source, and whether a scan was ever complete."""
    rows = {row.name: row for row in session.scalars(select(Source))}
    return [
        {
            "name": name,
            "root": str(source.root),
            "row": rows.get(name),
            "refused": counted.refused.get(name, []),
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
        queue("settling", File.observed_at, N_("the ERP may still be writing"), UNSETTLED),
        queue("without ticket", File.first_seen_at, N_("no ticket found yet"), File.resolve_due_at.is_not(None)),
        _to_classify(session, champion_id),
        queue("quiet time", Ticket.due_at, N_("a ticket may get more pictures"), Ticket.due_at.is_not(None)),
        queue("to deliver", Answer.created_at, N_("on the way, or to be tried again"), Answer.state == "pending"),
        queue("held", Answer.created_at, N_("dry run: written down, not sent"), Answer.state == "held"),
        queue("dead", Answer.created_at, N_("all attempts failed"), Answer.state == "dead"),
    ]
    return waiting if champion_id else [each for each in waiting if each.name != "to classify"]


def _to_classify(session: Session, champion_id: str) -> Queue:
    """Piece by piece, each a range of the index: of all at once SQLite would read what is done too."""
    staged = (Picture.state == "staged", Picture.wanted)
    count, oldest = 0, []
    for piece in (Picture.model_id.is_(None), Picture.model_id < champion_id, Picture.model_id > champion_id):
        n, at = session.execute(select(func.count(), func.min(Picture.staged_at)).where(*staged, piece)).one()
        count += n
        oldest += [at] * (n > 0)
    return Queue("to classify", count, min(oldest, default=None), N_("the model has not looked yet"))


def by_category(
    session: Session, champion_id: str, categories: Iterable[str], since: float | None
) -> list[tuple[str, int]]:
    """Pictures (staged since then) by what they are: a person's word, else the champion's."""
    counted = _of_all(session, champion_id) if since is None else _of_some(session, champion_id, since)
    return added_up(*counted, categories)


def _of_all(session: Session, champion_id: str) -> tuple[dict[str, int], list[tuple[Any, ...]], int]:
    """For `added_up`: what the model said comes from an index alone, whatever the pictures are."""
    said = select(Prediction.category, func.count()).where(Prediction.model_id == champion_id)
    corrected = (
        select(Prediction.category, Prediction.id.is_not(None), Label.category, func.count())
        .select_from(Label)
        .outerjoin(Prediction, (Prediction.sha256 == Label.sha256) & (Prediction.model_id == champion_id))
        .group_by(Prediction.category, Prediction.id.is_not(None), Label.category)
    )
    predicted = {row[0] or UNSURE: row[1] for row in session.execute(said.group_by(Prediction.category))}
    total = session.scalar(select(func.count()).select_from(Picture)) or 0
    return predicted, [tuple(row) for row in session.execute(corrected)], total


def _of_some(session: Session, champion_id: str, since: float) -> tuple[dict[str, int], list[tuple[Any, ...]], int]:
    """The same of what was staged since then. Outer joins begin with these, however many there were before."""
    query = (
        select(Prediction.id.is_not(None), Prediction.category, Label.category, func.count())
        .select_from(Picture)
        .outerjoin(Prediction, (Prediction.sha256 == Picture.sha256) & (Prediction.model_id == champion_id))
        .outerjoin(Label, Label.sha256 == Picture.sha256)
        .where(Picture.staged_at >= since)
        .group_by(Prediction.id.is_not(None), Prediction.category, Label.category)
    )
    predicted: Counter[str] = Counter()
    corrections: list[tuple[Any, ...]] = []
    total = 0
    for was_predicted, category, label, n in session.execute(query):
        total += n
        if was_predicted:
            predicted[category or UNSURE] += n
        if label is not None:
            corrections.append((category, was_predicted, label, n))
    return dict(predicted), corrections, total


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


def _labels(session: Session, settings: Settings, counted: Counted) -> dict[str, Any]:
    counts = counted.labels
    minimum = settings.retrain.min_per_category
    return {
        "total": sum(counts.values()),
        # Counted no further than a training needs.
        "new": settings.retrain.min_new_labels - progress.until_training(session, settings.retrain.min_new_labels),
        "needed": settings.retrain.min_new_labels,
        "few": [(name, counts.get(name, 0)) for name in settings.categories if counts.get(name, 0) < minimum],
        "minimum": minimum,
    }


def _endpoints(session: Session, settings: Settings, now: float, counted: Counted) -> list[dict[str, Any]]:
    """Each configured endpoint: its health, how many answers were delivered today, wait, were given up."""
    states = {row.name: row for row in session.scalars(select(EndpointState))}
    return [
        {
            "name": name,
            "url": endpoint.url,
            "mode": endpoint.mode,
            **{what: counts.get(name, 0) for what, counts in counted.answers.items()},
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
    return ("good", "working") if state.last_success_at else ("", "not called yet")
