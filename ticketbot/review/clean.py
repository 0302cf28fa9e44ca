"""The Clean page: labels that may be wrong, one key each. Nothing leaves the data set without a person's key.

    GET  /clean[?list=suspects|conflicts|opinions]   the page
    POST /clean              say what a picture is: {list, sha256, category, key, version?, took_ms?, alike?}
                             category: a class, junk, keep, skip or unsure; `alike`: hashes that are the same
    POST /clean/next         pictures for this page: {list, page, n, have, passed}
    GET  /clean/state        the cleaning that runs or ran last, as JSON
    GET  /clean/cleaned.csv  name,label of what is left; for `trainer retrain --cleaned`
    GET  /clean/decisions.csv  what was decided here, by whom and when

Undo is that of the Label page (POST /label/undo): one history, however people work.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from flask import Blueprint, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from ticketbot.contracts import cleaned, tables
from ticketbot.db import Database
from ticketbot.db.models import Cleaning, Label, LabelEvent, Picture, Suspect, Switch
from ticketbot.errors import Conflict, Refused
from ticketbot.review import keys, labels, pages, suspects
from ticketbot.review.labels import CLEAN, KEEP
from ticketbot.review.pages import MAX_ITEMS, MAX_PASSED, MAX_TOOK_MS, OTHER_WORDS
from ticketbot.web import texts
from ticketbot.web.access import known_caller, needs
from ticketbot.web.api import Csv
from ticketbot.web.context import services
from ticketbot.web.i18n import _

blueprint = Blueprint("clean", __name__, url_prefix="/clean", template_folder="templates")
MAX_ALIKE = 40
ROWS_AT_ONCE = 1000
# The switch of a person's wish, as retrain/clean.py reads it.
WISH = "clean.asked"


@blueprint.get("")
@needs("label")
def page() -> ResponseReturnValue:
    made, chosen = services(), _list(request.args.get("list", "suspects"))
    with made.db.read() as session:
        own = pages.own_keys(session)
        last = session.scalar(select(Cleaning).order_by(Cleaning.id.desc()).limit(1))
        shown = suspects.latest(session)
        asked = session.get(Switch, WISH) is not None
    return render_template(
        "clean/clean.html",
        keys=keys.assign(made.settings.categories, own),
        actions=keys.actions(own),
        action_names=keys.ACTION_NAMES,
        progress=_progress(chosen),
        who=known_caller().name,
        chosen=chosen,
        last=last,
        shown=shown,
        asked=asked,
        can_start="models.clean" in current_app.view_functions,
        stop_after=suspects.STOP_AFTER,
    )


@blueprint.get("/state")
@needs("label")
def state() -> ResponseReturnValue:
    with services().db.read() as session:
        last = session.scalar(select(Cleaning).order_by(Cleaning.id.desc()).limit(1))
        asked = session.get(Switch, WISH) is not None
    progress = {**(last.progress or {}), "stage": texts.stage((last.progress or {}).get("stage", ""))} if last else None
    told = {"id": last.id, "state": last.state, "progress": progress, "message": last.message} if last else None
    return jsonify(asked=asked, cleaning=told)


@blueprint.post("/next")
@needs("label")
def more() -> ResponseReturnValue:
    made, body = services(), pages.body_of()
    chosen = _list(body.get("list"))
    have, passed = pages.hashes_of(body, "have", MAX_ITEMS), pages.hashes_of(body, "passed", MAX_PASSED)
    found = suspects.take(made.db, chosen, **pages.taking(body), have=have, passed=passed)
    return jsonify(items=[asdict(one) for one in found], progress=_progress(chosen))


@blueprint.post("")
@needs("label")
def decide() -> ResponseReturnValue:
    made, body = services(), pages.body_of()
    chosen, key = _list(body.get("list")), pages.key_of(body)
    word = pages.word_of(body, (*made.settings.categories, *OTHER_WORDS, KEEP))
    first = pages.sha256_of(body)
    alike = pages.hashes_of(body, "alike", MAX_ALIKE)
    took_ms, version = pages.number_of(body, "took_ms", MAX_TOOK_MS), pages.number_of(body, "version")
    versions = say(chosen, first, word, key, alike=alike, took_ms=took_ms, version=version)
    return jsonify(versions=versions, progress=_progress(chosen))


def say(
    chosen: str,
    first: str,
    word: str,
    key: str,
    *,
    alike: Sequence[str] = (),
    took_ms: int | None = None,
    version: int | None = None,
) -> dict[str, int]:
    """One word about a picture of a list and those that are the same. -> the labels' versions, by hash.

    word: a category, junk, keep, skip or unsure. Raises Conflict, Refused.
    """
    made = services()
    # In one order: two people whose look-alikes overlap must not wait for each other.
    hashes = sorted({first, *alike})
    versions: dict[str, int] = {}
    with made.db.write() as session:
        facts = _suggestions(session, hashes, chosen)
        for number, sha256 in enumerate(hashes):
            said = {"took_ms": took_ms, "expected_version": version} if sha256 == first else {}
            one_key = f"{key}-{number}" if len(hashes) > 1 else key
            _record(session, sha256, word, one_key, facts.get(sha256), chosen, **said)
            versions[sha256] = labels.version(session, sha256)
    return versions


def _record(
    session: Session, sha256: str, word: str, key: str, suggested: tuple[str, str] | None, chosen: str, **said: Any
) -> None:
    """One word about one picture. Raises Conflict, Refused."""
    label = session.get(Label, sha256)
    if label is None and word == KEEP:
        raise Conflict(_("This picture has no label any more."))
    # The label it has already, said again, is a keep: nothing changes, and it is remembered.
    new = KEEP if label is not None and label.category == word else word
    best, by = suggested or (None, None)
    # Two people differed, and nobody was shown a suggestion: what is decided may be measured on.
    facts = {"suggested": best, "suggested_by": by, "blind": chosen == "opinions"}
    pages.say(session, sha256, new, CLEAN, key, **facts, **said)


def _suggestions(session: Session, hashes: list[str], chosen: str) -> dict[str, tuple[str, str]]:
    """What stood beside each picture as a suggestion, and by whom; nothing for opinions."""
    cleaning = suspects.latest(session) if chosen != "opinions" else None
    if cleaning is None:
        return {}
    own = (Suspect.cleaning_id == cleaning.id, Suspect.sha256.in_(hashes))
    rows = session.execute(select(Suspect.sha256, Suspect.suggested).where(*own))
    return {sha256: (suggested, f"cleaning-{cleaning.id}") for sha256, suggested in rows}


def _progress(chosen: str) -> dict[str, Any]:
    """`left` on this list and on each, how many were fine in a row, and whether it is time to stop."""
    made, who = services(), known_caller().name
    left = {name: made.tallies.get(f"clean {name}", partial(_count, made.db, name)) for name in suspects.LISTS}
    with made.db.read() as session:
        cleaning = suspects.latest(session)
        fine = suspects.fine_in_a_row(session, who, cleaning.started_at) if cleaning else 0
    stop = chosen == "suspects" and fine >= suspects.STOP_AFTER
    return {"left": left[chosen], "lists": left, "fine": fine, "stop": stop}


def _count(db: Database, name: str) -> int:
    with db.read() as session:
        return suspects.count(session, name)


def _list(name: Any) -> str:
    if name not in suspects.LISTS:
        raise Refused("bad_request", f"list: one of {', '.join(suspects.LISTS)}.")
    return str(name)


# --- what is left, as files ---


@blueprint.get("/cleaned.csv")
@needs("label")
def cleaned_csv() -> ResponseReturnValue:
    return cleaned_file()


@blueprint.get("/decisions.csv")
@needs("label")
def decisions_csv() -> ResponseReturnValue:
    return decisions_file()


def cleaned_file() -> Csv:
    """Every labelled picture by its sha256, as contracts/cleaned.py describes it; junk has no row."""
    made = services()
    query = (
        select(Label.sha256, Label.category)
        .join(Picture, Picture.sha256 == Label.sha256)
        .where(Label.category.in_(made.settings.categories), Picture.state == "staged")
        .order_by(Label.sha256)
    )
    return _download("cleaned.csv", cleaned.CLEANED, _rows(made.db, query))


def decisions_file() -> Csv:
    """What was decided on this page and not taken back, in the order of time."""
    wanted = (LabelEvent.how == CLEAN, LabelEvent.undo_of.is_(None), ~labels.taken_back())
    columns = (LabelEvent.sha256, LabelEvent.new, LabelEvent.old, LabelEvent.who, LabelEvent.at)
    found = _rows(services().db, select(*columns).where(*wanted).order_by(LabelEvent.id))
    categories = services().settings.categories
    return _download("decisions.csv", cleaned.COLUMNS, (row for one in found if (row := _decision(one, categories))))


def _decision(event: tuple[Any, ...], categories: tuple[str, ...]) -> tuple[str, ...] | None:
    """An event as a row of decisions.csv; None for a word that decided nothing."""
    sha256, new, old, who, at = event
    when = cleaned.when(at)
    if new == KEEP:
        return (sha256, cleaned.KEEP, old or "", old or "", who, when, "") if old in categories else None
    if new in categories:
        return (sha256, cleaned.RELABEL, new, old or "", who, when, "")
    return (sha256, cleaned.DELETE, "", old or "", who, when, new or "") if new in (None, "junk") else None


def _rows(db: Database, query: Any) -> Iterator[tuple[Any, ...]]:
    with db.read() as session:
        for row in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)):
            yield tuple(row)


def _download(name: str, columns: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> Csv:
    """A CSV file that is written while it is sent."""

    def lines() -> Iterator[str]:
        stream = io.StringIO(newline="")
        writer = csv.writer(stream)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([tables.csv_cell(str(cell)) for cell in row])
            if stream.tell() > 32_768:
                yield stream.getvalue()
                stream.seek(0)
                stream.truncate()
        yield stream.getvalue()

    response = Csv(lines(), mimetype=Csv.media)
    response.headers["Content-Disposition"] = f"attachment; filename={name}"
    return response
