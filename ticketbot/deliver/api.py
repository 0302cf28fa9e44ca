"""Tickets, answers and endpoints for programs: /api/v1/tickets, /answers, /endpoints, /deliveries."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import select

from ticketbot.db.models import Answer, Attempt, Ticket
from ticketbot.deliver import admin, alerts, claim
from ticketbot.errors import Refused
from ticketbot.web.access import known_caller
from ticketbot.web.api import Api, Model, Page, Paging, cut, place_of
from ticketbot.web.context import services

api = Api("deliveries")
State = Literal["held", "pending", "delivered", "dead", "cancelled"]


class TicketQuery(Paging):
    endpoint: str | None = Field(None, max_length=40)
    ticket: str | None = Field(None, max_length=200, description="Exactly this ticket.")
    category: str | None = Field(None, max_length=40)


class TicketOut(Model):
    """What was last said about a ticket. `by`: person, or a model's id; `due_at`: an answer will be decided then."""

    endpoint: str
    ticket: str
    category: str | None
    confidence: float | None
    by: str | None
    answered_at: float | None
    due_at: float | None


class AnswerQuery(Paging):
    state: State | None = None
    endpoint: str | None = Field(None, max_length=40)
    ticket: str | None = Field(None, max_length=200)


class AnswerOut(Model):
    """An event in the outbox. `id` is the webhook-id, the same on every repeat."""

    id: str
    endpoint: str
    ticket: str
    seq: int
    type: str
    sha256: str | None
    state: str
    attempts: int
    due_at: float
    created_at: float
    delivered_at: float | None
    last_status: int | None
    last_error: str | None


class AttemptOut(Model):
    number: int
    at: float
    took_ms: int
    status: int | None
    error: str | None


class AnswerDetail(AnswerOut):
    """`body`: what is sent, null when it was erased."""

    body: dict[str, Any] | None
    tries: list[AttemptOut]


class Redelivery(Model):
    """Which answers to send again: `ids`, or all made `since` then in one of `states` (to `endpoint`)."""

    key: str = Field(pattern="^[A-Za-z0-9_-]{8,128}$", description="Chosen by you; sent twice it happens once.")
    ids: list[str] = Field([], max_length=1000)
    since: float | None = None
    endpoint: str = Field("", max_length=40)
    states: list[Literal["delivered", "dead", "cancelled"]] = Field(["dead"])


class Count(Model):
    count: int


class EndpointOut(Model):
    """`answers`: how many are in which state; `alerts`: what a person should look at."""

    name: str
    mode: str
    paused: bool
    answers: dict[str, int]
    late_s: float | None
    disabled: str | None
    last_success_at: float | None
    clock_skew_s: float | None
    alerts: list[str]


class Endpoints(Model):
    paused: bool = Field(description="A person stopped all deliveries.")
    items: list[EndpointOut]


class Secret(Model):
    secret: str = Field(description="Shown this once; the one before it signs too for 24 hours.")


class AlertCode(Model):
    code: str = Field(min_length=1, max_length=40, description="Of the alert, as /status says it.")


class Released(Model):
    released: int
    cancelled: int


@api.get("/tickets", "read")
def list_tickets(query: TicketQuery) -> Page[TicketOut]:
    """Tickets and what was last said about them, the newest first."""
    rows = select(Ticket).order_by(Ticket.id.desc()).limit(query.limit + 1)
    for name in ("endpoint", "ticket", "category"):
        if (wanted := getattr(query, name)) is not None:
            rows = rows.where(getattr(Ticket, name) == wanted)
    if (place := place_of(query.cursor, int)) is not None:
        rows = rows.where(Ticket.id < place[0])
    with services().db.read() as session:
        found = list(session.scalars(rows))
    shown, following = cut(found, query.limit, lambda row: (row.id,))
    return Page[TicketOut](items=[TicketOut.model_validate(_of(one, TicketOut)) for one in shown], next=following)


@api.get("/answers", "read")
def list_answers(query: AnswerQuery) -> Page[AnswerOut]:
    """The outbox, the newest first."""
    rows = select(Answer).order_by(Answer.id.desc()).limit(query.limit + 1)
    for name in ("state", "endpoint", "ticket"):
        if (wanted := getattr(query, name)) is not None:
            rows = rows.where(getattr(Answer, name) == wanted)
    if (place := place_of(query.cursor, str)) is not None:
        rows = rows.where(Answer.id < place[0])
    with services().db.read() as session:
        found = list(session.scalars(rows))
    shown, following = cut(found, query.limit, lambda row: (row.id,))
    return Page[AnswerOut](items=[AnswerOut.model_validate(_of(one, AnswerOut)) for one in shown], next=following)


@api.get("/answers/<answer_id>", "read")
def get_answer(answer_id: str) -> AnswerDetail:
    """One answer with its body and every attempt to deliver it."""
    with services().db.read() as session:
        answer = session.get(Answer, answer_id)
        if answer is None:
            raise Refused("not_found", "There is no such answer.")
        tries = session.scalars(select(Attempt).where(Attempt.answer_id == answer_id).order_by(Attempt.id)).all()
        shown = [AttemptOut.model_validate(_of(one, AttemptOut)) for one in tries]
        body = json.loads(answer.body) if answer.body else None
        return AnswerDetail(**_of(answer, AnswerOut), body=body, tries=shown)


@api.post("/answers/redeliver", "admin")
def redeliver_answers(body: Redelivery) -> Count:
    """Send answers again under their old webhook-id: those of `ids`, or all since then.

    A receiver that keeps ids sees no second effect of what it had. The same `key` again does nothing and says 0.
    """
    made = services()
    if not body.ids and body.since is None:
        raise Refused("bad_request", "ids or since: which answers?")
    wanted: dict[str, Any] = {"ids": body.ids, "since": body.since, "endpoint": body.endpoint, "states": body.states}
    return Count(count=admin.redeliver(made.db, body.key, known_caller().name, made.now(), **wanted))


@api.get("/endpoints", "read")
def list_endpoints() -> Endpoints:
    """Where answers go, and how each endpoint is."""
    made = services()
    with made.db.read() as session:
        found = admin.overview(session, made.settings, made.now())
        raised = alerts.current(session)
        paused = {name: claim.is_paused(session, name) for name in found}
        items = [_endpoint(name, facts, paused[name], raised) for name, facts in found.items()]
        return Endpoints(paused=claim.is_paused(session), items=items)


@api.post("/endpoints/<name>/enable", "admin")
def enable_endpoint(name: str) -> None:
    """Switch on an endpoint that was switched off after long failure; what waited goes out, oldest first."""
    made = services()
    admin.enable(made.db, _known(name), known_caller().name, made.now())


@api.post("/endpoints/<name>/release", "admin")
def release_endpoint(name: str) -> Released:
    """Send what was held back while the endpoint was in dry run."""
    made = services()
    return Released(**admin.release(made.db, made.settings, _known(name), known_caller().name, made.now()))


@api.post("/endpoints/<name>/pause", "admin")
def pause_endpoint(name: str) -> None:
    """Send nothing more to this endpoint until it is resumed. Nothing is lost."""
    made = services()
    admin.pause(made.db, known_caller().name, made.now(), _known(name))


@api.post("/endpoints/<name>/resume", "admin")
def resume_endpoint(name: str) -> None:
    """Undo the pause: what waited goes out in order."""
    made = services()
    admin.resume(made.db, known_caller().name, made.now(), _known(name))


@api.post("/endpoints/<name>/dismiss", "admin")
def dismiss_alert(name: str, body: AlertCode) -> None:
    """A person has seen this alert; it comes again when there is reason again."""
    made = services()
    admin.dismiss(made.db, _known(name), body.code, known_caller().name, made.now())


@api.post("/endpoints/<name>/secret", "admin")
def rotate_endpoint_secret(name: str) -> Secret:
    """Make a new secret for the endpoint."""
    made = services()
    return Secret(secret=admin.rotate_secret(made.db, made.settings, _known(name), known_caller().name, made.now()))


@api.post("/deliveries/pause", "admin")
def pause_deliveries() -> None:
    """Send nothing more to anybody until it is resumed. Nothing is lost."""
    made = services()
    admin.pause(made.db, known_caller().name, made.now())


@api.post("/deliveries/resume", "admin")
def resume_deliveries() -> None:
    """Undo the pause: what waited goes out in order."""
    made = services()
    admin.resume(made.db, known_caller().name, made.now())


def _known(name: str) -> str:
    if name not in services().settings.endpoints:
        raise Refused("not_found", "There is no such endpoint.")
    return name


def _endpoint(name: str, facts: dict[str, Any], paused: bool, raised: list[alerts.Alert]) -> EndpointOut:
    counts: dict[str, int] = {
        str(state): facts[state] for state in ("held", "pending", "delivered", "dead", "cancelled") if state in facts
    }
    own = {key: facts.get(key) for key in ("late_s", "disabled", "last_success_at", "clock_skew_s")}
    said = [one.text for one in raised if one.endpoint == name]
    return EndpointOut(name=name, mode=facts["mode"], paused=paused, answers=counts, alerts=said, **own)


def _of(row: Any, kind: type[Model]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in kind.model_fields}
