"""Where in their answer is it? JSON Pointer (RFC 6901) with two more steps.

/data/id                   the value of a key; of a list, the one at an index (/0, /-1 is the last)
/fields/[name=Tags]/value  of a list, the first object whose `name` is Tags (compared as text)
/collection/*/id           of a list, each; the result is a list
""                         the whole answer
"""

from __future__ import annotations

import re
from typing import Any

_SELECTOR = re.compile(r"\[([^=\]]+)=(.*)\]")
_INDEX = re.compile(r"-?[0-9]{1,6}")


def find(value: Any, pointer: str) -> Any:
    """What is there, or None. After a `*` a list of what is there, without the Nones."""
    return _walk(value, pointer.split("/")[1:])


def escape(text: str) -> str:
    """A name so that it is one step of a pointer."""
    return text.replace("~", "~0").replace("/", "~1")


def _walk(value: Any, steps: list[str]) -> Any:
    for place, step in enumerate(steps):
        if step == "*":
            members = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
            return _flat([_walk(member, steps[place + 1 :]) for member in members])
        value = _step(value, step.replace("~1", "/").replace("~0", "~"))
        if value is None:
            return None
    return value


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if not isinstance(value, list):
        return None
    if selector := _SELECTOR.fullmatch(step):
        key, wanted = selector.groups()
        return next((one for one in value if isinstance(one, dict) and str(one.get(key)) == wanted), None)
    if _INDEX.fullmatch(step) and -len(value) <= int(step) < len(value):
        return value[int(step)]
    return None


def _flat(found: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for one in found:
        flat += one if isinstance(one, list) else [] if one is None else [one]
    return flat
