"""What did a ticket system send us? Most send JSON, some a form: payload={…}, or a field for each thing.

{"ticket": {"id": 7}}                 as it is
payload=%7B%22ticket%22%3A…           what is in `payload`, when that is JSON
ticket[id]=7&ticket[title]=printer    {"ticket": {"id": "7", "title": "printer"}}: a form knows only texts
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

# A field: a name, and steps in brackets below it.
_FIELD = re.compile(r"([\w.:-]{1,100})((?:\[[\w.:-]{0,100}\]){0,10})", re.ASCII)
_STEP = re.compile(r"\[([^\]]*)\]")
MAX_FIELDS = 1000
PAYLOAD = "payload"


def read(body: bytes) -> Any:
    """The document in these bytes. Raises ValueError: neither JSON nor a form."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError:
        pass
    form = body.decode("ascii").strip()
    if not form:
        raise ValueError("nothing")
    return _document(parse_qsl(form, strict_parsing=True, keep_blank_values=True, max_num_fields=MAX_FIELDS))


def _document(fields: list[tuple[str, str]]) -> Any:
    found: dict[str, Any] = {}
    for name, text in fields:
        match = _FIELD.fullmatch(name)
        if match is None:
            raise ValueError("a name that no form has")
        if name == PAYLOAD and text.lstrip().startswith(("{", "[")):
            return json.loads(text)
        _put(found, [match[1], *_STEP.findall(match[2])], text)
    return _lists(found)


def _put(found: dict[str, Any], steps: list[str], text: str) -> None:
    """`a[b][]=x`: an empty step is the next of a list. A field that comes twice is a list, too."""
    *above, last = steps
    for step in above:
        inner = found.setdefault(step or str(len(found)), {})
        if not isinstance(inner, dict):
            raise ValueError("a field that is a text and has others below it")
        found = inner
    last = last or str(len(found))
    before = found.get(last)
    if isinstance(before, dict):
        raise ValueError("a field that is a text and has others below it")
    found[last] = text if before is None else [*(before if isinstance(before, list) else [before]), text]


def _lists(value: Any) -> Any:
    """Tables whose names are 0, 1, 2… are lists."""
    if not isinstance(value, dict):
        return value
    members = {name: _lists(one) for name, one in value.items()}
    counted = members and list(members) == [str(n) for n in range(len(members))]
    return list(members.values()) if counted else members
