"""What did people decide about suspects, and which pictures and labels are left?

Two CSV files. `decisions.csv` is the memory: every decision ever made, in the order of time (COLUMNS). `cleaned.csv` is
its consequence, as in the article: name,label of the kept rows; who has no row is not learned from. Names are paths
below the data folder with "/" ("errors/sub/a.jpg"), or a picture's sha256.

A picture may be decided more than once, by several people and in several passes: the latest word counts, and none is
lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ticketbot.contracts import tables
from ticketbot.errors import UsageError

KEEP, RELABEL, DELETE = DECISIONS = ("keep", "relabel", "delete")
COLUMNS = ("name", "decision", "label", "old", "who", "when", "reason")
CLEANED = ("name", "label")


@dataclass(frozen=True)
class Decision:
    """One word about one picture. `label` after it ("" when deleted), `old` before; `when` ISO 8601 with a zone."""

    name: str
    decision: str
    label: str
    old: str
    who: str
    when: str
    reason: str = ""

    @property
    def at(self) -> float:
        """`when` as Unix seconds. Raises ValueError."""
        moment = datetime.fromisoformat(self.when)
        if moment.tzinfo is None:
            raise ValueError(f"{self.when!r} has no time zone")
        return moment.timestamp()


def when(now: float) -> str:
    """Unix seconds as `Decision.when`."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_decisions(path: Path, classes: Collection[str]) -> list[Decision]:
    """Raises UsageError, with the line, for an unknown decision or class, a time that is none, a missing column."""
    found = []
    for number, row in tables.read(path, COLUMNS):
        one = Decision(**{column: row[column] for column in COLUMNS})
        if wrong := _wrong(one, classes):
            raise UsageError(f"{path}, line {number}: {wrong}")
        found.append(one)
    return found


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    tables.write(path, COLUMNS, (astuple(one) for one in decisions))


def merged(*passes: Iterable[Decision]) -> list[Decision]:
    """Every decision of all passes once, in the order of time; at the same moment a later pass comes later."""
    every = dict.fromkeys(one for decisions in passes for one in decisions)
    return sorted(every, key=lambda one: one.at)


def latest(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """name -> the decision that counts. Takes them in the order `merged` gives."""
    return {one.name: one for one in decisions}


def applied(labels: Mapping[str, str], decisions: Iterable[Decision]) -> dict[str, str]:
    """name -> label of the rows that are left of `labels`; a decision on a name that is not there changes nothing."""
    said = latest(decisions)
    kept = {name: said[name].label if name in said else label for name, label in labels.items()}
    return {name: label for name, label in kept.items() if label}


def read_cleaned(path: Path, classes: Collection[str]) -> dict[str, str]:
    """name -> label. Raises UsageError for a class that is unknown, a name with two labels, a missing column."""
    found: dict[str, str] = {}
    for number, row in tables.read(path, CLEANED):
        name, label = row["name"], row["label"]
        if label not in classes:
            raise UsageError(f"{path}, line {number}: {_unknown(label, classes)}")
        if found.setdefault(name, label) != label:
            raise UsageError(f"{path}, line {number}: {name} has two labels, {found[name]} and {label}")
    return found


def write_cleaned(path: Path, labels: Mapping[str, str]) -> None:
    tables.write(path, CLEANED, labels.items())


def _wrong(one: Decision, classes: Collection[str]) -> str:
    if not one.name:
        return "no name"
    if one.decision not in DECISIONS:
        return f"{one.decision!r} is not a decision; there are {', '.join(DECISIONS)}"
    if one.decision == DELETE and one.label:
        return "a deleted picture has no label"
    if one.decision != DELETE and one.label not in classes:
        return _unknown(one.label, classes)
    try:
        return "" if one.at >= 0 else f"when: {one.when} is before 1970"
    except ValueError as error:
        return f"when: {error}"


def _unknown(label: str, classes: Collection[str]) -> str:
    return f"{label!r} is not a class; there are {', '.join(sorted(classes))}"
