"""What may programs ask at the addresses that are no part of /api/v1, and what do we answer? In OpenAPI's words.

ticketbot/apis.py makes the one document of these and of /api/v1. tests/web/test_fuzz.py sends requests made from it and
holds every answer against it.
"""

from __future__ import annotations

from typing import Any

from ticketbot.errors import STATUS_BY_CODE

SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
KEY = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_-]{8,120}$",
    "description": "Chosen by you; sent twice it is one word.",
}
MODEL_ID = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,80}$", "description": "Whose suggestion you saw"}
COUNT = {"type": "integer", "minimum": 0, "maximum": 9007199254740991}


def parts() -> dict[str, Any]:
    """Paths, components and security, as JSON values."""
    return {
        "security": [{"token": []}],
        "paths": {
            "/classify": {"post": _upload()},
            "/classify-url": {"get": _by_query(), "post": _by_body()},
            "/label": {"post": _label()},
            "/label/undo": {"post": _undo()},
            "/label/next": {"post": _next("Pictures to label next.")},
            "/label/many": {"post": _many()},
            "/label/alike": {"post": _next("Look-alikes to label with one key.")},
            "/label/keys": {"post": _keys()},
            "/inbound/{name}": {"post": _inbound()},
            "/chat/slack": {"post": _command("Slack's slash command, signed by it.")},
            "/chat/mattermost": {"post": _command("Mattermost's slash command, with its token.")},
            "/healthz": {"get": _health("This process answers.", {"status": {"const": "ok"}}, 200)},
            "/readyz": {"get": _health("Can it work? 503 says what is missing.", READY, 200, 503)},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "tb_<id>_<secret>"}},
            "schemas": {"Answer": ANSWER, "Problem": PROBLEM},
        },
    }


ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["predictions", "model", "category", "unsure"],
    "properties": {
        "predictions": {
            "type": "array",
            "minItems": 2,
            "items": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "minItems": 2},
            "description": "[class, probability], best first",
        },
        "model": {"type": "string"},
        "category": {"type": ["string", "null"], "description": "null when a person should decide"},
        "unsure": {"type": "boolean"},
        "picture": {"type": "string", "description": "its sha256, as in the log"},
        "why": {
            "type": "object",
            "description": "What the decision rests on. rule: promise (a proven threshold), fixed (nothing proven) or "
            "nobody (people decide); limit: from which probability on the best class is tagged, null: never; "
            "accepted, errors: what the promise was proven on; missing: pictures it still needs",
            "properties": {
                "rule": {"enum": ["promise", "fixed", "nobody"]},
                "limit": {"type": ["number", "null"]},
                "accepted": {"type": "integer"},
                "errors": {"type": "integer"},
                "missing": {"type": "integer"},
            },
        },
    },
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "retryable"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"enum": sorted(STATUS_BY_CODE)},
        "detail": {"type": "string"},
        "retryable": {"type": "boolean"},
    },
}
READY: dict[str, Any] = {
    "ready": {"type": "boolean"},
    "checks": {"type": "object", "additionalProperties": {"enum": ["ok", "missing"]}},
    "problems": {"type": "array", "items": {"type": "string"}, "description": "A sentence for each that is missing"},
}
URL = {"type": "string", "maxLength": 2048, "description": "http or https, of a public address"}


def _upload() -> dict[str, Any]:
    content = {"application/octet-stream": {"schema": {"type": "string", "contentMediaType": "image/jpeg"}}}
    return _classifies("What is the picture in the body (or the one file of a form)?", content, 413, 422)


def _by_query() -> dict[str, Any]:
    operation = _classifies("What is the picture at this address?", None, 413, 422, 502, 504)
    return {**operation, "parameters": [{"name": "url", "in": "query", "required": True, "schema": URL}]}


def _by_body() -> dict[str, Any]:
    return _classifies("The same, with the address out of every log.", _json({"url": URL}), 413, 422, 502, 504)


def _classifies(summary: str, content: dict[str, Any] | None, *refusals: int) -> dict[str, Any]:
    ok = {"description": "The answer", "content": {"application/json": {"schema": _ref("Answer")}}}
    return _operation(summary, content, ok, 400, 401, 403, 429, 503, *refusals)


def _label() -> dict[str, Any]:
    properties = {
        "sha256": SHA256,
        "category": {"type": "string", "description": "A category, junk, skip or unsure"},
        "key": KEY,
        "version": {**COUNT, "description": "The version you saw; another one is 409."},
        "took_ms": COUNT,
        "suggested_by": MODEL_ID,
    }
    said = {"sha256": SHA256, "category": {"type": "string"}, "version": COUNT}
    return _says("Say what a picture is.", _json(properties, "sha256", "category", "key"), said)


def _undo() -> dict[str, Any]:
    properties = {"key": KEY, "of": {**KEY, "description": "The key of the word to take back; else your last one."}}
    return _says("Take a word back.", _json(properties, "key"), {"item": {"type": "object"}, "was": {}})


def _many() -> dict[str, Any]:
    word = {"sha256": SHA256, "category": {"type": "string"}, "version": COUNT, "suggested_by": MODEL_ID}
    labels = {"type": "object", "required": ["sha256", "category"], "properties": word}
    properties = {
        "key": KEY,
        "labels": {"type": "array", "minItems": 1, "maxItems": 50, "items": labels},
        "took_ms": COUNT,
    }
    answer = {"versions": {"type": "object"}, "refused": {"type": "object"}}
    return _says("Say what each of these is; some may be refused.", _json(properties, "key", "labels"), answer)


def _keys() -> dict[str, Any]:
    own = {"type": "object", "additionalProperties": {"type": "string"}}
    answer = {"keys": {"type": "object"}, "actions": {"type": "object"}}
    return _says("Which key does what, for a person who is signed in.", _json({"keys": own}), answer)


def _inbound() -> dict[str, Any]:
    """The body is the ticket system's own; what it must be signed with stands in the source's settings."""
    schema = {
        "type": "object",
        "required": ["duplicate", "queued"],
        "properties": {"queued": {"type": "boolean"}, "duplicate": {"type": "boolean"}},
    }
    told = {"content": {"application/json": {"schema": schema}}}
    content = {"application/octet-stream": {"schema": {"type": "string"}}}
    known = {"description": "Known already", **told}
    operation = _operation("A ticket system tells of something new.", content, known, 401, 404, 413)
    operation["responses"]["202"] = {"description": "Queued", **told}
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}, "description": "The source"}
    return {**operation, "security": [], "parameters": [name]}


def _command(summary: str) -> dict[str, Any]:
    answer = {"response_type": {"type": "string"}, "text": {"type": "string"}}
    schema = {"type": "object", "required": sorted(answer), "properties": answer}
    ok = {"description": "What is to be read", "content": {"application/json": {"schema": schema}}}
    content = {"application/x-www-form-urlencoded": {"schema": {"type": "string"}}}
    return {**_operation(summary, content, ok, 400, 401, 404, 413), "security": []}


def _next(summary: str) -> dict[str, Any]:
    properties = {
        "page": {"type": "string", "pattern": "^[A-Za-z0-9]{8,32}$"},
        "n": {"type": "integer", "minimum": 1, "maximum": 50},
        "have": {"type": "array", "items": SHA256, "maxItems": 50},
        "passed": {"type": "array", "items": SHA256, "maxItems": 500},
    }
    found = {"items": {"type": "array"}, "progress": {"type": "object"}}
    return _says(summary, _json(properties, "page"), found)


def _says(summary: str, content: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": sorted(answer), "properties": answer}
    ok = {"description": "Written down", "content": {"application/json": {"schema": schema}}}
    return _operation(summary, content, ok, 400, 401, 403, 404, 409, 413)


def _health(summary: str, properties: dict[str, Any], *statuses: int) -> dict[str, Any]:
    schema = {"type": "object", "required": sorted(properties), "properties": properties}
    answer = {"description": "How it is", "content": {"application/json": {"schema": schema}}}
    return {"summary": summary, "security": [], "responses": {str(status): answer for status in statuses}}


def _operation(summary: str, content: dict[str, Any] | None, ok: dict[str, Any], *refusals: int) -> dict[str, Any]:
    problem = {"description": "Refused", "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    operation = {"summary": summary, "responses": {"200": ok, **{str(status): problem for status in sorted(refusals)}}}
    return operation if content is None else {**operation, "requestBody": {"required": True, "content": content}}


def _json(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "required": list(required or properties), "properties": properties}
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
