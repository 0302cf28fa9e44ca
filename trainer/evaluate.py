"""How good is a bundle on a folder of pictures per class? The answer of `trainer evaluate --json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketbot.judge import metrics
from ticketbot.judge.engine import Engine
from trainer.data import pictures
from trainer.data.cache import Cache
from trainer.data.pictures import View
from trainer.progress import Progress


def evaluate(folder: Path, data: Path, cache: Cache, progress: Progress) -> dict[str, Any]:
    """metrics.evaluate's keys. Raises BundleRefused or UsageError."""
    engine, found, probs = asked(folder, data, cache, progress)
    manifest, unreadable = engine.manifest, [label for _, label, _ in found.unreadable]
    delta = manifest.promise.get("delta", 0.05)
    return metrics.evaluate(
        probs, found.labels(), manifest.classes, manifest.thresholds, unreadable=unreadable, delta=delta
    )


def asked(
    folder: Path, data: Path, cache: Cache, progress: Progress
) -> tuple[Engine, pictures.Dataset, NDArray[np.float64]]:
    """The bundle, the pictures, and what it says of them (N x C). Raises BundleRefused or UsageError."""
    engine = Engine(folder, intra_threads=2)
    first = engine.manifest.stages[0]
    view = View(engine.manifest.canonical_px, first.input_px, first.geometry)
    found = pictures.read(data, cache, view, progress, engine.manifest.classes)
    return engine, found, _probabilities(engine, found, cache, view, progress)


def _probabilities(
    engine: Engine, data: pictures.Dataset, cache: Cache, view: View, progress: Progress
) -> NDArray[np.float64]:
    if len(engine.manifest.stages) > 1:
        from trainer.export import answers

        return answers(engine, [one.path for one in data.pictures])
    found = np.zeros((len(data.pictures), len(engine.classes)))
    for at in range(0, len(found), 16):
        progress.say("answering", at, len(found))
        found[at : at + 16] = engine.probabilities(pictures.inputs(data.pictures[at : at + 16], cache, view))
    return found
