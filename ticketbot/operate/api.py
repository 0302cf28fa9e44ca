"""How it stands, what was found, and the story of a picture, for programs: /api/v1/status, /search, /trace, /erase."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from sqlalchemy import select

from ticketbot.db.models import Model as ModelRow
from ticketbot.deliver import alerts
from ticketbot.errors import Refused, UsageError
from ticketbot.operate import classes, erase, overview, pending, search, trace
from ticketbot.operate.checks.endpoints import look_at
from ticketbot.operate.checks.finding import Patient
from ticketbot.web.access import known_caller
from ticketbot.web.api import Api, Model, Page
from ticketbot.web.context import services

api = Api("status")


class Queue(Model):
    """What waits between two steps; `oldest_at`: since when the oldest does (Unix seconds)."""

    name: str
    count: int
    oldest_at: float | None


class Alert(Model):
    endpoint: str
    code: str
    text: str
    since: float


class Status(Model):
    """`stuck`: what does not go on without a person, a sentence each; `model`: in service, null without one."""

    queues: list[Queue]
    stuck: list[str]
    alerts: list[Alert]
    model: str | None


class TraceQuery(Model):
    what: str = Field(min_length=1, max_length=500, description="A ticket, a path, a picture's sha256, a webhook-id.")


class Step(Model):
    """Something that happened; `at` null: it is so now."""

    at: float | None
    said: str


class Story(Model):
    title: str
    now: str
    steps: list[Step]


class Stories(Model):
    items: list[Story]


class SearchQuery(Model):
    ticket: str = Field("", max_length=200)
    user: str = Field("", max_length=200, description="Whose pictures are on it.")
    category: str = Field("", max_length=40)
    state: Literal["", "waits", "held", "pending", "delivered", "dead", "cancelled"] = Field(
        "", description="Of an event about it; `waits`: for its quiet time."
    )
    cursor: str | None = Field(None, max_length=500, description="`next` of the page before; nothing for the first.")


class FoundTicket(Model):
    """`category` null: nothing was said yet. `state`: of the event that was found, or of the last one."""

    endpoint: str
    ticket: str
    category: str | None
    confidence: float | None
    by: str | None
    answered_at: float | None
    state: str | None
    user: str | None
    pictures: list[str]


class ClassOut(Model):
    """A class that the settings, labels or the model in service know. `missing`: labels until it can be trained."""

    name: str
    in_settings: bool
    in_model: bool
    labels: int
    missing: int


class Classes(Model):
    items: list[ClassOut]


class FindingOut(Model):
    """`said`: how it is; `do`: what to do about it, empty when nothing is to be done."""

    check: str
    level: Literal["ok", "note", "fault"]
    said: str
    do: str


class Findings(Model):
    items: list[FindingOut]


class Erasure(Model):
    """Whose files (`user`, and if you like only of one `source`), or how old; not both."""

    user: str | None = Field(None, min_length=1, max_length=200)
    source: str | None = Field(None, max_length=40)
    older_than_days: float | None = Field(None, ge=0, le=36500)
    dry_run: bool = Field(True, description="Only say how much it would be. false erases, and nothing brings it back.")


class Erased(Model):
    """Counts of what was erased, or would be. `models` learned from it: train again; `backups` still hold it."""

    dry_run: bool
    files: int
    pictures: int
    shared: int
    labels: int
    predictions: int
    answers_emptied: int
    answers_cancelled: int
    copies: int
    cached: int
    trainings: int
    other_files: int
    fetched: int
    indexed: int
    models: list[str]
    backups: list[str]


@api.get("/status", "read")
def get_status() -> Status:
    """What waits, what is stuck, what a person should look at."""
    with services().db.read() as session:
        champion = session.scalar(select(ModelRow.id).where(ModelRow.state == "champion"))
        queues = [Queue(name=one.name, count=one.count, oldest_at=one.oldest_at)
                  for one in overview.queues(session, champion or "")]  # fmt: skip
        raised = [Alert(**vars(one)) for one in alerts.current(session)]
        return Status(queues=queues, stuck=pending.stuck(session), alerts=raised, model=champion)


@api.get("/search", "read")
def search_tickets(query: SearchQuery) -> Page[FoundTicket]:
    """Look for tickets as the Tickets page does, the newest first; also those about which nothing was said yet.

    A page may be short, or empty, and have a `next`: so much was looked through.
    """
    made = services()
    wanted = search.Wanted(query.ticket, query.user, query.category, query.state)
    with made.db.read() as session:
        found = search.find(session, made.settings, wanted, query.cursor)
        return Page[FoundTicket](items=[_found(one) for one in found.rows], next=found.next)


@api.get("/classes", "read")
def list_classes() -> Classes:
    """Which classes there are, with their labels: those of the settings first, then what labels or the model know."""
    made = services()
    labels = made.tallies.get("labels by class", lambda: classes.counted(made.db))
    with made.db.read() as session:
        champion = session.scalar(select(ModelRow).where(ModelRow.state == "champion"))
    model = [str(one) for one in (champion.manifest.get("classes") or [])] if champion else []
    minimum = made.settings.retrain.min_per_category
    found = classes.compared(made.settings.categories, model, labels, minimum)
    return Classes(items=[ClassOut.model_validate(one, from_attributes=True) for one in found])


@api.post("/endpoints/<name>/test", "admin")
def test_endpoint(name: str) -> Findings:
    """Does the endpoint answer, and is all well with it? It is asked with a GET; nothing is sent to it."""
    made = services()
    if name not in made.settings.endpoints:
        raise Refused("not_found", "There is no such endpoint.")
    found = look_at(name, made.settings.endpoints[name], Patient(made.settings, None, made.now, made.db))
    return Findings(items=[FindingOut.model_validate(one, from_attributes=True) for one in found])


@api.get("/trace", "read")
def get_trace(query: TraceQuery) -> Stories:
    """The story of a picture: seen, settled, staged, predicted by, why unsure, delivered when, answered what."""
    made = services()
    if "\0" in query.what or not query.what.isprintable():
        raise Refused("bad_request", "what: one line of text.")
    with made.db.read() as session:
        found = trace.find(session, made.settings, query.what)
    if not found:
        raise Refused("not_found", "Nothing is known about it.")
    return Stories(items=[Story.model_validate(one.as_json()) for one in found])


@api.post("/erase", "admin")
def erase_data(body: Erasure) -> Erased:
    """Erase a user's data, or what is too old, wherever it got to; without `dry_run: false` only count it.

    SQLite's free pages may hold erased rows until `ticketbot erase` compacts the file: this call does not.
    """
    made = services()
    if body.source is not None and body.source not in made.settings.sources:
        raise Refused("not_found", "There is no such source.")
    before = None if body.older_than_days is None else made.now() - body.older_than_days * erase.DAY_S
    wanted = erase.Wanted(body.user, body.source, before)
    try:
        who = known_caller().name
        report = erase.erase(made.db, made.settings, wanted, who=who, now=made.now(), dry_run=body.dry_run)
    except UsageError as error:
        raise Refused("bad_request", str(error)) from None
    return Erased(**vars(report))


def _found(row: search.Row) -> FoundTicket:
    names = ("category", "confidence", "by", "answered_at")
    said = {name: getattr(row.said, name) if row.said else None for name in names}
    state = row.answer.state if row.answer else None
    return FoundTicket(
        endpoint=row.endpoint, ticket=row.ticket, **said, state=state, user=row.user, pictures=list(row.pictures)
    )
