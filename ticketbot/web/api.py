"""What is /api/v1 made of? One small layer: every stage brings a module of operations, this one does the rest.

    api = Api("review")

    @api.get("/pictures", "read")
    def pictures(query: PictureQuery) -> Page[PictureOut]: ...

`query` and `body` are pydantic models, checked before the view runs; what a view returns is a model too. From the same
types comes the OpenAPI document, so that it cannot say anything else than the code. A wrong request is problem+json
with the code `bad_request` and the members at fault; pages are walked by a cursor that only we can read.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_type_hints

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema

from ticketbot.errors import Refused
from ticketbot.web.access import needs

PREFIX = "/api/v1"
T = TypeVar("T")
View = Callable[..., Any]


class Model(BaseModel):
    """What goes in and out. What nobody knows is refused, so that a misspelt filter does not answer everything."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Paging(Model):
    """The query of every list."""

    limit: int = Field(50, ge=1, le=200, description="How many at most.")
    cursor: str | None = Field(None, max_length=500, description="`next` of the page before; nothing for the first.")


class Page(Model, Generic[T]):
    """A part of a list. `next` is null on the last one."""

    items: list[T]
    next: str | None = None


class Csv(Response):
    """A file for a spreadsheet, written while it is sent."""

    media = "text/csv"


class Html(Response):
    """A page that stands alone."""

    media = "text/html"


@dataclass(frozen=True)
class Operation:
    """One call: what it needs, takes and gives."""

    method: str
    path: str
    scope: str
    view: View
    status: int
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    answer: Any
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.view.__name__


class Api:
    """The operations of one stage, as a blueprint below /api/v1."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.blueprint = Blueprint(f"api_{name}", __name__, url_prefix=PREFIX)
        self.operations: list[Operation] = []

    def get(self, path: str, scope: str) -> Callable[[View], View]:
        return self._operation("get", path, scope, 200)

    def post(self, path: str, scope: str, *, status: int = 200) -> Callable[[View], View]:
        return self._operation("post", path, scope, status)

    def delete(self, path: str, scope: str) -> Callable[[View], View]:
        return self._operation("delete", path, scope, 204)

    def _operation(self, method: str, path: str, scope: str, status: int) -> Callable[[View], View]:
        def mark(view: View) -> View:
            hints = get_type_hints(view)
            answer = hints.pop("return")
            query, body = hints.pop("query", None), hints.pop("body", None)
            made = Operation(method, path, scope, view, status, query, body, answer, hints)
            self.operations.append(made)
            handler = needs(scope, api=True)(_handler(made))
            self.blueprint.add_url_rule(path, endpoint=view.__name__, view_func=handler, methods=[method.upper()])
            return view

        return mark


def _handler(operation: Operation) -> View:
    def handle(**path: Any) -> Response:
        given = dict(path)
        if operation.query is not None:
            given["query"] = _checked(operation.query, _query(operation.query))
        elif request.args:
            raise Refused("bad_request", f"This call takes no query, not even {next(iter(request.args))!r:.60}.")
        if operation.body is not None:
            given["body"] = _checked(operation.body, _json())
        answer = operation.view(**given)
        if answer is None:
            return Response(status=204)
        if isinstance(answer, Response):
            return answer
        response = jsonify(answer.model_dump(mode="json") if isinstance(answer, BaseModel) else answer)
        response.status_code = operation.status
        return response

    handle.__name__ = operation.name
    return handle


def _query(kind: type[BaseModel]) -> dict[str, Any]:
    """The query as the model wants it; a name that comes twice is a list only where a list is meant."""
    found: dict[str, Any] = {}
    for name, values in request.args.lists():
        info = kind.model_fields.get(name)
        is_list = info is not None and "list" in str(info.annotation)
        if len(values) > 1 and not is_list:
            raise Refused("bad_request", f"{name[:40]!r} came more than once.")
        found[name] = values if is_list else values[0]
    return found


def _json() -> Any:
    value = request.get_json(silent=True)
    if not isinstance(value, dict):
        raise Refused("bad_request", "Send a JSON object with Content-Type: application/json.")
    return value


def _checked(kind: type[BaseModel], value: Any) -> BaseModel:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        said = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()[:5]]
        raise Refused("bad_request", "; ".join(said)[:500]) from None


# --- cursors ----------------------------------------------------------------------------------------------------------


def cursor_of(*place: Any) -> str:
    """Where a page ended, as a word for the caller to send back."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place_of(cursor: str | None, *kinds: type) -> list[Any] | None:
    """The place again; None for the first page. Raises Refused for what is no cursor of this list."""
    if cursor is None:
        return None
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        place = None
    if not isinstance(place, list) or len(place) != len(kinds) or not all(map(_is, place, kinds)):
        raise Refused("bad_request", "cursor: not one that this list gave.")
    return place


def _is(value: Any, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, kind) and (not isinstance(value, str) or ("\0" not in value and value.isprintable()))


def cut(rows: Sequence[T], limit: int, place: Callable[[T], tuple[Any, ...]]) -> tuple[list[T], str | None]:
    """Of limit + 1 rows the first `limit`, and the cursor to the rest."""
    shown = list(rows[:limit])
    return shown, cursor_of(*place(shown[-1])) if len(rows) > limit and shown else None


# --- OpenAPI ----------------------------------------------------------------------------------------------------------

PATH_TYPES: dict[str, dict[str, Any]] = {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}


def paths_of(apis: Iterable[Api]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(paths, component schemas) of the document."""
    operations = [(api.name, one) for api in apis for one in api.operations]
    models = {
        (one.answer, "serialization")
        for _, one in operations
        if inspect.isclass(one.answer) and issubclass(one.answer, BaseModel)
    }
    models |= {(kind, "validation") for _, one in operations for kind in (one.query, one.body) if kind is not None}
    ordered = sorted(models, key=lambda pair: (pair[0].__name__, pair[1]))
    references, found = models_json_schema(ordered, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas = found.get("$defs", {})
    paths: dict[str, Any] = {}
    for stage, one in operations:
        path = PREFIX + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", one.path)
        paths.setdefault(path, {})[one.method] = _described(stage, one, references, schemas)
    used = json.dumps(paths) + json.dumps(schemas)
    return paths, {name: schema for name, schema in sorted(schemas.items()) if f'/schemas/{name}"' in used}


def _described(stage: str, one: Operation, references: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    summary, _, more = inspect.cleandoc(one.view.__doc__ or one.name).partition("\n\n")
    parameters: list[dict[str, Any]] = []
    for name, kind in one.parameters.items():
        schema = PATH_TYPES.get(name, {"type": "integer"} if kind is int else {"type": "string"})
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    if one.query is not None:
        shape: dict[str, Any] = _resolved(references[one.query, "validation"], schemas)
        for name, value in shape["properties"].items():
            about = {"name": name, "in": "query", "required": name in shape.get("required", []), "schema": value}
            parameters.append(about | ({"description": value["description"]} if "description" in value else {}))
    refusals = {400, 401, 403, 404} | ({409, 413} if one.method == "post" else set())
    problem = {"description": "Refused", "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    responses: dict[str, Any] = {str(status): problem for status in sorted(refusals)}
    if one.answer is type(None):
        responses["204"] = {"description": "Done"}
    elif inspect.isclass(one.answer) and issubclass(one.answer, Csv | Html):
        responses[str(one.status)] = {
            "description": "Done",
            "content": {one.answer.media: {"schema": {"type": "string"}}},
        }
    else:
        content = {"application/json": {"schema": references[one.answer, "serialization"]}}
        responses[str(one.status)] = {"description": "Done", "content": content}
    described: dict[str, Any] = {
        "operationId": one.name,
        "tags": [stage],
        "summary": summary.replace("\n", " "),
        "description": f"{more.strip()}\n\nNeeds the scope `{one.scope}`.".strip(),
        "responses": responses,
    }
    if parameters:
        described["parameters"] = parameters
    if one.body is not None:
        content = {"application/json": {"schema": references[one.body, "validation"]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _resolved(reference: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[reference["$ref"].rsplit("/", 1)[1]] if "$ref" in reference else reference
    return found


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
