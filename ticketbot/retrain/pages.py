"""The Models page: which model serves, how good is it, what may come next, and what is training right now?

    GET  /models[?model=ID]          the page; one model in detail
    GET  /models/state               the training that runs or ran last, as JSON: the page asks while one runs
    GET  /models/<id>/report         the bundle's own report
    POST /models/train               train now
    POST /models/<id>/promote        put it into service: {reason}
    POST /models/clean               look for wrong labels now
    POST /models/rollback            put the one before back: {reason}

Who reads sees; administrators act; who labels may have labels looked at.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import LabelEvent, Model, Switch, Training
from ticketbot.errors import BundleRefused, Conflict, Refused, TicketbotError, UsageError
from ticketbot.retrain import clean as cleaning
from ticketbot.retrain import launch, run, shelf, shown, snapshot
from ticketbot.web import texts
from ticketbot.web.access import known_caller, needs
from ticketbot.web.audit import note
from ticketbot.web.context import services
from ticketbot.web.i18n import N_, _

blueprint = Blueprint(
    "models",
    __name__,
    url_prefix="/models",
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)
LISTED, TRAININGS, MOST_REASON = 20, 6, 300
ORDER = ("champion", "challenger", "previous", "refused", "retired")
# A report is a page of somebody else's: it may be looked at, and do nothing.
REPORT_CSP = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STATES = {
    "champion": N_("champion"),
    "challenger": N_("challenger"),
    "previous": N_("previous"),
    "refused": N_("refused"),
    "retired": N_("retired"),
    "running": N_("running"),
    "succeeded": N_("succeeded"),
    "failed": N_("failed"),
}
CAUSES = {
    "labels": N_("new labels"),
    "asked for by ": N_("asked for by %(who)s"),
    "command by ": N_("command by %(who)s"),
}
# What says nothing about which label a picture has.
OPINIONS = ("skip", "unsure", "keep")


@blueprint.get("")
@needs("read")
def show() -> ResponseReturnValue:
    return _page()


def _page(problem: str | None = None, status: int = 200) -> ResponseReturnValue:
    made = services()
    with made.db.read() as session:
        rows = _listed(session)
        trainings = list(session.scalars(select(Training).order_by(Training.id.desc()).limit(TRAININGS)))
        asked = session.get(Switch, run.WISH) is not None
        until = _labels_until(session, _chosen(rows))
        suspects = cleaning.found(session)
    chosen = _chosen(rows)
    due = made.tallies.get("training due", lambda: run.is_due(made.db, made.settings, made.now(), asked=True))
    return render_template(
        "models/models.html",
        models=[shown.summary(row) for row in rows],
        chosen=shown.details(chosen) if chosen else None,
        data=_data(chosen, until) if chosen else None,
        back=next((row.id for row in rows if row.state == "previous"), None),
        suspects=suspects,
        can_clean=known_caller().may("label"),
        trainings=trainings,
        running=_training(trainings[0]) if trainings else None,
        asked=asked,
        due=due,
        why_not=_(due.why, **due.values),
        minimum=made.settings.retrain.min_per_category,
        states=STATES,
        cause=_cause,
        problem=problem,
    ), status


def _cause(said: str) -> str:
    """Why a training began, as run.py writes it, in the page's language."""
    for begin, shown_as in CAUSES.items():
        if said == begin or (begin.endswith(" ") and said.startswith(begin)):
            return _(shown_as, who=said.removeprefix(begin))
    return said


def _listed(session: Session) -> list[Model]:
    """Champion, challengers, previous; then the newest of the others."""
    place = case({state: number for number, state in enumerate(ORDER)}, value=Model.state, else_=len(ORDER))
    query = select(Model).order_by(place, Model.created_at.desc(), Model.id).limit(LISTED)
    return list(session.scalars(query))


def _chosen(rows: list[Model]) -> Model | None:
    """The model shown in detail: the one asked for, else the champion, else the newest."""
    wanted = request.args.get("model") or (request.view_args or {}).get("model_id")
    return next((row for row in rows if row.id == wanted), rows[0] if rows else None)


def _labels_until(session: Session, model: Model | None) -> int | None:
    """The last label event this model learned from; None: it was not trained here."""
    if model is None:
        return None
    return session.scalar(select(func.max(Training.labels_until)).where(Training.model_id == model.id))


def _data(model: Model, until: int | None) -> dict[str, Any]:
    """What became of the labels since: then and now a class, and the words that were said."""
    made = services()
    categories = made.settings.categories
    now = made.tallies.get("labels a class", lambda: snapshot.labels_now(made.db, categories))
    said = made.tallies.get(f"labels since {until}", lambda: changes(made.db, until)) if until is not None else None
    then = shown.part(model, "snapshot", "per_class")
    names = [*categories, *(name for name in then if name not in categories)]
    rows = [(name, shown.count(then.get(name)), now.get(name, 0)) for name in names]
    return {"rows": rows, "said": said, "gone": [name for name in then if name not in categories]}


def changes(db: Database, until: int) -> dict[str, Any]:
    """Words about labels after event `until`: {"new", "taken", "moved": [((from, to), n), …]}, most frequent first."""
    words = or_(LabelEvent.new.is_(None), LabelEvent.new.not_in(OPINIONS))
    query = select(LabelEvent.old, LabelEvent.new, func.count()).where(LabelEvent.id > until, words)
    with db.read() as session:
        found = session.execute(query.group_by(LabelEvent.old, LabelEvent.new)).all()
    moved = Counter({(old, new): n for old, new, n in found if old is not None and new is not None and old != new})
    return {
        "new": sum(n for old, new, n in found if old is None and new is not None),
        "taken": sum(n for old, new, n in found if old is not None and new is None),
        "moved": moved.most_common(6),
    }


# --- a training, while it runs ---


@blueprint.get("/state")
@needs("read")
def state() -> ResponseReturnValue:
    made = services()
    with made.db.read() as session:
        last = session.scalar(select(Training).order_by(Training.id.desc()).limit(1))
        asked = session.get(Switch, run.WISH) is not None
    return jsonify(asked=asked, training=_training(last) if last else None)


def _training(row: Training) -> dict[str, Any]:
    """A training as the page shows it; `log`: the end of what the trainer wrote, where it lies on this machine."""
    progress = row.progress or {}
    done, total = (shown.number(progress.get(key)) for key in ("done", "total"))
    ended = row.finished_at if row.finished_at is not None else services().now()
    return {
        "id": row.id,
        "state": row.state,
        "stage": texts.stage(progress.get("stage", "")),
        "done": done,
        "total": total,
        "seconds": max(0.0, ended - row.started_at),
        "log": _log(row.id),
    }


def _log(training_id: int) -> str:
    try:
        return launch.tail(run.folder_of(services().settings, training_id) / launch.LOG)
    except OSError:
        return ""


# --- what an administrator does ---


@blueprint.post("/train")
@needs("admin")
def train() -> ResponseReturnValue:
    """The worker begins it at its next look."""
    made = services()
    answer = run.is_due(made.db, made.settings, made.now(), asked=True)
    if not answer.due:
        return _page(_("Not now: %(reason)s.", reason=_(answer.why, **answer.values)), 409)
    run.ask(made.db, known_caller().name, made.now())
    with made.db.write() as session:
        note(session, made.now(), known_caller().name, "training asked for")
    return redirect(url_for("models.show"))


@blueprint.post("/clean")
@needs("label")
def clean() -> ResponseReturnValue:
    """Look for wrong labels: the worker begins it at its next look. The Clean page asks for it."""
    made = services()
    answer = cleaning.is_due(made.db, made.settings, made.now(), asked=True)
    if not answer.due:
        raise Conflict(_("Not now: %(reason)s.", reason=_(answer.why, **answer.values)))
    run.ask(made.db, known_caller().name, made.now(), cleaning.WISH)
    return redirect("/clean")


@blueprint.post("/<model_id>/promote")
@needs("admin")
def promote(model_id: str) -> ResponseReturnValue:
    made = services()
    try:
        who, reason = known_caller().name, _reason()
        shelf.promote(made.db, made.settings, model_id, who=who, reason=reason, now=made.now())
    except (UsageError, BundleRefused, Conflict, Refused) as error:
        return _refused(error)
    return redirect(url_for("models.show"))


@blueprint.post("/rollback")
@needs("admin")
def rollback() -> ResponseReturnValue:
    made = services()
    try:
        shelf.rollback(made.db, made.settings, who=known_caller().name, reason=_reason(), now=made.now())
    except (UsageError, BundleRefused, Conflict, Refused) as error:
        return _refused(error)
    return redirect(url_for("models.show"))


def _refused(error: TicketbotError) -> ResponseReturnValue:
    return _page(str(error), error.status if 400 <= error.status < 500 else 409)


def _reason() -> str:
    """Raises Refused."""
    reason = request.form.get("reason", "").strip()
    if not 1 <= len(reason) <= MOST_REASON:
        raise Refused("bad_request", _("Say why, in a sentence: it is kept with the model."))
    return reason


@blueprint.get("/<model_id>/report")
@needs("read")
def report(model_id: str) -> ResponseReturnValue:
    try:
        path = shelf.folder_of(services().settings, model_id) / "report.html"
    except UsageError:
        raise Refused("not_found", _("There is no such model.")) from None
    if path.is_symlink() or not path.is_file():
        raise Refused("not_found", _("The report of this model is no longer on disk."))
    response: Response = send_file(path, mimetype="text/html", etag=False)
    response.headers["Content-Security-Policy"] = REPORT_CSP
    response.headers["Cache-Control"] = "no-store"
    return response
