"""What does a page say about a model?

Everything comes from its manifest, which may have been made anywhere and by any version: what is missing or is no
number is left out, and nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ticketbot.db.models import Model
from ticketbot.judge.intervals import clopper_pearson

# Steps of a cell's colour in the confusion matrix: model.css has as many.
HEATS = 9
# Side of the reliability curve, in the units of its drawing.
SIDE = 200


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int | None = None


@dataclass(frozen=True)
class Promise:
    """May this class be tagged without a person? `coverage`: of the held-out pictures it named, how many it tags."""

    name: str
    proven: bool
    threshold: float | None
    coverage: float | None
    accepted: int
    errors: int
    needed: int


def summary(row: Model) -> dict[str, Any]:
    """The line of a model in the list of models."""
    metrics = part(row, "metrics")
    return {
        "row": row,
        "accuracy": share(metrics, "accuracy"),
        "arch": text(row.manifest.get("arch")),
        "n": count(part(row, "snapshot").get("n")),
        "compared": compared(part(row, "gate")),
    }


def details(row: Model) -> dict[str, Any]:
    """Everything the page shows of one model."""
    metrics, gate = part(row, "metrics"), part(row, "gate")
    promise = part(row, "promise")
    classes = words(row.manifest.get("classes"))
    return {
        **summary(row),
        "on": text(metrics.get("on")),
        "majority": number(metrics.get("majority_share")),
        "notes": words(metrics.get("notes")),
        "gate": text(gate.get("reason")),
        "champion": text(gate.get("champion")),
        "per_class": per_class(metrics, classes),
        "confusion": confusion(metrics, classes),
        "curve": curve(metrics),
        "calibration_error": number(metrics.get("calibration_error")),
        "temperature": number(row.manifest.get("temperature")),
        "promises": promises(row, classes),
        "promise": number(promise.get("precision")),
        "delta": number(promise.get("delta")),
        "labels": {name: count(part(row, "snapshot", "per_class").get(name)) or 0 for name in classes},
        "took_s": number(row.manifest.get("took_s")),
    }


def compared(gate: Mapping[str, Any]) -> tuple[Share, Share] | None:
    """(this model, the champion of that day) on the same held-out pictures, when the bundle says so."""
    found = gate.get("compared")
    if not isinstance(found, dict):
        return None
    n, right, theirs = (count(found.get(key)) for key in ("n", "right", "champion_right"))
    if not n or right is None or theirs is None or max(right, theirs) > n:
        return None
    return _of(right, n), _of(theirs, n)


def per_class(metrics: Mapping[str, Any], classes: list[str]) -> list[dict[str, Any]]:
    """A row per class: how many were measured, precision and recall with intervals."""
    found = metrics.get("per_class")
    known = found if isinstance(found, dict) else {}
    rows = [(name, known[name]) for name in classes if isinstance(known.get(name), dict)]
    return [
        {"name": name, "n": count(one.get("n")), "precision": share(one, "precision"), "recall": share(one, "recall")}
        for name, one in rows
    ]


def confusion(metrics: Mapping[str, Any], classes: list[str]) -> dict[str, Any] | None:
    """{"columns", "rows": [(what it is, [(n, heat 0 to HEATS, is it right?), …])]}; heat: the share of its row."""
    found = metrics.get("confusion")
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        return None
    rows = [name for name in classes if name in found]
    columns = [*rows, *({column for row in found.values() for column in row} - set(rows))]
    shown = [(name, _cells(name, [count(found[name].get(one)) or 0 for one in columns], columns)) for name in rows]
    return {"columns": columns, "rows": shown} if shown else None


def _cells(name: str, counts: list[int], columns: list[str]) -> list[tuple[int, int, bool]]:
    total = max(1, sum(counts))
    return [
        (n, round(HEATS * n / total) if n else 0, column == name) for n, column in zip(counts, columns, strict=True)
    ]


def curve(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """The reliability curve as a drawing: points (x, y, radius), the line through them, and their numbers."""
    bins = metrics.get("reliability")
    points = []
    for one in bins if isinstance(bins, list) else []:
        said, was, n = (one.get(key) if isinstance(one, dict) else None for key in ("confidence", "accuracy", "n"))
        said, was, n = number(said), number(was), count(n)
        if said is None or was is None or n is None or not (0 <= said <= 1 and 0 <= was <= 1):
            return None
        points.append((said, was, n))
    if not points:
        return None
    most = max(n for _, _, n in points)
    drawn = [
        (round(SIDE * x, 1), round(SIDE * (1 - y), 1), round(2.5 + 5 * (n / most) ** 0.5, 1)) for x, y, n in points
    ]
    return {"points": drawn, "line": " ".join(f"{x},{y}" for x, y, _ in drawn), "bins": points, "side": SIDE}


def promises(row: Model, classes: list[str]) -> list[Promise]:
    """What is promised for each class, and what a promise still needs."""
    found, columns = part(row, "thresholds"), part(row, "metrics", "confusion")
    rows = [line for line in columns.values() if isinstance(line, dict)]
    made = []
    for name in classes:
        one = found.get(name)
        if not isinstance(one, dict):
            continue
        accepted, proven = count(one.get("accepted")) or 0, one.get("proven") is True
        named = sum(count(line.get(name)) or 0 for line in rows)
        coverage = min(1.0, accepted / named) if proven and named else 0.0 if named else None
        errors, needed = count(one.get("errors")) or 0, count(one.get("needed")) or 0
        made.append(Promise(name, proven, number(one.get("threshold")), coverage, accepted, errors, needed))
    return made


def part(row: Model, *names: str) -> dict[str, Any]:
    """An object inside the manifest; {} when it is none."""
    found: Any = row.manifest
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def share(found: Mapping[str, Any], name: str) -> Share | None:
    """A figure and its bounds, as `trainer evaluate` names them."""
    value, low, high = (number(found.get(key)) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None or low is None or high is None or not 0 <= low <= value <= high <= 1:
        return None
    return Share(value, low, high, count(found.get("n")))


def number(value: Any) -> float | None:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_one and abs(value) < 1e15 else None  # no nan and no inf either


def count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12 else None


def text(value: Any) -> str:
    return value[:500] if isinstance(value, str) else ""


def words(value: Any) -> list[str]:
    """The texts of a list."""
    return [text(one) for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def _of(right: int, n: int) -> Share:
    return Share(right / n, *clopper_pearson(right, n), n)
