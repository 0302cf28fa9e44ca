"""Which pictures are kept out of training, for ever, to measure on?

Whole groups of look-alikes go to one side, and a side is never changed. A new picture follows its group; a group that
is new is drawn by a hash of its contents, a class at a time, until the holdout has its share. Only pictures labelled
without seeing a suggestion may be measured on. Where a new picture links a group in the holdout with one that was
trained on, the trained one is left out from now on: no look-alike of a holdout picture is ever trained on.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

TRAIN, HOLDOUT = "train", "holdout"


@dataclass(frozen=True)
class Row:
    """A labelled picture. `group`: number of its look-alikes; `honest`: may be measured on; `split`: given earlier."""

    sha256: str
    label: str
    group: int
    honest: bool
    split: str | None = None


def assign(rows: Sequence[Row], share: float) -> dict[str, str]:
    """The side of every picture (sha256 -> "train" or "holdout"), earlier ones unchanged. The order does not matter."""
    groups = _grouped(rows)
    sides = {number: side for number, members in groups.items() if (side := _inherited(members)) is not None}
    for label, count in sorted(Counter(row.label for row in rows).items()):
        _draw(label, round(share * count), groups, sides)
    return {row.sha256: row.split or sides.get(row.group, TRAIN) for row in rows}


def left_out(rows: Sequence[Row], sides: dict[str, str]) -> set[str]:
    """Pictures that may neither be learned from nor measured on."""
    guarded = {row.group for row in rows if sides[row.sha256] == HOLDOUT}
    return {
        row.sha256
        for row in rows
        if (sides[row.sha256] == TRAIN and row.group in guarded) or (sides[row.sha256] == HOLDOUT and not row.honest)
    }


def _grouped(rows: Sequence[Row]) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return groups


def _inherited(members: list[Row]) -> str | None:
    """The side the group's earlier members have; holdout wins."""
    given = {row.split for row in members} - {None}
    return HOLDOUT if HOLDOUT in given else TRAIN if given else None


def _draw(label: str, wanted: int, groups: dict[int, list[Row]], sides: dict[int, str]) -> None:
    """Put free groups of a class into the holdout until it has `wanted` pictures of the class."""
    have = sum(
        row.label == label and row.honest
        for number, members in groups.items()
        if sides.get(number) == HOLDOUT
        for row in members
    )
    free = [
        number
        for number, members in groups.items()
        if number not in sides and all(row.honest and row.label == label for row in members)
    ]
    for number in sorted(free, key=lambda one: _lot(groups[one])):
        # A group larger than what is missing would tip the share: it is trained on.
        if have + len(groups[number]) <= wanted:
            sides[number] = HOLDOUT
            have += len(groups[number])


def _lot(members: list[Row]) -> str:
    """A group's place in the draw: random to look at, the same on every machine."""
    return hashlib.sha256(f"holdout {min(row.sha256 for row in members)}".encode()).hexdigest()
