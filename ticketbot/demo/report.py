"""How did the demo go? Counted in the service's database and at the desk, against what is known to be true."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from ticketbot.contracts.store import path_of
from ticketbot.db import Database
from ticketbot.db.models import File, Label, Model, Picture, Prediction
from ticketbot.demo.tree import Upload
from ticketbot.judge.intervals import clopper_pearson

# What `--exit` asks for with rendered pictures.
MIN_ACCURACY, MAX_UNSURE = 0.95, 0.10


@dataclass
class Report:
    """Everything the table shows. Shares are of the new pictures that can be read."""

    found: int = 0
    staged: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    labelled: int = 0
    model: str = ""
    holdout: dict[str, Any] = field(default_factory=dict)
    new: int = 0
    right: int = 0
    accuracy: float = 0.0
    accuracy_low: float = 0.0
    accuracy_high: float = 0.0
    unsure: float = 0.0
    # Of the tickets, by their categories as they stand at the desk.
    tickets: int = 0
    tickets_answered: int = 0
    tickets_right: int = 0
    lost: int = 0
    doubled: int = 0
    signatures_refused: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)


def count_files(db: Database, report: Report) -> None:
    with db.read() as session:
        counts = select(File.state, func.count()).group_by(File.state)
        states = {str(state): count for state, count in session.execute(counts)}
        reasons = select(File.reason, func.count()).where(File.state == "refused").group_by(File.reason)
        report.refused = {str(reason): count for reason, count in session.execute(reasons)}
        report.found = sum(count for state, count in states.items() if state != "gone")
        report.staged = session.scalar(select(func.count()).select_from(Picture)) or 0
        report.labelled = session.scalar(select(func.count()).select_from(Label)) or 0
        champion = session.scalar(select(Model).where(Model.state == "champion"))
        if champion is not None:
            report.model, report.holdout = champion.id, champion.manifest["metrics"]


def judge(db: Database, report: Report, new: list[Upload]) -> None:
    """Were the new pictures answered rightly, and how many does the model leave to people?"""
    truth = {hashlib.sha256(upload.path.read_bytes()).hexdigest(): upload.category for upload in new}
    with db.read() as session:
        query = select(Prediction.sha256, Prediction.best, Prediction.category).where(
            Prediction.model_id == report.model, Prediction.state == "done"
        )
        said = {sha256: (best, category) for sha256, best, category in session.execute(query) if sha256 in truth}
    report.new = len(truth)
    report.lost += len(truth) - len(said)
    report.right = sum(best == truth[sha256] for sha256, (best, _) in said.items())
    report.accuracy = report.right / max(1, report.new)
    report.accuracy_low, report.accuracy_high = clopper_pearson(report.right, report.new)
    report.unsure = sum(category is None for _, category in said.values()) / max(1, report.new)


def judge_desk(report: Report, tickets: list[dict[str, Any]], truth: dict[str, set[str]]) -> None:
    """Does every ticket have one first answer, and is it among the truth?"""
    report.tickets = len(truth)
    answered = {one["ticket"]: one for one in tickets if one["ticket"] in truth and one["category"] is not None}
    report.tickets_answered = len(answered)
    report.tickets_right = sum(one["category"] in truth[ticket] for ticket, one in answered.items())
    report.doubled += sum(one["answers"] - len(one["corrections"]) - 1 for one in answered.values())


def torn(db: Database, data_dir: Path) -> int:
    """How many staged files do not have the bytes of their name?"""
    with db.read() as session:
        hashes = session.scalars(select(Picture.sha256)).all()
    return sum(hashlib.sha256(path_of(data_dir, one).read_bytes()).hexdigest() != one for one in hashes)


def promises(report: Report, *, rendered: bool, expected_refused: dict[str, int]) -> list[str]:
    """What was promised and not kept, in words; empty when all is well."""
    kept: list[tuple[bool, str]] = [
        (report.lost == 0, f"{report.lost} pictures were lost"),
        (report.doubled == 0, f"{report.doubled} effects happened twice"),
        (report.signatures_refused == 0, f"{report.signatures_refused} signatures did not verify"),
        (bool(report.model), "no model was promoted"),
        (Counter(report.refused) == Counter(expected_refused), f"refused {report.refused}, not {expected_refused}"),
        (
            report.tickets_answered == report.tickets,
            f"{report.tickets - report.tickets_answered} tickets have no answer",
        ),
    ]
    if rendered:
        kept += [
            (report.accuracy >= MIN_ACCURACY, f"accuracy {report.accuracy:.3f} is below {MIN_ACCURACY}"),
            (report.unsure <= MAX_UNSURE, f"{report.unsure:.1%} unsure is more than {MAX_UNSURE:.0%}"),
        ]
    return [words for good, words in kept if not good]


def table(report: Report) -> str:
    held = report.holdout
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(report.refused.items())) or "none"
    rows = [
        ("found", f"{report.found} files"),
        ("staged", f"{report.staged} pictures, each content once"),
        ("refused", refused),
        ("labelled", f"{report.labelled} pictures by people"),
        ("model", report.model),
        (
            "  on held-out pictures",
            _share(held.get("accuracy"), held.get("accuracy_low"), held.get("accuracy_high"), held.get("n")),
        ),
        ("new pictures right", _share(report.accuracy, report.accuracy_low, report.accuracy_high, report.new)),
        ("unsure, left to people", f"{report.unsure:.1%}"),
        ("tickets answered", f"{report.tickets_answered} of {report.tickets}, {report.tickets_right} rightly"),
        ("lost, doubled", f"{report.lost}, {report.doubled}"),
        *((f"seconds: {step}", f"{took_s:.1f}") for step, took_s in report.seconds.items()),
        *((name, url) for name, url in report.urls.items()),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return "\n".join(lines + [f"NOT KEPT: {words}" for words in report.missed])


def _share(share: float | None, low: float | None, high: float | None, n: int | None) -> str:
    if share is None or low is None or high is None:
        return "not measured"
    return f"{share:.1%} (95% interval {low:.1%} to {high:.1%}, n = {n})"
