"""Which labels may be wrong, the likeliest first? What `trainer clean` found, for people and the review pages.

`suspects.csv`: a row per picture (COLUMNS), in the order to look at. `p_label` is how likely its own label is to a
model that saw neither the picture nor its look-alikes, "" where it could not be judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from ticketbot.contracts import tables
from ticketbot.errors import UsageError


@dataclass(frozen=True)
class Suspect:
    """`group`: of look-alikes, `group_size` of them. `conflict`: one of them has another label."""

    name: str
    sha256: str
    label: str
    suggested: str
    p_label: float | None
    p_suggested: float | None
    group: int
    group_size: int
    conflict: bool


COLUMNS = tuple(one.name for one in fields(Suspect))


def write(path: Path, suspects: Iterable[Suspect]) -> None:
    tables.write(path, COLUMNS, ([_text(value) for value in astuple(one)] for one in suspects))


def read(path: Path) -> list[Suspect]:
    """Raises UsageError, with the line."""
    return [_suspect(path, number, row) for number, row in tables.read(path, COLUMNS)]


def _suspect(path: Path, number: int, row: dict[str, str]) -> Suspect:
    try:
        return Suspect(
            name=row["name"],
            sha256=row["sha256"],
            label=row["label"],
            suggested=row["suggested"],
            p_label=float(row["p_label"]) if row["p_label"] else None,
            p_suggested=float(row["p_suggested"]) if row["p_suggested"] else None,
            group=int(row["group"]),
            group_size=int(row["group_size"]),
            conflict={"yes": True, "no": False}[row["conflict"]],
        )
    except (ValueError, KeyError) as error:
        raise UsageError(f"{path}, line {number}: {error}") from None


def _text(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
