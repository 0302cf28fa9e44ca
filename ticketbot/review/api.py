"""Pictures and labels for programs: /api/v1/pictures, /labels, /label-events."""

from __future__ import annotations

import builtins
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.contracts import store
from ticketbot.contracts.events import shown_path
from ticketbot.db.models import File, FileTicket, Label, LabelEvent, Picture, Prediction, Source
from ticketbot.errors import Refused
from ticketbot.review import clean, labels, queue, transfer
from ticketbot.web.access import known_caller
from ticketbot.web.api import Api, Csv, Model, Page, Paging, cut, place_of
from ticketbot.web.context import services

api = Api("pictures")
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
KEY = "^[A-Za-z0-9_-]{8,120}$"
WORDS = ("junk", "skip", "unsure")


class PictureQuery(Paging):
    label: str | None = Field(None, max_length=40, description="Only with this label; `none`: without one.")
    predicted: str | None = Field(
        None, max_length=40, description="Only what the model in service says; `unsure`: unsure."
    )
    user: str | None = Field(None, max_length=200, description="Only of this user of the tree.")
    since: float | None = Field(None, description="Only staged since then (Unix seconds).")


class PictureOut(Model):
    """A content. `predicted` is null when the model is unsure or has not looked; times are Unix seconds."""

    sha256: str
    state: str
    staged_at: float
    size_bytes: int
    width: int | None
    height: int | None
    label: str | None
    predicted: str | None
    confidence: float | None
    model: str | None
    image: str = Field(description="The picture, encoded anew; ?size=thumb, canonical, page or zoom.")


class PictureFile(Model):
    """A path in a tree that holds the picture, and the tickets it is on."""

    source: str
    path: str
    user: str | None
    state: str
    reason: str | None
    history: bool
    tickets: list[str]


class PredictionOut(Model):
    model: str
    state: str
    category: str | None
    probabilities: dict[str, float] | None
    error: str | None
    at: float


class EventOut(Model):
    """Something a person said. `new` null: the label was taken away; `undo_of`: an event that counts no more."""

    id: int
    sha256: str
    old: str | None
    new: str | None
    who: str
    at: float
    how: str
    suggested: str | None
    blind: bool
    undo_of: int | None


class PictureDetail(PictureOut):
    """`version`: of the label; send it along to be told when somebody was quicker."""

    version: int
    files: list[PictureFile]
    predictions: list[PredictionOut]
    events: list[EventOut]


class LabelQuery(Paging):
    category: str | None = Field(None, max_length=40)
    since: float | None = Field(None, description="Only said since then (Unix seconds).")


class LabelOut(Model):
    sha256: str
    category: str
    who: str
    at: float
    blind: bool


class OneLabel(Model):
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    category: str = Field(max_length=40, description="A category, or junk.")


class Import(Model):
    labels: list[OneLabel] = Field(min_length=1, max_length=1000)


class NotTaken(Model):
    sha256: str
    why: str


class Imported(Model):
    """`unchanged` had this label already; what is not in `refused` is in."""

    labelled: int
    unchanged: int
    refused: list[NotTaken]


class EventQuery(Paging):
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    who: str | None = Field(None, max_length=80)


class Word(Model):
    category: str | None = Field(
        max_length=40, description="A category, junk, skip or unsure; null takes the label away."
    )
    key: str = Field(pattern=KEY, description="Chosen by you; sent twice it is one word.")
    version: int | None = Field(None, ge=0, lt=2**63, description="The version you saw; another one is a conflict.")


class Decision(Model):
    """`list`: where it stood, as on the Clean page; what was decided about `opinions` may be measured on."""

    category: str = Field(max_length=40, description="keep, a category, junk, skip or unsure.")
    key: str = Field(pattern=KEY, description="Chosen by you; sent twice it is one word.")
    version: int | None = Field(None, ge=0, lt=2**63, description="The version you saw; another one is a conflict.")
    list: Literal["suspects", "conflicts", "opinions"] = "suspects"
    alike: builtins.list[Sha256] = Field([], max_length=clean.MAX_ALIKE, description="Look-alikes that are the same.")


class Decided(Model):
    """The labels' versions, by sha256."""

    versions: dict[str, int]


class Undo(Model):
    key: str = Field(pattern=KEY, description="Chosen by you; sent twice it is one word.")


class Said(Model):
    sha256: str
    category: str | None
    version: int


@api.get("/pictures", "read")
def list_pictures(query: PictureQuery) -> Page[PictureOut]:
    """Pictures, the newest first."""
    rows = (
        select(Picture, Label.category, Prediction)
        .outerjoin(Label, Label.sha256 == Picture.sha256)
        .outerjoin(Prediction, (Prediction.sha256 == Picture.sha256) & (Prediction.model_id == Picture.model_id))
        .where(Picture.state != "erased")
        .order_by(Picture.staged_at.desc(), Picture.sha256)
        .limit(query.limit + 1)
    )
    if query.label is not None:
        rows = rows.where(Label.sha256.is_(None) if query.label == "none" else Label.category == query.label)
    if query.predicted == "unsure":
        rows = rows.where(Prediction.state == "done", Prediction.category.is_(None))
    elif query.predicted is not None:
        rows = rows.where(Prediction.category == query.predicted)
    if query.user is not None:
        rows = rows.where(select(File.id).where(File.sha256 == Picture.sha256, File.user == query.user).exists())
    if query.since is not None:
        rows = rows.where(Picture.staged_at >= query.since)
    if (place := place_of(query.cursor, float, str)) is not None:
        same = (Picture.staged_at == place[0]) & (Picture.sha256 > place[1])
        rows = rows.where((Picture.staged_at < place[0]) | same)
    with services().db.read() as session:
        found: list[Any] = [tuple(row) for row in session.execute(rows)]
    shown, following = cut(found, query.limit, lambda row: (row[0].staged_at, row[0].sha256))
    return Page[PictureOut](items=[PictureOut(**_picture(*row)) for row in shown], next=following)


@api.get("/pictures/<sha256>", "read")
def get_picture(sha256: str) -> PictureDetail:
    """Everything about one picture: its files and tickets, what models and people said."""
    with services().db.read() as session:
        picture = _here(session, sha256)
        label = session.scalar(select(Label.category).where(Label.sha256 == sha256))
        said = list(session.scalars(select(Prediction).where(Prediction.sha256 == sha256).order_by(Prediction.id)))
        events = list(session.scalars(select(LabelEvent).where(LabelEvent.sha256 == sha256).order_by(LabelEvent.id)))
        latest = next((one for one in said if one.model_id == picture.model_id), None)
        return PictureDetail(
            **_picture(picture, label, latest),
            version=labels.version(session, sha256),
            files=list(_files(session, sha256)),
            predictions=[_prediction(one) for one in said],
            events=[EventOut.model_validate(_event(one)) for one in events],
        )


@api.post("/pictures/<sha256>/label", "label")
def label_picture(sha256: str, body: Word) -> Said:
    """Say what a picture is.

    The answer on its tickets is corrected when it was another. Sent again with the same `key`, nothing happens twice.
    """
    made = services()
    if body.category is not None and body.category not in (*made.settings.categories, *WORDS):
        raise Refused("bad_request", f"category: one of {', '.join((*made.settings.categories, *WORDS))}, or null.")
    with made.db.write() as session:
        _here(session, sha256)
        labels.record(
            session,
            sha256=sha256,
            new=body.category,
            who=known_caller().name,
            at=made.now(),
            how="page",
            key=body.key,
            blind=queue.is_blind(sha256, made.settings.review.blind_share),
            expected_version=body.version,
            on_label=made.announce,
        )
        return _said(session, sha256)


@api.post("/suspects/<sha256>/decision", "label")
def decide_suspect(sha256: str, body: Decision) -> Decided:
    """Say about a label that may be wrong: keep it, or what the picture is, with its look-alikes at once.

    What is kept is not asked about again. It is taken back like any word, by /label-events/{event_id}/undo.
    """
    if body.category not in (*services().settings.categories, *WORDS, labels.KEEP):
        known = ", ".join((*services().settings.categories, *WORDS, labels.KEEP))
        raise Refused("bad_request", f"category: one of {known}.")
    with services().db.read() as session:
        _here(session, sha256)
    said = clean.say(body.list, sha256, body.category, body.key, alike=body.alike, version=body.version)
    return Decided(versions=said)


@api.get("/cleaned.csv", "label")
def get_cleaned() -> Csv:
    """Every labelled picture that is not junk, name,label: for `trainer retrain --cleaned`."""
    return clean.cleaned_file()


@api.get("/decisions.csv", "label")
def get_decisions() -> Csv:
    """What was decided about labels that may be wrong, by whom and when, in the order of time."""
    return clean.decisions_file()


@api.get("/labels", "read")
def list_labels(query: LabelQuery) -> Page[LabelOut]:
    """What every labelled picture is, the latest word first. Walked to its end it is the export of all labels."""
    rows = select(Label).order_by(Label.version.desc()).limit(query.limit + 1)
    if query.category is not None:
        rows = rows.where(Label.category == query.category)
    if query.since is not None:
        rows = rows.where(Label.at >= query.since)
    if (place := place_of(query.cursor, int)) is not None:
        rows = rows.where(Label.version < place[0])
    with services().db.read() as session:
        found = list(session.scalars(rows))
    shown, following = cut(found, query.limit, lambda row: (row.version,))
    return Page[LabelOut](items=[LabelOut.model_validate(one, from_attributes=True) for one in shown], next=following)


@api.post("/labels", "label")
def import_labels(body: Import) -> Imported:
    """Label many pictures that are here, by their sha256: labels that exist elsewhere.

    Sent again it changes nothing. The same picture in two categories is refused, the others are taken.
    """
    made = services()
    words = [(one.sha256, one.category) for one in body.labels]
    who, categories = known_caller().name, made.settings.categories
    report = transfer.import_words(made.db, words, categories, who=who, now=made.now(), on_label=made.announce)
    refused = [NotTaken(sha256=sha256, why=why) for sha256, why in report.refused]
    return Imported(labelled=report.labelled, unchanged=report.unchanged, refused=refused)


@api.get("/label-events", "read")
def list_label_events(query: EventQuery) -> Page[EventOut]:
    """Everything people ever said, the latest first; nothing is ever changed in it."""
    rows = select(LabelEvent).order_by(LabelEvent.id.desc()).limit(query.limit + 1)
    if query.sha256 is not None:
        rows = rows.where(LabelEvent.sha256 == query.sha256)
    if query.who is not None:
        rows = rows.where(LabelEvent.who == query.who)
    if (place := place_of(query.cursor, int)) is not None:
        rows = rows.where(LabelEvent.id < place[0])
    with services().db.read() as session:
        found = list(session.scalars(rows))
    shown, following = cut(found, query.limit, lambda row: (row.id,))
    return Page[EventOut](items=[EventOut.model_validate(_event(one)) for one in shown], next=following)


@api.post("/label-events/<int:event_id>/undo", "label")
def undo_label_event(event_id: int, body: Undo) -> Said:
    """Take a word back, yours or (for administrators) anybody's; what it changed is as if it had not been said."""
    made, who = services(), known_caller()
    with made.db.write() as session:
        event = session.get(LabelEvent, event_id) if event_id < 2**63 else None
        if event is None:
            raise Refused("not_found", "There is no such event.")
        if event.who != who.name and not who.may("admin"):
            raise Refused("forbidden", "This is somebody else's word; it needs the permission 'admin'.")
        labels.undo(session, event_id, who.name, made.now(), body.key, on_label=made.announce)
        return _said(session, event.sha256)


def _said(session: Session, sha256: str) -> Said:
    category = session.scalar(select(Label.category).where(Label.sha256 == sha256))
    return Said(sha256=sha256, category=category, version=labels.version(session, sha256))


def _here(session: Session, sha256: str) -> Picture:
    picture = session.get(Picture, sha256) if store.SHA256.fullmatch(sha256) else None
    if picture is None or picture.state == "erased":
        raise Refused("not_found", "There is no such picture, or it is not kept any more.")
    return picture


def _picture(picture: Picture, label: str | None, said: Prediction | None) -> dict[str, Any]:
    columns = ("sha256", "state", "staged_at", "size_bytes", "width", "height")
    return {
        **{name: getattr(picture, name) for name in columns},
        "label": label,
        "predicted": said.category if said else None,
        "confidence": said.confidence if said else None,
        "model": said.model_id if said else None,
        "image": f"/picture/{picture.sha256}.jpg",
    }


def _files(session: Session, sha256: str) -> Any:
    query = select(File, Source.name).join(Source).where(File.sha256 == sha256).order_by(File.id).limit(100)
    found = session.execute(query).all()
    on = select(FileTicket.file_id, FileTicket.ticket).where(FileTicket.file_id.in_([file.id for file, _ in found]))
    tickets = session.execute(on.order_by(FileTicket.ticket)).all()
    for file, source in found:
        mine = [ticket for file_id, ticket in tickets if file_id == file.id]
        own = {name: getattr(file, name) for name in ("user", "state", "reason", "history")}
        yield PictureFile(source=source, path=shown_path(file.path), tickets=mine, **own)


def _prediction(said: Prediction) -> PredictionOut:
    own = {name: getattr(said, name) for name in ("state", "category", "probabilities", "error")}
    return PredictionOut(model=said.model_id, at=said.created_at, **own)


def _event(event: LabelEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in EventOut.model_fields}
