"""What does {name} stand for? Values put into paths, headers and JSON bodies.

    "Token token={token}"        a text with values in it; None is the empty text
    "{confidence}"               only {x}: the value itself, a number stays a number
    "{tags|add:tag}"             filters, from left to right; see FILTERS
    {"x_{field}" = "{category}"} keys too; a key with an empty value in it is left out
    {_if = "{field}", id = …}    a table whose _if comes out empty is left out

Braces around anything that is no name stay as they are.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

PLACE = re.compile(r"\{([a-z][a-z0-9_]*)((?:\|[a-z_][a-z0-9_]*(?::[a-z][a-z0-9_]*)?)*)\}")
_LIKE_A_PLACE = re.compile(r"\{[A-Za-z_][^{}\"\s]*\}")
CONDITION = "_if"
_DROPPED = object()


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """`template` with everything filled in. Raises KeyError for a name that `values` does not have."""
    filled = _fill(template, values)
    return None if filled is _DROPPED else filled


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """A path or URL: each value is quoted, so that a ticket called a/b?c stays one part of it."""
    return PLACE.sub(lambda match: quote(_text(_value(match, values)), safe=""), template)


def names(template: Any) -> Iterator[str]:
    """Every name a template asks for, filters' included."""
    if isinstance(template, str):
        for match in PLACE.finditer(template):
            yield match[1]
            yield from re.findall(r":([a-z][a-z0-9_]*)", match[2])
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from names(key)
            yield from names(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from names(value)


def unknown_filters(template: Any) -> set[str]:
    """Filters that there are not."""
    found = {name for text in _texts(template) for match in PLACE.finditer(text) for name in _filters(match[2])}
    return found - set(FILTERS)


def unreadable(template: Any) -> list[str]:
    """What looks like a place and is none: it would be sent as it stands."""
    return [found for text in _texts(template) for found in _LIKE_A_PLACE.findall(PLACE.sub("", text))]


def is_empty(value: Any) -> bool:
    return value is None or value is False or value == "" or value == [] or value == {}


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        whole = PLACE.fullmatch(template)
        return _value(whole, values) if whole else PLACE.sub(lambda match: _text(_value(match, values)), template)
    if isinstance(template, Mapping):
        if CONDITION in template and is_empty(_fill(template[CONDITION], values)):
            return _DROPPED
        keys = [key for key in template if key != CONDITION and not any(is_empty(values[one]) for one in names(key))]
        pairs = [(str(_fill(key, values)), _fill(template[key], values)) for key in keys]
        return {key: value for key, value in pairs if value is not _DROPPED}
    if isinstance(template, list | tuple):
        return [value for value in (_fill(one, values) for one in template) if value is not _DROPPED]
    return template


def _value(match: re.Match[str], values: Mapping[str, Any]) -> Any:
    value = values[match[1]]
    for part in match[2].split("|")[1:]:
        name, _, argument = part.partition(":")
        value = FILTERS[name](value, values[argument] if argument else None)
    return value


def _filters(text: str) -> list[str]:
    return [part.partition(":")[0] for part in text.split("|")[1:]]


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from _texts(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [] if value is None or value is False else list(value) if isinstance(value, list | tuple) else [value]


def _add(value: Any, more: Any) -> list[Any]:
    """The list (or comma list) with `more` at its end, unless it is in it, in whatever case."""
    found = _list(value)
    have = {_text(one).casefold() for one in found}
    return found + [one for one in _list(more) if _text(one).casefold() not in have]


def _number(value: Any, _: Any) -> Any:
    text = _text(value).strip()
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text) if text else None


FILTERS: dict[str, Callable[[Any, Any], Any]] = {
    "add": _add,  # {tags|add:tag}: a list with one more, nothing dropped
    "csv": lambda value, _: ",".join(map(_text, _list(value))),  # a list as a comma list
    "text": lambda value, _: _text(value),
    "number": _number,
    "base64": lambda value, _: base64.b64encode(_text(value).encode()).decode(),
    "json64": lambda value, _: base64.urlsafe_b64encode(json.dumps(value).encode()).decode(),
    "or": lambda value, other: other if is_empty(value) else value,  # {names|or:category}
}
