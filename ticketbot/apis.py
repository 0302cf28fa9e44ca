"""Every call that programs make, in one document and on one page: /api/v1/openapi.json and /api/v1/.

The stages' operations come from their types; the other ones (/classify, /label…) from web/openapi.py.
"""

from __future__ import annotations

import functools
from typing import Any

from flask import Blueprint, jsonify, render_template
from flask.typing import ResponseReturnValue

from ticketbot import __version__
from ticketbot.collect import api as files
from ticketbot.deliver import api as deliveries
from ticketbot.operate import api as status
from ticketbot.retrain import api as models
from ticketbot.review import api as pictures
from ticketbot.web import openapi, people_api
from ticketbot.web.access import needs, public
from ticketbot.web.api import PREFIX, paths_of

APIS = (status.api, files.api, pictures.api, deliveries.api, models.api, people_api.api)
blueprint = Blueprint("api", __name__, template_folder="web/templates")
ABOUT = """\
Send `Authorization: Bearer tb_…` (make a token on the Set-up page or with `ticketbot tokens create NAME --scope read`).

Lists come in pages: send `next` of one as `cursor` to get the following. Times are Unix seconds. Errors are
`application/problem+json` (RFC 9457) with a `code`, whether trying again may help (`retryable`), and the request's id.
What is said twice with the same `key` happens once."""


@blueprint.get("/openapi.json")
@blueprint.get(PREFIX + "/openapi.json")
@public
def show_document() -> ResponseReturnValue:
    return jsonify(document())


@blueprint.get(PREFIX + "/")
@needs("read")
def read_page() -> ResponseReturnValue:
    """The document as a page, for people."""
    return render_template("api.html", document=document(), calls=calls())


@functools.cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1, as JSON values."""
    others = openapi.parts()
    paths, schemas = paths_of(APIS)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ticketbot", "version": __version__, "description": ABOUT},
        "security": others["security"],
        "tags": [{"name": name} for name in ("classify", *(api.name for api in APIS), "inbound", "chat", "health")],
        "paths": _with_waits({**_tagged(others["paths"]), "/metrics": {"get": METRICS}, **paths}),
        "components": {**others["components"], "schemas": {**others["components"]["schemas"], **schemas}},
    }


RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 0}}}
METRICS = {
    "operationId": "get_metrics",
    "tags": ["health"],
    "summary": "Figures for Prometheus; see docs/metrics.md.",
    "responses": {
        "200": {"description": "Prometheus's text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **{
            status: {
                "description": "Refused",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            for status in ("401", "403")
        },
    },
}


def calls() -> list[dict[str, Any]]:
    """Every operation with its method and path, by tag, for the page."""
    found = document()
    rows = [
        {"method": method.upper(), "path": path, "id": _anchor(method, path), **operation}
        for path, item in found["paths"].items()
        for method, operation in item.items()
    ]
    order = [tag["name"] for tag in found["tags"]]
    return sorted(rows, key=lambda row: order.index(row["tags"][0]))


def _tagged(paths: dict[str, Any]) -> dict[str, Any]:
    """The other calls, with what those of /api/v1 have by themselves."""
    tags = {"/classify": "classify", "/classify-url": "classify", "/healthz": "health", "/readyz": "health"}
    tags |= {"/inbound/{name}": "inbound", "/chat/slack": "chat", "/chat/mattermost": "chat"}
    return {
        path: {
            method: {"operationId": _anchor(method, path), "tags": [tags.get(path, "pictures")], **operation}
            for method, operation in item.items()
        }
        for path, item in paths.items()
    }


def _with_waits(paths: dict[str, Any]) -> dict[str, Any]:
    """Every call may be told to come back later, and when: while the database is away, or all places are taken."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    later = {"503": {"description": "Not now; nothing was changed", "content": problem}}
    for path, item in paths.items():
        for method, operation in item.items():
            found = operation["responses"] if path == "/healthz" else {**later, **operation["responses"]}
            waits = {code: {**found[code], "headers": RETRY_AFTER} for code in ("429", "503") if code in found}
            item[method] = {**operation, "responses": dict(sorted({**found, **waits}.items()))}
    return paths


def _anchor(method: str, path: str) -> str:
    return f"{method}_{path}".replace("/", "_").replace("{", "").replace("}", "").replace("-", "_").strip("_")
