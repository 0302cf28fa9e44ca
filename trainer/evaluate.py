"""How good is a bundle on a folder of pictures per class? The answer of `trainer evaluate --json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ticketbot.judge import metrics
from ticketbot.judge.engine import Engine
from trainer.data import pictures
from trainer.data.cache import Cache
from trainer.data.pictures import View
from trainer.progress import Progress


def evaluate(folder: Path, data: Path, cache: Cache, progress: Progress) -> dict[str, Any]:
    """metrics.evaluate's keys. Raises BundleRefused or UsageError."""
    engine = Engine(folder, intra_threads=2)
    manifest = engine.manifest
    first = manifest.stages[0]
    view = View(manifest.canonical_px, first.input_px, first.geometry)
    found = pictures.read(data, cache, view, progress, manifest.classes)
    probs = _probabilities(engine, found, cache, view, progress)
    unreadable = [label for _, label, _ in found.unreadable]
    delta = manifest.promise.get("delta", 0.05)
    return metrics.evaluate(
        probs, found.labels(), manifest.classes, manifest.thresholds, unreadable=unreadable, delta=delta
    )


def _probabilities(engine: Engine, data: pictures.Dataset, cache: Cache, view: View, progress: Progress) -> np.ndarray:
    if len(engine.manifest.stages) > 1:
        from trainer.export import answers

        return answers(engine, [one.path for one in data.pictures])
    found = np.zeros((len(data.pictures), len(engine.classes)))
    for at in range(0, len(found), 16):
        progress.say("answering", at, len(found))
        found[at : at + 16] = engine.probabilities(pictures.inputs(data.pictures[at : at + 16], cache, view))
    return found
