"""What does a bundle take for what, whose pictures does it get wrong, and does its confidence come true?

One object for programs (confusion.json), and pictures for people: the matrix, the most confused pairs with their
pictures, the reliability curve before and after temperature.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts.files import write_json
from ticketbot.errors import UsageError
from ticketbot.judge import metrics
from ticketbot.judge.calibration import expected_error, reliability
from ticketbot.judge.intervals import clopper_pearson
from ticketbot.judge.temperature import softmax
from trainer import plots
from trainer.data import pictures
from trainer.data.cache import Cache
from trainer.data.pictures import Dataset
from trainer.evaluate import asked
from trainer.progress import Progress
from trainer.sheet import sheet, tiles

PAIRS, EACH = 6, 16


@dataclass(frozen=True)
class Answer:
    """One picture: what it is, what was said, how sure; its look-alike group and its user or source."""

    path: Path
    truth: str
    said: str
    confidence: float
    alike: int
    user: str

    @property
    def is_right(self) -> bool:
        return self.truth == self.said


def confusion(bundle: Path, data: Path, out: Path, cache: Cache, progress: Progress) -> dict[str, Any]:
    """Write confusion.json, confusion.png, pairs.png and reliability.png to `out`. -> what confusion.json holds.

    Raises BundleRefused or UsageError.
    """
    engine, found, probs = asked(bundle, data, cache, progress)
    if not found.pictures:
        raise UsageError(f"{data}: no picture could be read")
    manifest, y = engine.manifest, found.labels()
    answers = answers_of(found, probs, pictures.look_alikes(found.pictures, cache))
    before = softmax(np.log(np.maximum(probs, 1e-12)), 1 / manifest.temperature)
    result = metrics.evaluate(
        probs, y, manifest.classes, manifest.thresholds, unreadable=[label for _, label, _ in found.unreadable]
    )
    result |= {
        "pairs": pairs(answers),
        "by_look_alikes": by_look_alikes(answers),
        "by_user": by_user(answers),
        "reliability": {"before": curve(before, y), "after": curve(probs, y), "temperature": manifest.temperature},
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "confusion.json", result)
    plots.confusion(result["confusion"], out / "confusion.png")
    curves = {"before temperature": reliability(before, y), "after": reliability(probs, y)}
    plots.reliability(curves, out / "reliability.png")
    _pairs_sheet(answers, out / "pairs.png")
    return result


def answers_of(data: Dataset, probs: NDArray[np.float64], alike: Sequence[int]) -> list[Answer]:
    return [
        Answer(one.path, data.classes[one.label], data.classes[int(row.argmax())], float(row.max()), group, one.user)
        for one, row, group in zip(data.pictures, probs, alike, strict=True)
    ]


def pairs(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """What is taken for what, the most frequent first."""
    counts = Counter((one.truth, one.said) for one in answers if not one.is_right)
    return [{"is": truth, "said": said, "n": n} for (truth, said), n in counts.most_common()]


def by_look_alikes(answers: Sequence[Answer]) -> dict[str, Any]:
    """Each look-alike group counts once: its share of right answers, so that fifty copies are one picture.

    `all_right`: how many groups have no error, with its exact 95 % interval.
    """
    groups: dict[int, list[bool]] = defaultdict(list)
    for one in answers:
        groups[one.alike].append(one.is_right)
    flawless = sum(all(right) for right in groups.values())
    low, high = clopper_pearson(flawless, len(groups))
    mean = float(np.mean([np.mean(right) for right in groups.values()])) if groups else 0.0
    return {"groups": len(groups), "accuracy": mean, "all_right": flawless, "low": low, "high": high}


def by_user(answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """Right answers for each user or source, the worst first; empty when the data tells none."""
    users: dict[str, list[bool]] = defaultdict(list)
    for one in answers:
        if one.user:
            users[one.user].append(one.is_right)
    rows = {user: _row(sum(right), len(right)) for user, right in users.items()}
    return dict(sorted(rows.items(), key=lambda row: (row[1]["accuracy"], row[0])))


def curve(probs: NDArray[np.float64], y: NDArray[np.int64]) -> dict[str, Any]:
    return {"expected_error": expected_error(probs, y), "bins": [asdict(one) for one in reliability(probs, y)]}


def _row(right: int, n: int) -> dict[str, Any]:
    low, high = clopper_pearson(right, n)
    return {"n": n, "right": right, "accuracy": right / n, "low": low, "high": high}


def _pairs_sheet(answers: Sequence[Answer], path: Path) -> None:
    """The pictures of the most confused pairs, the surest errors first."""
    parts = []
    for pair in pairs(answers)[:PAIRS]:
        those = [one for one in answers if (one.truth, one.said) == (pair["is"], pair["said"])]
        those.sort(key=lambda one: -one.confidence)
        notes = [(one.path.name, f"{one.confidence:.0%} sure") for one in those[:EACH]]
        heading = f"{pair['is']} taken for {pair['said']}: {pair['n']}"
        parts.append((heading, tiles([one.path for one in those[:EACH]], notes)))
    sheet(parts or [("no errors", [])]).save(path, "PNG")
