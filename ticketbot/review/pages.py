"""The Label page: one picture, one key, on to the next.

    GET  /label          the page
    POST /label          say what a picture is: {sha256, category, key, version?, took_ms?, suggested_by?}
    POST /label/undo     take back {of} (the key of an event), or without it my last word that still counts
    POST /label/next     pictures for this page: {page, n, have: [sha256, …]}

Bodies are JSON or forms. `key` is chosen by the browser: a post repeated after a lost connection is one event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ticketbot.contracts import store
from ticketbot.db.models import Label, LabelEvent, Model, Picture, Prediction, Training
from ticketbot.errors import Refused
from ticketbot.review import keys, labels, queue
from ticketbot.web.access import known_caller, needs
from ticketbot.web.context import services

blueprint = Blueprint(
    "label",
    __name__,
    url_prefix="/label",
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)

KEY = re.compile(r"[A-Za-z0-9_-]{8,128}")
PAGE = re.compile(r"[A-Za-z0-9]{8,32}")
MAX_ITEMS = 50
MAX_TOOK_MS = 24 * 3600 * 1000
# What may be said besides the categories.
OTHER_WORDS = ("junk", "skip", "unsure")


@blueprint.get("")
@needs("label")
def page() -> ResponseReturnValue:
    return render_template("label/label.html", keys=keys.assign(services().settings.categories), progress=_progress())


@blueprint.post("")
@needs("label")
def label() -> ResponseReturnValue:
    made, body = services(), _body()
    sha256, new, key = _sha256(body), _category(body, made.settings.categories), _key(body)
    with made.db.write() as session:
        _must_be_here(session, sha256)
        shown = _shown(session, sha256, str(body.get("suggested_by") or ""))
        labels.record(
            session,
            sha256=sha256,
            new=new,
            who=known_caller().name,
            at=made.now(),
            how="page",
            key=key,
            suggested=shown.best if shown else None,
            suggested_by=shown.model_id if shown else None,
            blind=queue.is_blind(sha256, made.settings.review.blind_share),
            took_ms=_number(body, "took_ms", MAX_TOOK_MS),
            expected_version=_number(body, "version"),
            on_label=made.announce,
        )
        version = labels.version(session, sha256)
    return jsonify(sha256=sha256, category=new, version=version, progress=_progress())


@blueprint.post("/undo")
@needs("label")
def undo() -> ResponseReturnValue:
    made, body, who = services(), _body(), known_caller().name
    key = _key(body)
    with made.db.write() as session:
        before = labels.by_key(session, key)
        # A repeated post must not take back one more: the key knows which event it was about.
        event = session.get(LabelEvent, before.undo_of or 0) if before else _to_undo(session, who, body.get("of"))
        if event is None:
            raise Refused("not_found", "There is nothing left to undo.")
        labels.undo(session, event.id, who, made.now(), key, on_label=made.announce)
        found = queue.items(session, [event.sha256], made.settings.review.blind_share)
    return jsonify(item=asdict(found[event.sha256]), was=event.new, progress=_progress())


def _to_undo(session: Session, who: str, of: Any) -> LabelEvent | None:
    """The event with the key `of`, if it is this person's; without `of` their last one that counts."""
    if not of:
        return labels.last_to_undo(session, who)
    event = labels.by_key(session, str(of))
    return event if event is not None and event.who == who else None


@blueprint.post("/next")
@needs("label")
def more() -> ResponseReturnValue:
    made, body = services(), _body()
    name, review = str(body.get("page", "")), made.settings.review
    if not PAGE.fullmatch(name):
        raise Refused("bad_request", "page: 8 to 32 letters and digits, chosen once by each open page.")
    found = queue.take(
        made.db,
        who=known_caller().name,
        page=name,
        n=max(1, _number(body, "n", MAX_ITEMS) or 1),
        blind_share=review.blind_share,
        lease_s=review.lease_s,
        now=made.now(),
        have=_have(body),
    )
    return jsonify(items=[asdict(item) for item in found], progress=_progress())


def _progress() -> dict[str, Any]:
    made = services()
    with made.db.read() as session:
        return progress(session, made.settings.retrain.min_new_labels)


def progress(session: Session, min_new_labels: int) -> dict[str, Any]:
    """How far the labelling is: `left` to label, `labelled`, and labels until the next training is due."""
    staged = session.scalar(select(func.count()).where(Picture.state == "staged")) or 0
    # What has a label stays staged (only unlabelled pictures are archived), so the two counts are of the same pictures.
    labelled = session.scalar(select(func.count()).select_from(Label)) or 0
    # As retrain counts them: since the last training that ended by itself.
    ended = select(func.max(Training.labels_until)).where(Training.state.in_(("succeeded", "refused")))
    new = session.scalar(select(func.count()).select_from(Label).where(Label.version > (session.scalar(ended) or 0)))
    return {
        "left": max(0, staged - labelled),
        "labelled": labelled,
        "until_training": max(0, min_new_labels - (new or 0)),
    }


def _shown(session: Session, sha256: str, model_id: str) -> Prediction | None:
    """The suggestion that stood on the page, as our own row knows it; blind pictures have none."""
    if not model_id or queue.is_blind(sha256, services().settings.review.blind_share):
        return None
    said = select(Prediction).join(Model).where(Prediction.sha256 == sha256, Prediction.model_id == model_id)
    return session.scalar(said)


# --- what came in ---


def _body() -> Mapping[str, Any]:
    body = request.get_json(silent=True) if request.is_json else request.form
    if not isinstance(body, Mapping):
        raise Refused("bad_request", "Send a JSON object or a form.")
    return body


def _sha256(body: Mapping[str, Any]) -> str:
    sha256 = body.get("sha256")
    if not isinstance(sha256, str) or not store.SHA256.fullmatch(sha256):
        raise Refused("bad_request", "sha256: the 64 hex digits of a picture.")
    return sha256


def _category(body: Mapping[str, Any], categories: tuple[str, ...]) -> str:
    category = body.get("category")
    if not isinstance(category, str) or category not in (*categories, *OTHER_WORDS):
        raise Refused("bad_request", f"category: one of {', '.join((*categories, *OTHER_WORDS))}.")
    return category


def _key(body: Mapping[str, Any]) -> str:
    key = body.get("key")
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise Refused("bad_request", "key: 8 to 128 letters, digits, _ and -, new for each thing said.")
    return key


def _number(body: Mapping[str, Any], name: str, most: int = 2**53) -> int | None:
    """A whole number from 0 to `most`; None when it is not there. Raises Refused."""
    value = body.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,16}", str(value)):
        raise Refused("bad_request", f"{name}: a whole number.")
    return min(int(value), most)


def _have(body: Mapping[str, Any]) -> list[str]:
    have = body.get("have", [])
    if not isinstance(have, list):
        raise Refused("bad_request", "have: a list of pictures.")
    return [each for each in have[:MAX_ITEMS] if isinstance(each, str) and store.SHA256.fullmatch(each)]


def _must_be_here(session: Session, sha256: str) -> None:
    state = session.scalar(select(Picture.state).where(Picture.sha256 == sha256))
    if state is None or state == "erased":
        raise Refused("not_found", "There is no such picture, or it is not kept any more.")
