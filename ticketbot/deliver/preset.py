"""How is an answer written onto a ticket? The steps of the endpoint's preset, in order.

The outbox, its claims, retries and attempts are the same as for a webhook; only the one POST becomes several requests.
Any of them may be the last one before we die, so running them again must change nothing twice: fields are set to what
they are, tags are added to what is there, and a note carries the answer's id, which is looked for before it is written.

    409, 412             somebody changed the ticket meanwhile: again from the first step, a few times, then as below
    429, 503, 5xx, none  tried again on the schedule (retry.py), Retry-After honoured
    anything else        tried again too, and said to a person at once
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from ticketbot.db import Database
from ticketbot.db.models import Answer
from ticketbot.deliver.claim import Claim
from ticketbot.deliver.finish import Report
from ticketbot.deliver.retry import Outcome
from ticketbot.errors import Refused, SettingsError
from ticketbot.failpoints import failpoint
from ticketbot.net import fetch
from ticketbot.settings import Endpoint, Settings
from ticketbot.systems import pointer, template
from ticketbot.systems.calls import System
from ticketbot.systems.preset import CURRENT, Step

log = logging.getLogger(__name__)

CONFLICTS = frozenset({409, 412})
# One of ours is in flight for a ticket at a time; three colleagues in a row are not.
ROUNDS = 4
KEPT_CHARS = 300
# A login page, a proxy's page: what some say 200 with. And what is cut because it is too long.
WEB_PAGE = "the answer is a web page"
NO_JSON = "the answer is no JSON"


@dataclass(frozen=True)
class Told:
    """One step as it went. `answer` has no secrets; `status` None: not sent, `why` says the reason."""

    step: str
    method: str
    url: str
    sent: str
    status: int | None
    answer: str
    why: str = ""


@dataclass
class Run:
    """What came of all steps. `current`: the category that was on the ticket; `kept`: it is a person's, left alone."""

    outcome: Outcome
    current: Any = None
    kept: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    @property
    def text(self) -> str:
        """For the attempt: a line a step."""
        lines = [f"{one.step}: {one.method} {one.url} {one.status or '-'} {one.why}".rstrip() for one in self.told]
        if self.kept:
            lines.append(f"left alone: the category on the ticket is {self.current!r}, set by a person")
        if self.told and self.outcome.status != 200:
            lines.append(self.told[-1].answer)
        return "\n".join(lines)


class _Again(Exception):
    """The ticket changed under us."""


class _Stop(Exception):
    def __init__(self, outcome: Outcome, kept: bool = False) -> None:
        self.outcome, self.kept = outcome, kept


def attempt(db: Database, settings: Settings, one: Claim, now: Callable[[], float], request: Any) -> Report:
    """One run of the steps for a claimed answer; whatever happens is in the report."""
    at = now()
    endpoint = settings.endpoints[one.endpoint]
    try:
        system = System(one.endpoint, endpoint, request)
    except SettingsError as error:
        return Report(Outcome(error=str(error), refused=True), at, now(), {}, b"")
    data = json.loads(one.body)["data"]
    given = values_for(endpoint, system.values, one.ticket, one.id, data, at)
    try:
        run = perform(system, given, ours=said_before(db, endpoint, one), deadline_s=settings.deliver.timeout_s)
    except Exception:
        # Ours, not the ticket system's. It counts as an attempt, as with a webhook.
        log.exception("%s to %s: the steps failed in our own code", one.id, one.endpoint)
        return Report(Outcome(error="internal"), at, now(), {}, b"")
    return Report(run.outcome, at, now(), run.headers, run.text.encode())


def values_for(
    endpoint: Endpoint, values: Mapping[str, Any], ticket: str, id_: str, data: Mapping[str, Any], at: float
) -> dict[str, Any]:
    """What the steps may use, from an event's `data` (docs/events.md)."""
    confidence = data["confidence"]
    previous = data.get("previous")
    return {
        **values,
        "ticket": ticket,
        "id": id_,
        "category": named(endpoint, data["category"]),
        "tag": f"{values.get('tag_prefix', '')}{data['category']}",
        "previous": named(endpoint, previous) if previous else "",
        # A person is sure.
        "confidence": 1.0 if confidence is None else confidence,
        "percent": 100 if confidence is None else round(confidence * 100),
        "by": data["by"],
        "note": note(data, id_),
        "now_utc": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d.%H:%M:%S"),
        "base": endpoint.url.rstrip("/"),
        "nothing": None,
    }


def note(data: Mapping[str, Any], id_: str) -> str:
    """The internal note, plain text without anything that a mark-up could take for its own."""
    what = ", ".join(data["categories"])
    number = data["pictures_total"]
    pictures = "1 picture" if number == 1 else f"{number} pictures"
    if data["by"] == "person":
        return f"ticketbot: {what}, said by a person ({pictures}). Ref {id_}"
    sure = "" if data["confidence"] is None else f", {round(data['confidence'] * 100)} % sure"
    return f"ticketbot: {what}{sure} ({pictures}, model {data['by']}). Ref {id_}"


def named(endpoint: Endpoint, category: str) -> Any:
    """What this category is called on the ticket."""
    return endpoint.names.get(category, category)


def category_of(endpoint: Endpoint, current: Any, categories: Sequence[str]) -> str | None:
    """Our category for what is on the ticket; None: empty, or none of ours."""
    names = {str(named(endpoint, category)).casefold(): category for category in categories}
    return next((names[one] for one in _texts(current) if one in names), None)


def said_before(db: Database, endpoint: Endpoint, one: Claim) -> list[Any]:
    """Categories on the ticket that may be ours: the last that arrived, and all whose arrival we are not sure of."""
    query = (
        select(Answer.body, Answer.state, Answer.delivered_at)
        .where(Answer.endpoint == one.endpoint, Answer.ticket == one.ticket, Answer.seq < one.seq)
        .where(Answer.sha256.is_(None), (Answer.attempts > 0) | (Answer.state == "delivered"), Answer.body != b"")
        .order_by(Answer.seq.desc())
        .limit(20)
    )
    found = []
    with db.read() as session:
        for body, state, _ in session.execute(query):
            found.append(named(endpoint, json.loads(body)["data"]["category"]))
            if state == "delivered":
                break
    return found


def perform(
    system: System,
    given: Mapping[str, Any],
    *,
    ours: Sequence[Any],
    deadline_s: float,
    reads_only: bool = False,
    tell: Callable[[Told], None] = lambda _: None,
) -> Run:
    """All steps, in `deadline_s` seconds. `reads_only`: what would change something is told and not sent."""
    ends_at = time.monotonic() + deadline_s
    run = Run(Outcome(status=200))
    steps = system.preset.steps
    for number in range(1, ROUNDS + 1):
        try:
            _Round(system, dict(given), ours, ends_at, run, reads_only, tell).all(steps)
            break
        except _Again:
            run.outcome = Outcome(status=409)
            if number == ROUNDS or time.monotonic() >= ends_at:
                return run
            run.outcome = Outcome(status=200)
        except _Stop as stop:
            run.outcome, run.kept = stop.outcome, stop.kept
            return run
    return run


def look(system: System, ticket: str, *, deadline_s: float) -> Run:
    """Only read: which category is on the ticket now?"""
    given = {**dict.fromkeys(_UNUSED, ""), **system.values, "ticket": ticket, "base": system.base, "nothing": None}
    run = Run(Outcome(status=200))
    try:
        _Round(system, given, None, time.monotonic() + deadline_s, run, True, lambda _: None).all(system.preset.reads)
    except _Again:
        run.outcome = Outcome(status=409)
    except _Stop as stop:
        run.outcome = stop.outcome
    return run


_UNUSED = ("id", "category", "tag", "previous", "confidence", "percent", "by", "note", "now_utc")


@dataclass
class _Round:
    system: System
    values: dict[str, Any]
    # Categories of ours that may be on the ticket; None: do not ask whose it is.
    ours: Sequence[Any] | None
    ends_at: float
    run: Run
    reads_only: bool
    tell: Callable[[Told], None]

    def all(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._one(step)

    def _one(self, step: Step) -> None:
        self.values |= {name: template.fill(made, self.values) for name, made in step.put.items()}
        told = Told(
            step.name, step.method, self._shown(self.system.url(step.path, self.values)), self._sent(step), None, ""
        )
        if why := self._why_not(step):
            self._say(replace(told, why=why))
            self.values |= {name: self.values.get(name) for name in _saved(step)}
            return
        failpoint("preset.asked")
        if time.monotonic() >= self.ends_at:
            # Whoever stood still for so long has lost the ticket to a colleague.
            self._say(replace(told, why="not sent: too late"))
            raise _Stop(Outcome(error="fetch_timeout"))
        try:
            reply = self.system.call(
                step.method,
                step.path,
                self.values,
                headers=step.headers,
                body=step.body,
                form=step.form,
                deadline_s=max(0.1, self.ends_at - time.monotonic()),
            )
        except Refused as error:
            self._say(replace(told, why=error.code))
            raise _Stop(Outcome(error=error.code)) from None
        failpoint("preset.answered")
        self.run.headers = reply.headers
        text = reply.body.decode("utf-8", "replace")
        self._take(step, reply, text, replace(told, status=reply.status, answer=self._shown(text[:KEPT_CHARS])))

    def _why_not(self, step: Step) -> str:
        if step.when and all(template.is_empty(self.values.get(name)) for name in step.when):
            return f"not needed: no {' or '.join(step.when)}"
        if there := [name for name in step.unless if not template.is_empty(self.values.get(name))]:
            return f"not needed: {there[0]} already"
        return "not sent: dry run" if self.reads_only and not step.is_read else ""

    def _take(self, step: Step, reply: fetch.Reply, text: str, told: Told) -> None:
        if reply.status in CONFLICTS and reply.status not in step.expect:
            self._say(replace(told, why="changed meanwhile"))
            raise _Again
        if reply.status not in step.expect:
            self._say(told)
            # 410 would switch a webhook's endpoint off; here it is this one ticket that is gone.
            status = 404 if reply.status == 410 else reply.status
            refused = 200 <= status < 300
            error = f"{step.name}: unexpected status {reply.status}" if refused else step.name
            raise _Stop(
                Outcome(
                    status=None if refused else status,
                    error=error,
                    retry_after=reply.headers.get("retry-after"),
                    refused=refused,
                )
            )
        answer = _json(text)
        if why := self._wrong(step, answer, text):
            self._say(replace(told, why=why))
            raise _Stop(Outcome(error=f"{step.name}: {why}"[:500], refused=True))
        self.values |= {name: pointer.find(answer, self._pointer(path)) for name, path in step.save.items()}
        self.values |= {name: reply.headers.get(header.lower()) for name, header in step.save_header.items()}
        self.values |= {name: _holds(text, template.fill(what, self.values)) for name, what in step.found.items()}
        self._say(replace(told, answer=self._shown(text[:KEPT_CHARS])))
        if CURRENT in step.save:
            self._whose(self.values[CURRENT])

    def _whose(self, current: Any) -> None:
        """A category that a person put there stays, and nothing is said."""
        self.run.current = current
        if self.ours is None or not self.system.endpoint.person_wins:
            return
        there = _texts(current)
        if there and not there & {text for one in (*self.ours, self.values["category"]) for text in _texts(one)}:
            raise _Stop(Outcome(status=200), kept=True)

    def _wrong(self, step: Step, answer: Any, text: str) -> str:
        if text.lstrip("\ufeff \t\r\n")[:14].lower().startswith(("<!doctype html", "<html")):
            return WEB_PAGE
        if (step.save or step.fail_if or step.must_be) and answer is None and not _may_say_nothing(step, text):
            return NO_JSON
        for path in step.fail_if:
            if not template.is_empty(found := pointer.find(answer, self._pointer(path))):
                return self._shown(f"the answer says {json.dumps(found, ensure_ascii=False)[:KEPT_CHARS]}")
        for words in step.fail_text:
            if words in text:
                return f"the answer says {words!r}"
        for path, wanted in step.must_be.items():
            if any(template.is_empty(self.values[name]) for name in template.names(path)):
                continue  # a field that is not set
            found, want = pointer.find(answer, self._pointer(path)), template.fill(wanted, self.values)
            if not _same(found, want):
                return f"{path} is {found!r} and not {want!r}: the system did not take it"
        return ""

    def _pointer(self, path: str) -> str:
        return template.PLACE.sub(lambda match: pointer.escape(str(self.values[match[1]])), path)

    def _sent(self, step: Step) -> str:
        body = step.body if step.form is None else step.form
        return "" if body is None else self._shown(json.dumps(template.fill(body, self.values), ensure_ascii=False))

    def _shown(self, text: str) -> str:
        return self.system.hide(text, self.values)

    def _say(self, told: Told) -> None:
        self.run.told.append(told)
        self.tell(told)


def _saved(step: Step) -> list[str]:
    return [*step.save, *step.save_header, *step.found]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _may_say_nothing(step: Step, text: str) -> bool:
    return text.strip() == "null" or (not text.strip() and not step.is_read)


def _holds(text: str, words: Any) -> bool:
    return bool(words) and str(words) in text


def _same(found: Any, want: Any) -> bool:
    if isinstance(found, list):
        return any(_same(one, want) for one in found)
    if isinstance(found, bool) or found is None or want is None:
        return found == want
    try:
        return float(found) == float(want)
    except (TypeError, ValueError):
        return str(found).strip() == str(want).strip()


def _texts(value: Any) -> set[str]:
    """The category (or categories) in a field, to be compared; 0 and false are how some systems say 'none'."""
    many = value if isinstance(value, list | tuple) else [value]
    return {str(one).strip().casefold() for one in many if one not in (None, False, 0, "", "0") and str(one).strip()}
