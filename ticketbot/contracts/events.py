"""What do receivers get to read? The JSON bodies of our webhooks.

    ticket.answered      the first answer for a ticket
    ticket.corrected     the ticket's category changed: a person said so, or a later picture
    picture.classified   the first word about one picture of a ticket
    picture.corrected    a person said that it is something else
    endpoint.test        about nothing: an administrator asks whether the receiver takes what we send

The schema is beside this file (events.schema.json); docs/events.md shows one of each. FORMAT_VERSION history: 1, the
first. A body is built once and stored; these very bytes are signed and sent.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1
TYPES = ("ticket.answered", "ticket.corrected", "picture.classified", "picture.corrected")
TEST = "endpoint.test"
SCHEMA = Path(__file__).with_name("events.schema.json")
# Standard Webhooks asks for less than 20 kB: receivers may cut or refuse more.
MAX_BYTES = 20_000
MAX_TEXT_BYTES = 1_000
MAX_PATH_BYTES = 6_000
# Left for everything but the pictures; a picture that does not fit is only counted.
ROOM_FOR_PICTURES_BYTES = 12_000


@dataclass(frozen=True)
class EventPicture:
    """One picture as the receiver sees it; `path` is the display form (see `shown_path`)."""

    sha256: str
    user: str | None
    path: str | None
    category: str
    confidence: float | None
    by: str


@dataclass(frozen=True)
class Event:
    """`ticket` None: the receiver finds it by user and path. `previous`: what we said before, for corrections."""

    type: str
    at: float
    ticket: str | None
    seq: int
    categories: Sequence[str]
    confidence: float | None
    by: str
    pictures: Sequence[EventPicture]
    previous: str | None = None


def body(event: Event) -> bytes:
    """The JSON bytes of an event: UTF-8, sorted keys, under 20 kB."""
    pictures = _as_many_as_fit([_picture(picture) for picture in event.pictures])
    data = {
        "version": FORMAT_VERSION,
        "ticket": None if event.ticket is None else _text(event.ticket),
        "seq": event.seq,
        "category": event.categories[0],
        "categories": list(event.categories),
        "confidence": _rounded(event.confidence),
        "by": _text(event.by),
        "previous": event.previous,
        "pictures": pictures,
        "pictures_total": len(event.pictures),
    }
    return _bytes({"type": event.type, "timestamp": _iso(event.at), "data": data})


def test_body(at: float) -> bytes:
    """An event with every field of the others and nothing in them, so that no receiver can act on it."""
    data: dict[str, Any] = {"version": FORMAT_VERSION, "ticket": None, "seq": 0, "category": None, "categories": []}
    data |= {"confidence": None, "by": "test", "previous": None, "pictures": [], "pictures_total": 0}
    return _bytes({"type": TEST, "timestamp": _iso(at), "data": data})


def shown_path(path: bytes) -> str:
    r"""A path as text that is safe to show: bytes that are no UTF-8, controls and bidi marks become \x.. and \u…."""
    return "".join(_shown(char) for char in path.decode("utf-8", "backslashreplace"))


def _shown(char: str) -> str:
    # Cc controls, Cf invisible marks (the bidi ones reorder what a reader sees), Zl and Zp line breaks.
    if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp"):
        return char.encode("unicode_escape").decode()
    return char


def _picture(picture: EventPicture) -> dict[str, Any]:
    return {
        "sha256": picture.sha256,
        "user": None if picture.user is None else _text(picture.user),
        "path": None if picture.path is None else _text(picture.path, MAX_PATH_BYTES),
        "category": picture.category,
        "confidence": _rounded(picture.confidence),
        "by": _text(picture.by),
    }


def _as_many_as_fit(pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    room = ROOM_FOR_PICTURES_BYTES
    for number, picture in enumerate(pictures):
        room -= len(_bytes(picture)) + 1
        if room < 0 and number > 0:
            return pictures[:number]
    return pictures


def _text(text: str, most_bytes: int = MAX_TEXT_BYTES) -> str:
    """Text that every JSON parser takes (no lone surrogates), cut so that it stays short as JSON."""
    text = text.encode("utf-8", "backslashreplace").decode()
    while len(_bytes(text)) > most_bytes:
        text = text[: len(text) * 7 // 8]
    return text


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
