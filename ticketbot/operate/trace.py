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

HASH = re.compile(r"[0-9a-f]{8,64}")
MOST = 50

REASONS = {
    "extension": "its name does not end as a picture's (source.suffixes)",
    "empty": "it is empty",
    "too_large": "it is larger than source.max_file_mb",
    "not_regular": "it is no ordinary file (a link, a pipe, a device)",
    "permission": "we may not read it",
    "too_deep": "it lies deeper than source.max_depth",
    "swapped": "it was swapped while we looked",
    "quota": "its user has too many pictures waiting (source.max_files_per_user)",
    "erased": "it was erased, and is not taken again",
    "no_ticket": "no ticket was found",
    "name_not_text": "its name is no text, so no database was asked",
    "lookup_failed": "the database of the tickets did not answer",
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
    user = f", user {texts.name(file.user)}" if file.user else ""
    story = Story(f"file {texts.name(shown_path(file.path))} of {source.name}{user}")
    story.steps.append(Step(file.first_seen_at, "first seen" + (" (history: it was here before us)" * file.history)))
    if file.observed_at > file.first_seen_at:
        story.steps.append(Step(file.observed_at, "seen as it is now: two equal looks make it settled"))
    if file.staged_at is not None:
        mark = f" as {file.sha256[:16]}" if file.sha256 else ""
        story.steps.append(Step(file.staged_at, f"settled, copied into the staging area{mark}"))
    tickets = list(session.scalars(select(FileTicket).where(FileTicket.file_id == file.id)))
    story.steps += [Step(one.resolved_at, f"found to be on ticket {texts.name(one.ticket)}") for one in tickets]
    places = [one.ticket for one in tickets] or [f"file:{file.id}"]
    if file.sha256:
        _about_picture(session, settings, file.sha256, story)
        _about_answers(session, file.sha256, places, story)
    story.now = _file_now(session, settings, source.name, file, bool(tickets))
    return _in_order(story)


def _of_picture(session: Session, settings: Settings, sha256: str) -> Story:
    story = Story(f"picture {sha256[:16]} (of no file we know: imported, or its file was erased)")
    _about_picture(session, settings, sha256, story)
    _about_answers(session, sha256, None, story)
    return _in_order(story)


def _of_ticket(session: Session, what: str) -> Iterator[Story]:
    for ticket in session.scalars(select(Ticket).where(Ticket.ticket == what)):
        story = Story(f"ticket {texts.name(what)} at {ticket.endpoint}")
        answers = select(Answer).where(
            Answer.endpoint == ticket.endpoint, Answer.ticket == what, Answer.sha256.is_(None)
        )
        for answer in session.scalars(answers.order_by(Answer.seq)):
            story.steps += _answer_steps(session, answer)
        if ticket.due_at is not None:
            story.now = f"an answer is due {texts.when(ticket.due_at)}, if no picture comes until then"
        elif ticket.category:
            story.now = f"answered: {ticket.category}, {_by(ticket.by)}"
        else:
            story.now = "not answered"
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
        return f"{said.model_id} could not look at it: {said.error}"
    sure = texts.percent(said.confidence, 1)
    if said.category is not None:
        return f"{said.model_id} predicted {said.category}, {sure} sure"
    return f"{said.model_id} was unsure: most likely {said.best} with {sure}; {why_unsure(session, settings, said)}"


def why_unsure(session: Session, settings: Settings, said: Prediction) -> str:
    """By which rule a prediction was left to people."""
    model = session.get(Model, said.model_id)
    threshold = (model.manifest.get("thresholds") or {}).get(said.best) if model else None
    if threshold and threshold.get("proven"):
        return f"{said.best} is tagged from {texts.percent(threshold['threshold'], 1)} on"
    if settings.model.unproven == "tag":
        return f"{said.best} is tagged from {texts.percent(settings.model.tag_threshold, 1)} on (model.tag_threshold)"
    needed = f", {threshold['needed']} more labels may prove it" if threshold and threshold.get("needed") else ""
    return f"for {said.best} the promise is not proven yet{needed}, so people decide (model.unproven)"


def _labelled(event: LabelEvent) -> str:
    who = f"{texts.name(event.who)} ({event.how})"
    if event.undo_of is not None:
        return f"{who} took a word back: now {event.new or 'no label'}"
    if event.new is None:
        return f"{who} took the label {event.old} away"
    against = f", against {event.suggested} of {event.suggested_by}" if event.suggested not in (None, event.new) else ""
    blind = ", without seeing a suggestion" if event.blind else ""
    return f"{who} said {event.new}{against}{blind}"


def _about_answers(session: Session, sha256: str, places: list[str] | None, story: Story) -> None:
    """Answers about the picture itself, and those on its tickets that name it."""
    wanted = Answer.sha256 == sha256
    if places is not None:
        wanted = (wanted | Answer.sha256.is_(None)) & Answer.ticket.in_(places)
    for answer in session.scalars(select(Answer).where(wanted).order_by(Answer.created_at)):
        if answer.sha256 == sha256 or sha256.encode() in answer.body:
            story.steps += _answer_steps(session, answer)
    said = session.scalars(select(Said).where(Said.sha256 == sha256)).all()
    if said and not any("event " in step.said for step in story.steps):
        story.steps += [Step(one.at, f"{one.endpoint} is to be told {one.category}") for one in said]


def _answer_steps(session: Session, answer: Answer) -> Iterator[Step]:
    event = f"event {answer.type} {answer.id} for {texts.name(answer.ticket)} to {answer.endpoint}"
    yield Step(answer.created_at, f"{event} written down" + (", held: dry run" if answer.state == "held" else ""))
    attempts = session.scalars(select(Attempt).where(Attempt.answer_id == answer.id).order_by(Attempt.id)).all()
    for one in attempts:
        answered = f"answered {one.status}" if one.status is not None else f"failed: {one.error}"
        yield Step(one.at, f"attempt {one.number} of {answer.id}: {answer.endpoint} {answered} in {one.took_ms} ms")
    ends = {
        "delivered": "delivered",
        "dead": "given up after the last attempt; send it again: ticketbot answers redeliver " + answer.id,
        "cancelled": "cancelled: a newer one took its place",
    }
    if answer.state in ends:
        at = answer.delivered_at or (attempts[-1].at if attempts else answer.created_at)
        yield Step(at, f"{answer.id} {ends[answer.state]}")
    elif answer.state == "pending" and attempts:
        yield Step(None, f"{answer.id} is tried again {texts.when(answer.due_at)}")


def _file_now(session: Session, settings: Settings, source_name: str, file: File, has_ticket: bool) -> str:
    reason = REASONS.get(file.reason or "", (file.reason or "").replace("_", " "))
    if file.state == "refused":
        return f"refused: {reason}"
    if file.state in ("seen", "settling"):
        return "waits until the ERP has finished writing it (source.settle_s)"
    gone = " The file is gone from the tree." if file.state == "gone" else ""
    source = settings.sources.get(source_name)
    if file.resolve_due_at is not None:
        why = f", {reason}" if file.reason else ""
        return f"its ticket is looked for again {texts.when(file.resolve_due_at)}{why}.{gone}"
    if file.reason in ("no_ticket", "name_not_text", "lookup_failed"):
        return f"has no ticket: {reason}, and it is not looked for any more, so nobody is told.{gone}"
    if file.history and (source is None or source.history != "deliver"):
        return f"is history: known, not answered (source.history).{gone}"
    label = session.get(Label, file.sha256) if file.sha256 else None
    picture = session.get(Picture, file.sha256) if file.sha256 else None
    if label is not None:
        return f"is {label.category}, by a person's word.{gone}"
    if picture is not None and picture.model_id is None:
        return f"waits for a model to look at it.{gone}"
    said = session.execute(
        select(Prediction.category, Prediction.model_id).where(
            Prediction.sha256 == file.sha256, Prediction.model_id == (picture.model_id if picture else "")
        )
    ).first()
    if said is not None and said.category is None:
        return f"waits for a person: the model is unsure.{gone}"
    if said is not None:
        told = "" if has_ticket or (source and not source.require_ticket) else " No ticket is known for it."
        return f"is {said.category}, by {said.model_id}.{told}{gone}"
    return gone.strip()


def _by(by: str | None) -> str:
    return "by a person's word" if by == "person" else f"by {by}"


def _in_order(story: Story) -> Story:
    story.steps.sort(key=lambda step: float("inf") if step.at is None else step.at)
    return story
