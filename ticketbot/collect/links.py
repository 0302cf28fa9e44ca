"""What does one link of a source's chain find? Variables of a file in, more variables out, none or several times.

path        named groups of a pattern on the path
sidecar     a small file beside it, JSON or text
sql         a query a file                                    (lookups.py)
sql_index   one query for very many, kept in a local index    (index.py)
http        a GET, most often on the ticket system itself
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ticketbot.collect import index
from ticketbot.collect.lookups import LookupFailed, Lookups, NotText, is_text
from ticketbot.collect.opening import ParentGone, Tree
from ticketbot.db.session import Database
from ticketbot.errors import Refused, SettingsError
from ticketbot.net import fetch
from ticketbot.settings import (
    Endpoint,
    HttpLookup,
    Lookup,
    PathLookup,
    SidecarLookup,
    SqlIndexLookup,
    SqlLookup,
)
from ticketbot.systems import pointer, template
from ticketbot.systems.calls import System

log = logging.getLogger(__name__)

Variables = dict[str, Any]
MAX_SIDECAR_BYTES = 1 << 20
# More than so many tickets for a file is a wrong link, as in lookups.py.
MAX_FOUND = 100


@dataclass
class Place:
    """Where a file lies: its source's name and root, the endpoint that knows its tickets, and our own database."""

    lookups: Lookups
    db: Database | None = None
    source: str = ""
    root: Path | None = None
    endpoint_name: str = ""
    endpoint: Endpoint | None = None
    now: float = 0.0
    _system: list[System] = field(default_factory=list)

    @property
    def system(self) -> System | None:
        """The ticket system of the source's endpoint; None when that is a webhook."""
        if not self._system and self.endpoint is not None and self.endpoint.preset:
            self._system.append(System(self.endpoint_name, self.endpoint))
        return self._system[0] if self._system else None


def follow(number: int, link: Lookup, variables: Variables, place: Place) -> list[Variables]:
    """What link `number` of the chain adds. Raises LookupFailed, or NotText for names no database or URL can hold."""
    if isinstance(link, PathLookup):
        match = re.search(link.pattern, variables["path"])
        return [_given(match.groupdict())] if match else []
    if isinstance(link, SidecarLookup):
        return _sidecar(link, variables, place)
    if isinstance(link, SqlLookup):
        return [_as_variables(row) for row in place.lookups.rows(link.url, link.query, variables, link.timeout_s)]
    if isinstance(link, SqlIndexLookup):
        assert place.db is not None
        return index.find(place.db, _index_name(place, number), link, variables, place.lookups, place.now)
    return _http(link, variables, place)


def look_again(chain: Sequence[Lookup], place: Place) -> None:
    """What did the chain's indexes learn meanwhile? Files that are on more tickets now are due again.

    A database that does not answer is only logged: no file waits for this.
    """
    for number, link in enumerate(chain):
        if isinstance(link, SqlIndexLookup) and place.db is not None:
            try:
                index.look_again(place.db, _index_name(place, number), link, place.lookups, place.now)
            except LookupFailed as error:
                log.warning("the ticket index was not read: %s", error, extra={"source": place.source})


def _index_name(place: Place, number: int) -> str:
    return f"{place.source}.{number}"


def _as_variables(row: Mapping[str, Any]) -> Variables:
    """One column is the ticket, whatever its name; several are what they are called."""
    return {"ticket": next(iter(row.values()))} if len(row) == 1 else dict(row)


def _given(groups: Mapping[str, Any]) -> Variables:
    return {name: value for name, value in groups.items() if value is not None}


def _sidecar(link: SidecarLookup, variables: Variables, place: Place) -> list[Variables]:
    assert place.root is not None
    path = os.fsencode(str(template.fill(link.file, _known(link.file, variables)))).lstrip(b"/")
    text = _read_beside(place.root, os.path.normpath(path))
    if text is None:
        return []
    if link.pattern:
        return [_given(match.groupdict()) for match in itertools.islice(re.finditer(link.pattern, text), MAX_FOUND)]
    try:
        document = json.loads(text)
    except ValueError:
        return []  # half written, perhaps; asked for again as when there is none
    return _spread({name: pointer.find(document, where) for name, where in link.json_.items()})


def _read_beside(root: Path, path: bytes) -> str | None:
    """The text of a small file below the root, by the walk's own rules: no link is followed, nothing outside read."""
    if path.startswith((b"..", b"/")):
        return None
    try:
        with Tree(root) as tree, os.fdopen(tree.open_file(path), "rb") as file:
            return file.read(MAX_SIDECAR_BYTES).decode("utf-8-sig", "replace")
    except (FileNotFoundError, ParentGone):
        return None
    except OSError as error:
        raise LookupFailed(f"sidecar: {error.strerror}") from None


def _http(link: HttpLookup, variables: Variables, place: Place) -> list[Variables]:
    known = _known([link.url, link.headers], variables)
    if not all(is_text(value) for value in known.values()):
        raise NotText
    try:
        reply = _get(link, known, place)
    except Refused as error:
        raise LookupFailed(f"http: {error.code}") from None
    if reply.status in (404, 410):
        return []
    if reply.status != 200:
        raise LookupFailed(f"http: status {reply.status}")
    try:
        document = json.loads(reply.body)
    except ValueError:
        raise LookupFailed("http: the answer is no JSON") from None
    return _spread({name: pointer.find(document, where) for name, where in link.json_.items()})


def _get(link: HttpLookup, known: Variables, place: Place) -> fetch.Reply:
    if not link.url.startswith("/"):
        # The address itself is the operator's, so its host may be called; nothing else is, and no redirect followed.
        headers = {"Accept": "application/json", **template.fill(link.headers, known)}
        url = template.fill_path(link.url, known)
        allow = link.allow or (urlsplit(link.url).netloc,)
        return fetch.request("GET", url, headers=headers, deadline_s=link.timeout_s, allow=allow, read_bytes=1 << 20)
    system = place.system
    if system is None:
        raise SettingsError(f"sources.{place.source}.ticket: a url like {link.url} needs an endpoint with a preset")
    values = {**system.values, "base": system.base, "nothing": None, **known}
    return system.call("GET", link.url, values, headers=link.headers, deadline_s=link.timeout_s)


def _known(parts: Any, variables: Variables) -> Variables:
    """The variables these templates use. Raises LookupFailed for one that nobody gives."""
    names = set(template.names(parts))
    if missing := sorted(names - set(variables)):
        raise LookupFailed(f"{{{missing[0]}}} is asked for, which no earlier link gives")
    return {name: variables[name] for name in names}


def _spread(found: Mapping[str, Any]) -> list[Variables]:
    """{"ticket": [1, 2], "user": "a"} -> two; nothing found -> none. Lists go together, the shortest ends them."""
    lists = {name: value for name, value in found.items() if isinstance(value, list)}
    single = {name: value for name, value in found.items() if not isinstance(value, list) and value is not None}
    if not lists:
        return [single] if single else []
    rows = zip(*lists.values(), strict=False)
    return [{**single, **dict(zip(lists, row, strict=True))} for row in itertools.islice(rows, MAX_FOUND)]
