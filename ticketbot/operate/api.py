"""How it stands, and the story of a picture, for programs: /api/v1/status, /trace."""

from __future__ import annotations

from pydantic import Field
from sqlalchemy import select

from ticketbot.db.models import Model as ModelRow
from ticketbot.deliver import alerts
from ticketbot.errors import Refused
from ticketbot.operate import overview, pending, trace
from ticketbot.web.api import Api, Model
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


@api.get("/status", "read")
def get_status() -> Status:
    """What waits, what is stuck, what a person should look at."""
    with services().db.read() as session:
        champion = session.scalar(select(ModelRow.id).where(ModelRow.state == "champion"))
        queues = [Queue(name=one.name, count=one.count, oldest_at=one.oldest_at)
                  for one in overview.queues(session, champion or "")]  # fmt: skip
        raised = [Alert(**vars(one)) for one in alerts.current(session)]
        return Status(queues=queues, stuck=pending.stuck(session), alerts=raised, model=champion)


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
