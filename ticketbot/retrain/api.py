"""Models, trainings and labels that may be wrong, for programs: /api/v1/models, /trainings, /suspects."""

from __future__ import annotations

from typing import Any, cast

from pydantic import Field
from sqlalchemy import select

from ticketbot.db.models import Cleaning, Suspect, Training
from ticketbot.db.models import Model as ModelRow
from ticketbot.errors import BundleRefused, Conflict, Refused, UsageError
from ticketbot.retrain import clean as cleaning
from ticketbot.retrain import pages, run, shelf
from ticketbot.web.access import known_caller
from ticketbot.web.api import Api, Html, Model, Page, Paging, cut, place_of
from ticketbot.web.context import services

api = Api("models")


class ModelOut(Model):
    """A model on the shelf. `accuracy_low` and `_high` bound the accuracy with 95 % confidence; `n` pictures."""

    id: str
    state: str
    arch: str | None
    classes: list[str]
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    n: int | None
    created_at: float
    promoted_at: float | None
    reason: str


class Models(Model):
    items: list[ModelOut]


class ModelDetail(ModelOut):
    """`manifest`: the bundle's own words, thresholds and measurements included."""

    manifest: dict[str, Any]


class Reason(Model):
    reason: str = Field(min_length=1, max_length=500, description="Why; kept with the model.")


class TrainingOut(Model):
    """`state`: running, succeeded, refused (the gate) or failed; `progress`: the trainer's last word."""

    id: int
    state: str
    cause: str
    started_at: float
    finished_at: float | None
    n_pictures: int
    progress: dict[str, Any] | None
    model_id: str | None
    message: str


class SuspectOut(Model):
    """A label that may be wrong, the likeliest first; look-alikes share `cluster`. To decide: /suspects/…/decision."""

    rank: int
    sha256: str
    label: str
    suggested: str
    p_label: float | None
    p_suggested: float | None
    cluster: int
    conflict: bool


class CleaningOut(Model):
    """A search for labels that may be wrong. `state`: running, succeeded or failed."""

    id: int
    state: str
    started_at: float
    finished_at: float | None
    progress: dict[str, Any] | None
    message: str


class Asked(Model):
    due: bool
    reason: str


@api.get("/models", "read")
def list_models() -> Models:
    """Every model, the newest first."""
    return Models(items=[ModelOut(**_model(one)) for one in shelf.listed(services().db)])


@api.get("/models/<model_id>", "read")
def get_model(model_id: str) -> ModelDetail:
    """One model with its whole manifest."""
    with services().db.read() as session:
        found = session.get(ModelRow, model_id)
    if found is None:
        raise Refused("not_found", "There is no such model.")
    return ModelDetail(**_model(found), manifest=found.manifest)


@api.post("/models/<model_id>/promote", "admin")
def promote_model(model_id: str, body: Reason) -> ModelOut:
    """Put a model into service. The running service switches by itself, without dropping a request."""
    made = services()
    get_model(model_id)
    try:
        who = known_caller().name
        shelf.promote(made.db, made.settings, model_id, who=who, reason=body.reason, now=made.now())
    except (UsageError, BundleRefused) as error:
        raise Conflict(str(error)) from None
    return _one(model_id)


@api.post("/models/rollback", "admin")
def rollback_model(body: Reason) -> ModelOut:
    """Put the model that was in service before back; the present one is refused from now on."""
    made = services()
    try:
        back = shelf.rollback(made.db, made.settings, who=known_caller().name, reason=body.reason, now=made.now())
    except (UsageError, BundleRefused) as error:
        raise Conflict(str(error)) from None
    return _one(back)


@api.get("/trainings", "read")
def list_trainings(query: Paging) -> Page[TrainingOut]:
    """Trainings, the newest first."""
    shown, following = _newest(Training, TrainingOut, query)
    return Page[TrainingOut](items=[TrainingOut(**one) for one in shown], next=following)


@api.get("/models/<model_id>/report", "read")
def get_model_report(model_id: str) -> Html:
    """The report that came with a model: a page that stands alone, without scripts."""
    return cast(Html, pages.report(model_id))


@api.get("/cleanings", "read")
def list_cleanings(query: Paging) -> Page[CleaningOut]:
    """Searches for labels that may be wrong, the newest first; what the last one found is in /suspects."""
    shown, following = _newest(Cleaning, CleaningOut, query)
    return Page[CleaningOut](items=[CleaningOut(**one) for one in shown], next=following)


@api.post("/cleanings", "label", status=202)
def start_cleaning() -> Asked:
    """Ask for a search now, also when it is not due yet. The worker begins it at its next look."""
    made = services()
    answer = cleaning.is_due(made.db, made.settings, made.now(), asked=True)
    if not answer.due:
        raise Conflict(answer.reason)
    run.ask(made.db, known_caller().name, made.now(), cleaning.WISH)
    return Asked(due=True, reason=answer.reason)


@api.get("/suspects", "read")
def list_suspects(query: Paging) -> Page[SuspectOut]:
    """Labels that may be wrong, as the last search found them; what was decided since then is in /label-events."""
    last = select(Cleaning.id).where(Cleaning.state == "succeeded").order_by(Cleaning.id.desc()).limit(1)
    with services().db.read() as session:
        place = place_of(query.cursor, int, int) or [session.scalar(last), 0]
        rows = select(Suspect).where(Suspect.cleaning_id == place[0], Suspect.rank > place[1])
        found = list(session.scalars(rows.order_by(Suspect.rank).limit(query.limit + 1)))
    shown, following = cut(found, query.limit, lambda row: (row.cleaning_id, row.rank))
    items = [SuspectOut.model_validate(one, from_attributes=True) for one in shown]
    return Page[SuspectOut](items=items, next=following)


@api.post("/trainings", "admin", status=202)
def start_training() -> Asked:
    """Ask for a training now, also when it is not due yet. The worker begins it at its next look (retrain_s)."""
    made = services()
    answer = run.is_due(made.db, made.settings, made.now(), asked=True)
    if not answer.due:
        raise Conflict(answer.reason)
    run.ask(made.db, known_caller().name, made.now())
    return Asked(due=True, reason=answer.reason)


def _newest(table: Any, out: type[Model], query: Paging) -> tuple[list[dict[str, Any]], str | None]:
    """A page of rows of Training or Cleaning with the fields of `out`, the newest first, and the cursor of the next."""
    rows = select(table).order_by(table.id.desc()).limit(query.limit + 1)
    if (place := place_of(query.cursor, int)) is not None:
        rows = rows.where(table.id < place[0])
    with services().db.read() as session:
        found = list(session.scalars(rows))
    shown, following = cut(found, query.limit, lambda row: (row.id,))
    return [{name: getattr(one, name) for name in out.model_fields} for one in shown], following


def _one(model_id: str) -> ModelOut:
    return ModelOut(**_model(next(one for one in shelf.listed(services().db) if one.id == model_id)))


def _model(row: ModelRow) -> dict[str, Any]:
    measured = row.manifest.get("metrics") or {}
    figures = {name: measured.get(name) for name in ("accuracy", "accuracy_low", "accuracy_high", "n")}
    own = {name: getattr(row, name) for name in ("id", "state", "created_at", "promoted_at", "reason")}
    return {**own, **figures, "arch": row.manifest.get("arch"), "classes": list(row.manifest.get("classes") or [])}
