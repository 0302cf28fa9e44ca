"""What does a trainer on another machine get, as a folder?

    order.json      what is asked for: network, weights, limits, promise
    snapshot/       the labelled pictures themselves and which of them are held out (contracts/snapshot.py)
    champion/       the bundle in service, when there is one
    recipe.toml, weights.pth    when the service has its own

It holds no key, no address and no user's name. `trainer order DIR --out BUNDLE` carries it out.

Format versions:
    1  the first one
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ticketbot.contracts.files import write_json
from ticketbot.errors import UsageError

FORMAT_VERSION = 1
ORDER, SNAPSHOT, CHAMPION, RECIPE, WEIGHTS = "order.json", "snapshot", "champion", "recipe.toml", "weights.pth"


@dataclass(frozen=True)
class Order:
    """weights: "imagenet", "none", or the name of a file in the folder. promise, delta: as in [model]."""

    arch: str
    weights: str
    min_per_class: int
    promise: float
    delta: float
    format_version: int = FORMAT_VERSION


def write(folder: Path, order: Order) -> None:
    write_json(folder / ORDER, asdict(order))


def read(folder: Path) -> Order:
    """Raises UsageError with what is wrong."""
    path = folder / ORDER
    try:
        value = json.loads(path.read_bytes())
        if value["format_version"] != FORMAT_VERSION:
            raise UsageError(f"{path}: format_version {value['format_version']}; this program reads {FORMAT_VERSION}")
        order = Order(**value)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if order.weights not in ("imagenet", "none", WEIGHTS):
        raise UsageError(f"{path}: weights must be imagenet, none or {WEIGHTS}, not {order.weights!r}")
    return order
