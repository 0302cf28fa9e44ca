"""What was found, what was said, what was delivered: the Tickets page, and the page of one ticket.

    GET  /tickets                search, a page at a time
    GET  /tickets/of?at=&ticket= one ticket: its pictures, every event with every attempt, its story
    POST /tickets/redeliver      send events again: {answer: [id, …], key, back}
    POST /tickets/correct        say what a picture is: {sha256, category, version, key, back}

A correction is a label event as any other: what follows from it, the outbox knows.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.contracts import store
from ticketbot.db.models import Answer, Attempt, File, FileTicket, Label, Picture, Prediction, Said, Source, Ticket
from ticketbot.deliver import admin
from ticketbot.deliver.outbox import FILE_KEY
from ticketbot.errors import Refused
from ticketbot.operate import search, trace
from ticketbot.review import labels, pages
from ticketbot.settings import Settings
from ticketbot.web import texts
from ticketbot.web.access import known_caller, needs, safe_next
from ticketbot.web.context import services
from ticketbot.web.i18n import N_, _

blueprint = Blueprint(
    "tickets",
    __name__,
    url_prefix="/tickets",
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)
# What one page of a ticket shows at most: a ticket may have thousands.
MOST_PICTURES = 40
MOST_EVENTS = 50
MOST_STORIES = 12
KEY = re.compile(r"[A-Za-z0-9_-]{8,120}")
# How a word said here is written down; it was said in sight of the model's, so it never measures a model.
HOW = "tickets"
STATE_NAMES = {
    "waits": N_("waits for more pictures"),
    "held": N_("held: dry run"),
    "pending": N_("on the way"),
    "delivered": N_("delivered"),
    "dead": N_("given up"),
    "cancelled": N_("replaced by a newer one"),
}
STATE_COLOURS = {"delivered": "good", "pending": "warn", "held": "warn", "dead": "bad"}


@dataclass
class Shown:
    """A picture on the page of a ticket: where it came from, what models and people said, what we told."""

    sha256: str
    picture: Picture | None
    files: list[tuple[File, str]] = field(default_factory=list)
    said: Said | None = None
    prediction: Prediction | None = None
    why_unsure: str = ""
    label: Label | None = None
    version: int = 0


@dataclass
class Told:
    """An event with its attempts; `body` is what is sent, as text with line breaks."""

    answer: Answer
    attempts: list[tuple[Attempt, str]]
    category: str
    body: str


@blueprint.get("")
@needs("read")
def show() -> ResponseReturnValue:
    made = services()
    wanted = search.Wanted(**{name: _given(name) for name in ("ticket", "user", "category", "state")})
    if wanted.state and wanted.state not in search.STATES:
        raise Refused("bad_request", _("There is no such state."))
    with made.db.read() as session:
        found = search.find(session, made.settings, wanted, request.args.get("cursor"))
    filters = {name: value for name, value in asdict(wanted).items() if value}
    return render_template(
        "tickets/tickets.html", found=found, wanted=wanted, filters=filters, **_common(made.settings)
    )


@blueprint.get("/of")
@needs("read")
def one() -> ResponseReturnValue:
    made, endpoint, ticket = services(), _given("at"), _given("ticket")
    with made.db.read() as session:
        row = session.scalar(select(Ticket).where(Ticket.endpoint == endpoint, Ticket.ticket == ticket))
        pictures = pictures_of(session, made.settings, endpoint, ticket)
        if row is None and not pictures:
            raise Refused("not_found", _("Nothing is known about this ticket."))
        files = [file for each in pictures for file, _source in each.files]
        shown = {
            "row": row,
            "pictures": pictures,
            "events": events_of(session, endpoint, ticket),
            "stories": trace.of_ticket(session, made.settings, ticket, files[:MOST_STORIES]),
        }
    return render_template(
        "tickets/ticket.html",
        endpoint=endpoint,
        ticket=ticket,
        most={"pictures": MOST_PICTURES, "events": MOST_EVENTS},
        **shown,
        **_common(made.settings),
    )


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "categories": settings.categories,
        "state_names": STATE_NAMES,
        "state_colours": STATE_COLOURS,
        "key": secrets.token_hex(12),
        "back": _here(),
        "again": request.args.get("again", type=int),
        "corrected": "corrected" in request.args,
    }


def _here() -> str:
    """This page's own path, without what happened on it last."""
    kept = [(name, value) for name, value in request.args.items(multi=True) if name not in ("again", "corrected")]
    return request.path + (f"?{urlencode(kept)}" if kept else "")


def _given(name: str) -> str:
    """A filter from the address. Raises Refused for what no database takes."""
    value = request.args.get(name, "")
    if "\0" in value:
        raise Refused("bad_request", f"{name}: this is none.")
    return value


# --- one ticket -------------------------------------------------------------------------------------------------------


def pictures_of(session: Session, settings: Settings, endpoint: str, ticket: str) -> list[Shown]:
    """The pictures that were found on this ticket or spoken about there, in the order they came."""
    spoken = select(Said).where(Said.endpoint == endpoint, Said.ticket == ticket).order_by(Said.at, Said.sha256)
    said = {one.sha256: one for one in session.scalars(spoken.limit(MOST_PICTURES))}
    files = _files(session, settings, endpoint, ticket, [one.file_id for one in said.values() if one.file_id])
    hashes = list(dict.fromkeys([*said, *(file.sha256 for file, _source in files if file.sha256)]))[:MOST_PICTURES]
    shown = {sha256: _shown(session, settings, sha256) for sha256 in hashes}
    for sha256, one in shown.items():
        one.said = said.get(sha256)
        one.files = [(file, source) for file, source in files if file.sha256 == sha256]
    return list(shown.values())


def _files(session: Session, settings: Settings, endpoint: str, ticket: str, ids: list[int]) -> list[tuple[File, str]]:
    """(file, source) of this ticket at this endpoint, and those with these ids, the oldest first."""
    on = select(FileTicket.file_id, FileTicket.endpoint).where(FileTicket.ticket == ticket)
    own = {row[0]: row[1] for row in session.execute(on.order_by(FileTicket.file_id).limit(2 * MOST_PICTURES))}
    if ticket.startswith(FILE_KEY) and ticket.removeprefix(FILE_KEY).isdecimal():
        ids = [*ids, min(int(ticket.removeprefix(FILE_KEY)), 2**62)]
    wanted = select(File, Source.name).join(Source, Source.id == File.source_id).where(File.id.in_({*own, *ids}))
    found = [(file, source) for file, source in session.execute(wanted.order_by(File.id))]
    return [
        (file, source)
        for file, source in found
        if file.id in ids or (own[file.id] or search.own_endpoint(settings, source)) == endpoint
    ]


def _shown(session: Session, settings: Settings, sha256: str) -> Shown:
    picture = session.get(Picture, sha256)
    mine = select(Prediction).where(Prediction.sha256 == sha256)
    said = session.scalar(mine.where(Prediction.model_id == (picture.model_id if picture else None)))
    unsure = said is not None and said.state == "done" and said.category is None
    return Shown(
        sha256,
        picture,
        prediction=said,
        why_unsure=trace.why_unsure(session, settings, said) if said is not None and unsure else "",
        label=session.get(Label, sha256),
        version=labels.version(session, sha256),
    )


def events_of(session: Session, endpoint: str, ticket: str) -> list[Told]:
    """What was said about this ticket, the newest first, each with its attempts."""
    mine = select(Answer).where(Answer.endpoint == endpoint, Answer.ticket == ticket)
    answers = list(session.scalars(mine.order_by(Answer.seq.desc()).limit(MOST_EVENTS)))
    tries: dict[str, list[tuple[Attempt, str]]] = {}
    made = select(Attempt).where(Attempt.answer_id.in_([one.id for one in answers])).order_by(Attempt.id)
    for attempt in session.scalars(made):
        tries.setdefault(attempt.answer_id, []).append((attempt, lines(attempt.response or b"")))
    return [_told(one, tries.get(one.id, [])) for one in answers]


def _told(answer: Answer, attempts: list[tuple[Attempt, str]]) -> Told:
    try:
        body = json.loads(answer.body)
    except ValueError:  # erased
        body = {}
    data = body.get("data") if isinstance(body, dict) else None
    category = ", ".join(map(str, data.get("categories") or [])) if isinstance(data, dict) else ""
    shown = lines(json.dumps(body, indent=2, ensure_ascii=False).encode(errors="backslashreplace")) if body else ""
    return Told(answer, attempts, category, shown)


def lines(text: bytes) -> str:
    """What came over the wire as text to show: its lines stay, everything else that cannot be seen is spelt out."""
    return "\n".join(texts.name(line) for line in text.decode("utf-8", "backslashreplace").splitlines())


# --- what a person does -----------------------------------------------------------------------------------------------


@blueprint.post("/redeliver")
@needs("admin")
def redeliver() -> ResponseReturnValue:
    made, ids = services(), request.form.getlist("answer")[: search.PAGE]
    count = 0
    if ids:
        count = admin.redeliver(made.db, _key(), known_caller().name, made.now(), ids=ids)
    return redirect(_back("again", count), 303)


@blueprint.post("/correct")
@needs("label")
def correct() -> ResponseReturnValue:
    made, form = services(), request.form
    sha256, category, version = form.get("sha256", ""), form.get("category", ""), form.get("version", "")
    if not store.SHA256.fullmatch(sha256) or not re.fullmatch(r"[0-9]{1,16}", version):
        raise Refused("bad_request", _("The form is not complete."))
    if category not in (*made.settings.categories, "junk"):
        raise Refused("bad_request", _("Choose what the picture is."))
    with made.db.write() as session:
        facts = _suggested(session, sha256)
        pages.say(session, sha256, category, HOW, _key(), expected_version=int(version), **facts)
    return redirect(_back("corrected", 1), 303)


def _suggested(session: Session, sha256: str) -> dict[str, Any]:
    """What the page showed as the model's word."""
    shown = select(Prediction).join(Picture, Picture.sha256 == Prediction.sha256)
    said = session.scalar(shown.where(Picture.sha256 == sha256, Picture.model_id == Prediction.model_id))
    return {"suggested": said.best, "suggested_by": said.model_id} if said is not None else {}


def _back(what: str, value: int) -> str:
    """Where the form was, saying what was done."""
    back = safe_next(request.form.get("back"))
    return f"{back}{'&' if '?' in back else '?'}{what}={value}"


def _key() -> str:
    """Chosen when the form was made, so that a second press does nothing."""
    key = request.form.get("key", "")
    if not KEY.fullmatch(key):
        raise Refused("bad_request", _("The form is not complete."))
    return key
