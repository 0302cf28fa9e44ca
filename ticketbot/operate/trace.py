"""What happened to this file, this picture, this ticket? The story in plain words, from what the database keeps.

`find` takes what a person has at hand: a ticket, a path (in the tree, or as the source knows it), the hash of a picture
or its beginning, a webhook-id. `story` tells of each picture in the order of time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ticketbot.contracts.events import shown_path
from ticketbot.db.models import (
    Answer,
    Attempt,
    EndpointState,
    File,
    FileTicket,
    Label,
    LabelEvent,
    Model,
    Picture,
    Prediction,
    Said,
    Source,
    Ticket,
)
from ticketbot.settings import Settings
from ticketbot.web import texts
from ticketbot.web.i18n import N_, _

HASH = re.compile(r"[0-9a-f]{8,64}")
MOST = 50

REASONS = {
    "extension": N_("its name does not end as a picture's (source.suffixes)"),
    "empty": N_("it is empty"),
    "too_large": N_("it is larger than source.max_file_mb"),
    "not_regular": N_("it is no ordinary file (a link, a pipe, a device)"),
    "permission": N_("we may not read it"),
    "too_deep": N_("it lies deeper than source.max_depth"),
    "swapped": N_("it was swapped while we looked"),
    "quota": N_("its user has too many pictures waiting (source.max_files_per_user)"),
    "erased": N_("it was erased, and is not taken again"),
    "no_ticket": N_("no ticket was found"),
    "name_not_text": N_("its name is no text, so no database was asked"),
    "lookup_failed": N_("the database of the tickets did not answer"),
}


@dataclass(frozen=True)
class Step:
    """Something that happened: at (Unix seconds; None: it is so now), in words."""

    at: float | None
    said: str


@dataclass
class Story:
    """About one file or picture. `title` names it, `now` says how it stands, `steps` are in the order of time."""

    title: str
    now: str = ""
    steps: list[Step] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def find(session: Session, settings: Settings, what: str) -> list[Story]:
    """The stories of what a person typed; [] when nothing is known about it."""
    files = _files(session, settings, what)
    known = {file.sha256 for file in files if file.sha256}
    hashes = [sha256 for sha256 in _pictures(session, what) if sha256 not in known]
    stories = [_of_file(session, settings, file) for file in files[:MOST]]
    stories += [_of_picture(session, settings, sha256) for sha256 in hashes[:MOST]]
    return [*stories, *_of_ticket(session, what)]


def of_ticket(session: Session, settings: Settings, ticket: str, files: Sequence[File]) -> list[Story]:
    """The stories of these files, and of what was said about the ticket as a whole."""
    return [*(_of_file(session, settings, file) for file in files), *_of_ticket(session, ticket)]


def why_unknown(settings: Settings, what: str) -> str:
    """Nothing is known: the most likely reason, and what to look at."""
    path = Path(what)
    if not path.is_absolute():
        return f"nothing is known about {texts.name(what)}: neither a ticket, a file, a picture's hash nor a webhook-id"
    for name, source in settings.sources.items():
        if path.is_relative_to(source.root):
            if not path.exists():
                return f"{texts.name(what)} is not there, and no scan of {name} ever saw it"
            if source.match == "suffix" and path.suffix.lower() not in {one.lower() for one in source.suffixes}:
                suffixes = " ".join(source.suffixes)
                return f"{texts.name(what)} is not taken: {name} takes {suffixes} (sources.{name}.suffixes)"
            return f"{texts.name(what)} has not been seen yet: the next scan of {name} should; see the page or: once"
    return f"{texts.name(what)} lies in no watched tree (see [sources] in the settings)"


# --- what is meant ----------------------------------------------------------------------------------------------------


def _files(session: Session, settings: Settings, what: str) -> list[File]:
    raw = os.fsencode(what)
    wanted = [File.path == raw]
    for name, source in settings.sources.items():
        root = os.fsencode(source.root).rstrip(b"/") + b"/"
        full = os.path.abspath(raw)
        if full.startswith(root):
            mine = select(Source.id).where(Source.name == name).scalar_subquery()
            wanted.append((File.path == full[len(root) :]) & (File.source_id == mine))
    wanted.append(File.id.in_(select(FileTicket.file_id).where(FileTicket.ticket == what)))
    if what.startswith("file:") and what[5:].isdigit():
        wanted.append(File.id == int(what[5:]))
    if HASH.fullmatch(what):
        wanted.append((File.sha256 >= what) & (File.sha256 < what + "g"))
    if what.startswith("msg_"):
        answer = session.get(Answer, what)
        if answer is not None:
            wanted.append(File.id.in_(select(FileTicket.file_id).where(FileTicket.ticket == answer.ticket)))
    return list(session.scalars(select(File).where(or_(*wanted)).order_by(File.id).limit(MOST)))


def _pictures(session: Session, what: str) -> list[str]:
    if not HASH.fullmatch(what):
        return []
    begins = (Picture.sha256 >= what, Picture.sha256 < what + "g")
    return list(session.scalars(select(Picture.sha256).where(*begins).limit(MOST)))


# --- the story --------------------------------------------------------------------------------------------------------


def _of_file(session: Session, settings: Settings, file: File) -> Story:
    source = session.get_one(Source, file.source_id)
    user = _(", user %(name)s", name=texts.name(file.user)) if file.user else ""
    path = texts.name(shown_path(file.path))
    story = Story(_("file %(path)s of %(source)s", path=path, source=source.name) + user)
    known = _("first seen (history: it was here before us)") if file.history else _("first seen")
    story.steps.append(Step(file.first_seen_at, known))
    if file.observed_at > file.first_seen_at:
        story.steps.append(Step(file.observed_at, _("seen as it is now: two equal looks make it settled")))
    if file.staged_at is not None:
        mark = _(" as %(hash)s", hash=file.sha256[:16]) if file.sha256 else ""
        story.steps.append(Step(file.staged_at, _("settled, copied into the staging area") + mark))
    tickets = list(session.scalars(select(FileTicket).where(FileTicket.file_id == file.id)))
    story.steps += [
        Step(one.resolved_at, _("found to be on ticket %(ticket)s", ticket=texts.name(one.ticket))) for one in tickets
    ]
    places = [one.ticket for one in tickets] or [f"file:{file.id}"]
    if file.sha256:
        _about_picture(session, settings, file.sha256, story)
        _about_answers(session, settings, file.sha256, places, story)
    story.now = _file_now(session, settings, source.name, file, bool(tickets))
    return _in_order(story)


def _of_picture(session: Session, settings: Settings, sha256: str) -> Story:
    story = Story(_("picture %(hash)s (of no file we know: imported, or its file was erased)", hash=sha256[:16]))
    _about_picture(session, settings, sha256, story)
    _about_answers(session, settings, sha256, None, story)
    return _in_order(story)


def _of_ticket(session: Session, what: str) -> Iterator[Story]:
    for ticket in session.scalars(select(Ticket).where(Ticket.ticket == what)):
        story = Story(_("ticket %(ticket)s at %(endpoint)s", ticket=texts.name(what), endpoint=ticket.endpoint))
        answers = select(Answer).where(
            Answer.endpoint == ticket.endpoint, Answer.ticket == what, Answer.sha256.is_(None)
        )
        for answer in session.scalars(answers.order_by(Answer.seq)):
            story.steps += _answer_steps(session, answer)
        if ticket.due_at is not None:
            at = texts.when(ticket.due_at)
            story.now = _("an answer is due %(at)s, if no picture comes until then", at=at)
        elif ticket.category:
            story.now = _("answered: %(category)s, %(by)s", category=ticket.category, by=_by(ticket.by))
        else:
            story.now = _("not answered")
        yield _in_order(story)


def _about_picture(session: Session, settings: Settings, sha256: str, story: Story) -> None:
    picture = session.get(Picture, sha256)
    if picture is None:
        return
    for said in session.scalars(select(Prediction).where(Prediction.sha256 == sha256).order_by(Prediction.id)):
        story.steps.append(Step(said.created_at, _predicted(session, settings, said)))
    for event in session.scalars(select(LabelEvent).where(LabelEvent.sha256 == sha256).order_by(LabelEvent.id)):
        story.steps.append(Step(event.at, _labelled(event)))


def _predicted(session: Session, settings: Settings, said: Prediction) -> str:
    if said.state == "failed":
        return _("%(model)s could not look at it: %(why)s", model=said.model_id, why=said.error)
    about = {"model": said.model_id, "sure": texts.percent(said.confidence, 1)}
    if said.category is not None:
        return _("%(model)s predicted %(category)s, %(sure)s sure", category=said.category, **about)
    why = why_unsure(session, settings, said)
    return _("%(model)s was unsure: most likely %(best)s with %(sure)s; %(why)s", best=said.best, why=why, **about)


def why_unsure(session: Session, settings: Settings, said: Prediction) -> str:
    """By which rule a prediction was left to people."""
    model = session.get(Model, said.model_id)
    threshold = (model.manifest.get("thresholds") or {}).get(said.best) if model else None
    if threshold and threshold.get("proven"):
        share = texts.percent(threshold["threshold"], 1)
        return _("%(name)s is tagged from %(share)s on", name=said.best, share=share)
    if settings.model.unproven == "tag":
        share = texts.percent(settings.model.tag_threshold, 1)
        return _("%(name)s is tagged from %(share)s on (model.tag_threshold)", name=said.best, share=share)
    needed = (
        _(", %(n)s more labels may prove it", n=threshold["needed"]) if threshold and threshold.get("needed") else ""
    )
    return _("for %(name)s the promise is not proven yet%(needed)s, so people decide (model.unproven)",
             name=said.best, needed=needed)  # fmt: skip


def _labelled(event: LabelEvent) -> str:
    who = f"{texts.name(event.who)} ({event.how})"
    if event.undo_of is not None:
        return _("%(who)s took a word back: now %(label)s", who=who, label=event.new or _("no label"))
    if event.new is None:
        return _("%(who)s took the label %(label)s away", who=who, label=event.old)
    against = ""
    if event.suggested not in (None, event.new):
        against = _(", against %(label)s of %(model)s", label=event.suggested, model=event.suggested_by)
    blind = _(", without seeing a suggestion") if event.blind else ""
    return _("%(who)s said %(label)s", who=who, label=event.new) + against + blind


def _about_answers(session: Session, settings: Settings, sha256: str, places: list[str] | None, story: Story) -> None:
    """Answers about the picture itself, and those on its tickets that name it."""
    said = session.scalars(select(Said).where(Said.sha256 == sha256)).all()
    # With the endpoints an index finds them; without, every answer there ever was would be read.
    endpoints = {*settings.endpoints, *session.scalars(select(EndpointState.name)), *(one.endpoint for one in said)}
    tickets = [one.ticket for one in said] if places is None else places
    mine = (Answer.endpoint.in_(endpoints), Answer.ticket.in_(tickets))
    told = len(story.steps)
    for answer in session.scalars(select(Answer).where(*mine).order_by(Answer.created_at)):
        if answer.sha256 == sha256 or (answer.sha256 is None and sha256.encode() in answer.body and places is not None):
            story.steps += _answer_steps(session, answer)
    if said and len(story.steps) == told:
        story.steps += [
            Step(one.at, _("%(who)s is to be told %(label)s", who=one.endpoint, label=one.category)) for one in said
        ]


def _answer_steps(session: Session, answer: Answer) -> Iterator[Step]:
    about: dict[str, Any] = {
        "type": answer.type,
        "id": answer.id,
        "ticket": texts.name(answer.ticket),
        "endpoint": answer.endpoint,
    }
    held = _(", held: dry run") if answer.state == "held" else ""
    yield Step(
        answer.created_at, _("event %(type)s %(id)s for %(ticket)s to %(endpoint)s written down", **about) + held
    )
    attempts = session.scalars(select(Attempt).where(Attempt.answer_id == answer.id).order_by(Attempt.id)).all()
    for one in attempts:
        about = {"n": one.number, "id": answer.id, "endpoint": answer.endpoint, "ms": one.took_ms}
        if one.status is not None:
            said = _(
                "attempt %(n)s of %(id)s: %(endpoint)s answered %(status)s in %(ms)s ms", status=one.status, **about
            )
        else:
            said = _("attempt %(n)s of %(id)s: %(endpoint)s failed: %(why)s in %(ms)s ms", why=one.error, **about)
        yield Step(one.at, said)
    how = f"ticketbot answers redeliver {answer.id}"
    ends = {
        "delivered": _("delivered"),
        "dead": _("given up after the last attempt; send it again: %(how)s", how=how),
        "cancelled": _("cancelled: a newer one took its place"),
    }
    if answer.state in ends:
        at = answer.delivered_at or (attempts[-1].at if attempts else answer.created_at)
        yield Step(at, f"{answer.id} {ends[answer.state]}")
    elif answer.state == "pending" and attempts:
        yield Step(None, _("%(id)s is tried again %(at)s", id=answer.id, at=texts.when(answer.due_at)))


def _file_now(session: Session, settings: Settings, source_name: str, file: File, has_ticket: bool) -> str:
    known = REASONS.get(file.reason or "")
    reason = _(known) if known else (file.reason or "").replace("_", " ")
    if file.state == "refused":
        return _("refused: %(why)s", why=reason)
    if file.state in ("seen", "settling"):
        return _("waits until the ERP has finished writing it (source.settle_s)")
    gone = " " + _("The file is gone from the tree.") if file.state == "gone" else ""
    source = settings.sources.get(source_name)
    if file.resolve_due_at is not None:
        why = f", {reason}" if file.reason else ""
        at = texts.when(file.resolve_due_at)
        return _("its ticket is looked for again %(at)s%(why)s.", at=at, why=why) + gone
    if file.reason in ("no_ticket", "name_not_text", "lookup_failed"):
        return _("has no ticket: %(why)s, and it is not looked for any more, so nobody is told.", why=reason) + gone
    if file.history and (source is None or source.history != "deliver"):
        return _("is history: known, not answered (source.history).") + gone
    label = session.get(Label, file.sha256) if file.sha256 else None
    picture = session.get(Picture, file.sha256) if file.sha256 else None
    if label is not None:
        return _("is %(category)s, by a person's word.", category=label.category) + gone
    if picture is not None and picture.model_id is None:
        return _("waits for a model to look at it.") + gone
    said = session.execute(
        select(Prediction.category, Prediction.model_id).where(
            Prediction.sha256 == file.sha256, Prediction.model_id == (picture.model_id if picture else "")
        )
    ).first()
    if said is not None and said.category is None:
        return _("waits for a person: the model is unsure.") + gone
    if said is not None:
        told = "" if has_ticket or (source and not source.require_ticket) else " " + _("No ticket is known for it.")
        return _("is %(category)s, by %(model)s.", category=said.category, model=said.model_id) + told + gone
    return gone.strip()


def _by(by: str | None) -> str:
    return _("by a person's word") if by == "person" else _("by %(model)s", model=by)


def _in_order(story: Story) -> Story:
    story.steps.sort(key=lambda step: float("inf") if step.at is None else step.at)
    return story
