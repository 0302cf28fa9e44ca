"""The Try page: what does the model say about this picture, and what would become of it?

    GET  /try     the page
    POST /try     an address (url) or up to MOST files (file): the same page with the answers. With the header
                  X-Fragment only the answers, for the page's script, which sends one at a time

The same fetch, decode and inference as /classify-url and /classify, behind the same guards and limits.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from ticketbot.classify import api
from ticketbot.db.models import Model
from ticketbot.errors import ImageError, Refused, TicketbotError
from ticketbot.judge.decide import ranked
from ticketbot.web.access import needs
from ticketbot.web.context import services
from ticketbot.web.i18n import _

blueprint = Blueprint(
    "try", __name__, url_prefix="/try", template_folder="templates", static_folder="static", static_url_path="/static"
)
MOST = 10


@blueprint.get("")
@needs("classify")
def show() -> ResponseReturnValue:
    return _page([])


@blueprint.post("")
@needs("classify")
def answer() -> ResponseReturnValue:
    url, files = request.form.get("url", "").strip(), request.files.getlist("file")
    files = [file for file in files if file.filename]
    if len(files) > MOST:
        raise Refused("bad_request", _("At most %(n)s files at once.", n=MOST))
    found = [_tried(url, url=url)] if url else []
    found += [_tried(file.filename or "", data=file.read()) for file in files]
    if not found:
        raise Refused("bad_request", _("Paste an address or choose a file."))
    if "X-Fragment" in request.headers:
        return render_template("try/answers.html", answers=found)
    return _page(found)


def _page(answers: list[dict[str, Any]]) -> ResponseReturnValue:
    with services().db.read() as session:
        champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    return render_template("try/try.html", answers=answers, champion=champion, most=MOST)


def _tried(name: str, *, url: str = "", data: bytes = b"") -> dict[str, Any]:
    """{"name", "error": {code, message}} or {"name", "model", "why", "bars": [(class, probability), best first]}."""
    answers: api.Answers = services().classify
    try:
        with answers.ways_in.take():
            engine, probabilities = api.looked_at(api.fetched(url) if url else _some(data))
    except TicketbotError as error:
        return {"name": name, "error": {"code": error.code, "message": str(error)}}
    return {
        "name": name,
        "error": None,
        "model": engine.model_id,
        "why": api.explained(engine, probabilities),
        "promise": engine.manifest.promise.get("precision"),
        "bars": ranked(probabilities, engine.classes),
    }


def _some(data: bytes) -> bytes:
    if not data:
        raise ImageError("not_an_image", _("The file is empty."))
    return data
