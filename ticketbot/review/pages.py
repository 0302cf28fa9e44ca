"""The Label page: one picture, one key, on to the next; or a page of look-alikes, and one key for what is left of it.

    GET  /label, /label/grid     the pages
    POST /label                  say what a picture is: {sha256, category, key, version?, took_ms?, suggested_by?}
    POST /label/many             the same of up to 50: {key, labels: [{sha256, category, version?, suggested_by?}, …]}
    POST /label/undo             take back {of} (the key of a post), or without it my last word that still counts;
                                 what was said with one key for many is taken back as a whole
    POST /label/next             pictures for this page: {page, n, have: [sha256, …], passed}
    POST /label/alike            look-alikes for this page: {page, n, have, passed}
    POST /label/keys             which key does what, for me: {keys: {class or action: key}}

Bodies are JSON or forms. `key` is chosen by the browser: a post repeated after a lost connection is one event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.contracts import store
from ticketbot.db.models import Account, LabelEvent, Model, Picture, Prediction
from ticketbot.errors import Conflict, Refused, UsageError
from ticketbot.review import keys, labels, opinions, progress, queue
from ticketbot.review.labels import PROPAGATED
from ticketbot.web import texts
from ticketbot.web.access import known_caller, needs
from ticketbot.web.audit import note
from ticketbot.web.context import services
from ticketbot.web.i18n import _

blueprint = Blueprint(
    "label",
    __name__,
    url_prefix="/label",
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)

KEY = re.compile(r"[A-Za-z0-9_-]{8,120}")
MODEL_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")
PAGE = re.compile(r"[A-Za-z0-9]{8,32}")
MAX_ITEMS = 50
MAX_PASSED = 500
# Words written in one transaction: more would hold the database up.
WORDS_AT_ONCE = 20
MAX_TOOK_MS = 24 * 3600 * 1000
# What may be said besides the categories.
OTHER_WORDS = ("junk", "skip", "unsure")


@blueprint.get("")
@needs("label")
def page() -> ResponseReturnValue:
    return render_template("label/label.html", **_for_page())


@blueprint.get("/grid")
@needs("label")
def grid() -> ResponseReturnValue:
    return render_template("label/grid.html", **_for_page())


def _for_page() -> dict[str, Any]:
    made = services()
    with made.db.read() as session:
        own = own_keys(session)
    shown = {"keys": keys.assign(made.settings.categories, own), "actions": keys.actions(own)}
    return {**shown, "action_names": keys.ACTION_NAMES, "progress": _progress(), "who": known_caller().name}


def own_keys(session: Session) -> dict[str, str]:
    """The keys this person changed."""
    account = session.get(Account, known_caller().account_id)
    return dict(account.keys or {}) if account else {}


@blueprint.post("")
@needs("label")
def label() -> ResponseReturnValue:
    made, body = services(), body_of()
    with made.db.write() as session:
        sha256 = _record(session, body, key_of(body), "page", number_of(body, "took_ms", MAX_TOOK_MS))
        version = labels.version(session, sha256)
    return jsonify(sha256=sha256, category=body["category"], version=version, progress=_progress())


@blueprint.post("/many")
@needs("label")
def label_many() -> ResponseReturnValue:
    """Some may be refused (somebody was quicker) without keeping the others from being said."""
    made, body = services(), body_of()
    key, given = key_of(body), body.get("labels")
    said = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    if not 1 <= len(said) <= MAX_ITEMS:
        raise Refused("bad_request", "labels: a list of 1 to 50 objects with sha256 and category.")
    took_ms = number_of(body, "took_ms", MAX_TOOK_MS)
    each_ms = took_ms // len(said) if took_ms is not None else None
    versions: dict[str, int] = {}
    refused: dict[str, str] = {}
    for start in range(0, len(said), WORDS_AT_ONCE):
        with made.db.write() as session:
            for number, one in enumerate(said[start : start + WORDS_AT_ONCE], start):
                try:
                    sha256 = _record(session, one, f"{key}-{number}", PROPAGATED, each_ms)
                    versions[sha256] = labels.version(session, sha256)
                except Conflict:
                    refused[str(one.get("sha256"))[:64]] = _("somebody was quicker.")
                except Refused as error:
                    refused[str(one.get("sha256"))[:64]] = str(error)
    return jsonify(versions=versions, refused=refused, progress=_progress())


def _record(session: Session, body: Mapping[str, Any], key: str, how: str, took_ms: int | None) -> str:
    """Write down one word. -> the picture's hash."""
    made = services()
    share = made.settings.review.blind_share
    sha256, new = sha256_of(body), word_of(body, (*made.settings.categories, *OTHER_WORDS))
    _must_be_here(session, sha256)
    shown = _shown(session, sha256, body.get("suggested_by"))
    event = say(
        session,
        sha256,
        new,
        how,
        key,
        suggested=shown.best if shown else None,
        suggested_by=shown.model_id if shown else None,
        blind=how == "page" and queue.is_blind(sha256, share),
        took_ms=took_ms,
        expected_version=number_of(body, "version"),
    )
    if event is not None and queue.is_double(sha256, share):
        opinions.heard(session, event)
    return sha256


def say(session: Session, sha256: str, new: str, how: str, key: str, **facts: Any) -> LabelEvent | None:
    """The caller's word about a picture, now; `facts` as labels.record takes them. Raises Conflict; Refused when the
    picture is not here (any more)."""
    made = services()
    told: dict[str, Any] = {"who": known_caller().name, "at": made.now(), "on_label": made.announce}
    try:
        return labels.record(session, sha256=sha256, new=new, how=how, key=key, **told, **facts)
    except UsageError:
        raise Refused("not_found", _("There is no such picture, or it is not kept any more.")) from None


@blueprint.post("/undo")
@needs("label")
def undo() -> ResponseReturnValue:
    made, body, who = services(), body_of(), known_caller().name
    key = key_of(body)
    with made.db.write() as session:
        before = labels.undone_with(session, key)
        # A repeated post must not take back one more: the key knows which events it was about.
        events = before or _to_undo(session, who, _fitting(body, "of", KEY))
        if not events:
            raise Refused("not_found", _("There is nothing left to undo."))
        for number, event in enumerate(events):
            one_key = f"{key}-{number}" if len(events) > 1 else key
            if labels.undo(session, event.id, who, made.now(), one_key, on_label=made.announce) is not None:
                opinions.taken_back(session, event)
        hashes = [event.sha256 for event in events]
        found = queue.items(session, hashes, made.settings.review.blind_share, who)
    items = [asdict(found[sha256]) for sha256 in hashes if sha256 in found]
    return jsonify(
        item=items[0] if items else None, items=items, was=events[0].new, how=events[0].how, progress=_progress()
    )


def _to_undo(session: Session, who: str, of: str) -> list[LabelEvent]:
    """The events said with the key `of`, if they are this person's; without `of` their last that counts."""
    if not of:
        last = labels.last_to_undo(session, who)
        return labels.said_together(session, last) if last is not None else []
    event = labels.by_key(session, of) or labels.by_key(session, f"{of}-0")
    return labels.said_together(session, event) if event is not None and event.who == who else []


@blueprint.post("/next")
@needs("label")
def more() -> ResponseReturnValue:
    made, body = services(), body_of()
    passed = hashes_of(body, "passed", MAX_PASSED)
    found = queue.take(made.db, **taking(body), have=hashes_of(body, "have", MAX_ITEMS), passed=passed)
    return jsonify(items=[asdict(item) for item in found], progress=_progress())


@blueprint.post("/alike")
@needs("label")
def alike() -> ResponseReturnValue:
    made, body = services(), body_of()
    passed = hashes_of(body, "passed", MAX_PASSED)
    found = queue.take_alike(made.db, **taking(body), have=hashes_of(body, "have", 2 * MAX_ITEMS), passed=passed)
    return jsonify(items=[asdict(item) for item in found], progress=_progress())


def taking(body: Mapping[str, Any]) -> dict[str, Any]:
    made, name = services(), str(body.get("page", ""))
    review = made.settings.review
    if not PAGE.fullmatch(name):
        raise Refused("bad_request", "page: 8 to 32 letters and digits, chosen once by each open page.")
    n = max(1, number_of(body, "n", MAX_ITEMS) or 1)
    rules = {"blind_share": review.blind_share, "lease_s": review.lease_s, "now": made.now()}
    return {"who": known_caller().name, "page": name, "n": n, **rules}


@blueprint.post("/keys")
@needs("label")
def choose_keys() -> ResponseReturnValue:
    """Keep this person's keys; an empty object brings the first ones back."""
    made, body = services(), body_of()
    own = body.get("keys")
    if not isinstance(own, Mapping):
        raise Refused("bad_request", "keys: an object of names and keys.")
    kept = keys.checked(own, made.settings.categories)
    with made.db.write() as session:
        account = session.get(Account, known_caller().account_id)
        if account is None:
            raise Refused("forbidden", _("Only people have keys."))
        account.keys = kept or None
        note(session, made.now(), account.name, "keys changed")
    return jsonify(keys=keys.assign(made.settings.categories, kept), actions=keys.actions(kept))


def _progress() -> dict[str, Any]:
    made = services()
    with made.db.read() as session:
        return progress.of(session, made, known_caller().name)


def _shown(session: Session, sha256: str, model_id: Any) -> Prediction | None:
    """The suggestion that stood on the page, as our own row knows it; blind pictures have none, and no model none."""
    if not isinstance(model_id, str) or not MODEL_ID.fullmatch(model_id):
        return None
    if queue.is_blind(sha256, services().settings.review.blind_share):
        return None
    said = select(Prediction).join(Model).where(Prediction.sha256 == sha256, Prediction.model_id == model_id)
    return session.scalar(said)


# --- what came in ---


def body_of() -> Mapping[str, Any]:
    body = request.get_json(silent=True) if request.is_json else request.form
    if not isinstance(body, Mapping):
        raise Refused("bad_request", "Send a JSON object or a form.")
    return body


def sha256_of(body: Mapping[str, Any]) -> str:
    sha256 = body.get("sha256")
    if not isinstance(sha256, str) or not store.SHA256.fullmatch(sha256):
        raise Refused("bad_request", "sha256: the 64 hex digits of a picture.")
    return sha256


def word_of(body: Mapping[str, Any], known: tuple[str, ...]) -> str:
    """Raises Refused: also when the page is older than the settings."""
    word = body.get("category")
    if not isinstance(word, str) or not word:
        raise Refused("bad_request", f"category: one of {', '.join(known)}.")
    if word not in known:
        raise Refused("bad_request", _("There is no category %(name)s.", name=texts.name(word[:40])))
    return word


def key_of(body: Mapping[str, Any]) -> str:
    if not (key := _fitting(body, "key", KEY)):
        raise Refused("bad_request", "key: 8 to 120 letters, digits, _ and -, new for each thing said.")
    return key


def _fitting(body: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    """A text of this form; "" when it is not there. Raises Refused."""
    value = body.get(name) or ""
    if not isinstance(value, str) or (value and not pattern.fullmatch(value)):
        raise Refused("bad_request", f"{name}: this is none.")
    return value


def number_of(body: Mapping[str, Any], name: str, most: int = 2**53) -> int | None:
    """A whole number from 0 to `most`; None when it is not there. Raises Refused."""
    value = body.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,16}", str(value)):
        raise Refused("bad_request", f"{name}: a whole number.")
    return min(int(value), most)


def hashes_of(body: Mapping[str, Any], name: str, most: int) -> list[str]:
    have = body.get(name, [])
    if not isinstance(have, list):
        raise Refused("bad_request", f"{name}: a list of pictures.")
    return [each for each in have[:most] if isinstance(each, str) and store.SHA256.fullmatch(each)]


def _must_be_here(session: Session, sha256: str) -> None:
    state = session.scalar(select(Picture.state).where(Picture.sha256 == sha256))
    if state is None or state == "erased":
        raise Refused("not_found", _("There is no such picture, or it is not kept any more."))
