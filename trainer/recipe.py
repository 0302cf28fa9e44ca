"""Which numbers does the training use?

config/recipe.toml holds every number with its reason; a file given with --recipe changes some of them. Unknown keys and
values of the wrong kind are refused, so that a typing error is not a different training.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from ticketbot.errors import UsageError

Sizes = list[list[float]]


@dataclass(frozen=True)
class Data:
    canonical_px: int
    holdout_share: float
    valid_share: float
    min_per_class: int


@dataclass(frozen=True)
class Head:
    px: int
    geometry: str
    blocks: list[int]
    grid: list[int]
    strength: float
    folds: int
    rendered: int
    clippings: int
    refit: bool


@dataclass(frozen=True)
class Scratch:
    passes: int
    seen_max: int
    lr: float
    parts: int
    sizes: Sizes
    teach: float
    teach_px: int
    teach_dims: int


@dataclass(frozen=True)
class Pretrained:
    frozen_passes: int
    frozen_lr: float
    passes: int
    lr: float


@dataclass(frozen=True)
class Network:
    px: int
    geometry: str
    batch: int
    label_smoothing: float
    weight_decay: float
    precision: str
    shift: float
    zoom: float
    light: float
    invert: float
    scratch: Scratch
    pretrained: Pretrained


@dataclass(frozen=True)
class Export:
    int8: bool
    int8_pictures: int
    int8_same: float
    cascade: int
    fastai: bool


@dataclass(frozen=True)
class Recipe:
    data: Data
    export: Export
    efficientnet_lite0: Head
    resnet34: Network

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read(path: Path | None = None) -> Recipe:
    """The default recipe, with the values of the file `path` on top. Raises UsageError."""
    values = _toml(default_path())
    if path is not None:
        values = _merged(values, _toml(path), "")
    return _built(Recipe, values, "")


def default_path() -> Path:
    """recipe.toml, in a checkout or inside an installed wheel."""
    top = Path(__file__).resolve().parents[1]
    places = [top / "config" / "recipe.toml", top / "ticketbot" / "_config" / "recipe.toml"]
    for place in places:
        if place.is_file():
            return place
    raise UsageError(f"recipe.toml is neither in {places[0].parent} nor in {places[1].parent}: install ticketbot again")


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"recipe {path}: {error}") from None


def _merged(below: dict[str, Any], above: dict[str, Any], where: str) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if key not in below:
            raise UsageError(f"recipe: there is no {where}{key}; there are {', '.join(sorted(below))}")
        nested = isinstance(below[key], dict) and isinstance(value, dict)
        merged[key] = _merged(below[key], value, f"{where}{key}.") if nested else value
    return merged


def _built(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise UsageError(f"recipe: {where.rstrip('.')} must be a section")
    hints = get_type_hints(kind)
    return kind(**{one.name: _value(hints[one.name], values[one.name], f"{where}{one.name}") for one in fields(kind)})


def _value(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _built(kind, value, f"{where}.")
    plain = getattr(kind, "__origin__", kind)
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, plain) or (plain is not bool and isinstance(value, bool)):
        raise UsageError(f"recipe: {where} = {value!r} must be {plain.__name__}")
    return value
