"""How is a model trained on another machine, and why may it go live here?

What goes out is a folder of copies (contracts/order.py); `retrain.away` carries it there and brings a bundle back:
files, nothing else. They are read as any foreign bundle is (shelf.register: hashes, signature, classes, golden
pictures, a first run in a child). What the bundle says of itself then decides nothing: it is measured here, on the
pictures that were held out, and this machine's own verdict is the one that counts.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts import order as contract
from ticketbot.contracts import snapshot
from ticketbot.contracts.bundle import Manifest
from ticketbot.contracts.order import Order
from ticketbot.contracts.snapshot import Item, Snapshot
from ticketbot.errors import ImageError, SettingsError, TrainingFailed
from ticketbot.imaging.decode import DecoderPool
from ticketbot.judge import gate
from ticketbot.judge.engine import Engine
from ticketbot.judge.intervals import enough
from ticketbot.settings import Settings

ORDER = "order"
# int8 answers up to .011 differently on another processor (docs/training.md); the picture that a threshold was read
# from must not fall through for that.
ROUNDING = 0.02
# How far the accuracy it claims may lie above what we find on the same pictures.
CLAIM_SLACK = 0.02
BATCH = 100

Progress = Callable[[dict[str, Any]], None]


def pack(settings: Settings, folder: Path, champion: Path | None) -> Path:
    """Make the folder that goes out beside the training's snapshot. Raises SettingsError without a command.

    The copies are taken away by `forget` when the training has ended, however it did.
    """
    rules = settings.retrain
    if not rules.away:
        raise SettingsError("retrain.away is empty: say which command trains elsewhere, or set retrain.where = 'local'")
    out = folder / ORDER
    out.mkdir(parents=True)
    snapshot.pack(folder / "snapshot", out / contract.SNAPSHOT)
    if champion is not None:
        shutil.copytree(champion, out / contract.CHAMPION)
    if rules.recipe:
        shutil.copyfile(rules.recipe, out / contract.RECIPE)
    weights = rules.weights
    if weights not in ("imagenet", "none"):
        shutil.copyfile(weights, out / contract.WEIGHTS)
        weights = contract.WEIGHTS
    promise = settings.model.promise, settings.model.delta
    contract.write(out, Order(rules.arch, weights, rules.min_per_category, *promise))
    return out


def command(settings: Settings, order: Path, bundle: Path) -> list[str]:
    """retrain.away with its places filled in."""
    places = {"{python}": sys.executable, "{order}": str(order), "{bundle}": str(bundle)}
    words = list(settings.retrain.away)
    for name, value in places.items():
        words = [word.replace(name, value) for word in words]
    return words


def forget(settings: Settings) -> None:
    """Copies of pictures that went out, also those of a service that was killed while it waited."""
    for left in (settings.data_dir / "trainings").glob(f"*/{ORDER}"):
        shutil.rmtree(left, ignore_errors=True)


def measured(
    settings: Settings,
    decoders: DecoderPool,
    sent: Snapshot,
    place: Path,
    champion: Path | None,
    progress: Progress,
    stopping: threading.Event | None = None,
) -> dict[str, Any]:
    """Our own verdict on a bundle that came back, in the form of a manifest's `gate`.

    sent: as read from its folder (its root is absolute); place: the bundle on our shelf. Raises TrainingFailed when
    told to stop.
    """
    engine, theirs = Engine(place), Engine(champion) if champion else None
    held = [item for item in sent.items if item.split == "holdout"]
    said, right_before = _answers(settings, decoders, sent, held, engine, theirs, progress, stopping)
    y = np.array([sent.classes.index(item.label) for item in held], dtype=np.int64)
    read = np.isfinite(said).all(axis=1) if len(said) else np.zeros(0, bool)
    said, y, right_before = said[read], y[read], right_before[read]
    right = said.argmax(axis=1) == y if len(y) else np.zeros(0, bool)
    counts = Counter(item.label for item in sent.items)
    verdict = gate.decide(
        right,
        y,
        sent.classes,
        labels=counts,
        min_per_category=settings.retrain.min_per_category,
        champion_right=None if theirs is None else right_before,
        champion_labels=int(theirs.manifest.snapshot.get("n", 0)) if theirs else 0,
        classes_changed=theirs is not None and theirs.classes != sent.classes,
    )
    if wrong := _untrue(engine.manifest, sent, right, said, y, settings):
        verdict = replace(verdict, promote=False, reason=f"{wrong}; a person must decide", offered=True)
    return {
        "promote": verdict.promote,
        "reason": f"measured here: {verdict.reason}",
        "p_value": verdict.p_value,
        "champion": theirs.model_id if theirs else None,
        "offered": verdict.offered,
    }


def _answers(
    settings: Settings,
    decoders: DecoderPool,
    sent: Snapshot,
    held: list[Item],
    engine: Engine,
    theirs: Engine | None,
    progress: Progress,
    stopping: threading.Event | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(probabilities N x C in the snapshot's classes, NaN where a picture cannot be read; was the champion right?)"""
    columns = [engine.classes.index(name) if name in engine.classes else None for name in sent.classes]
    said, right = np.full((len(held), len(sent.classes)), np.nan), np.zeros(len(held), bool)

    def look(number: int) -> None:
        item = held[number]
        try:
            data = (Path(sent.root) / item.file).read_bytes()
            rgb = decoders.decode(data, max_px=engine.manifest.canonical_px).rgb
            other = rgb
            if theirs and theirs.manifest.canonical_px != engine.manifest.canonical_px:
                other = decoders.decode(data, max_px=theirs.manifest.canonical_px).rgb
        except (ImageError, OSError):
            return
        row = engine.answer([rgb])[0]
        said[number] = [0.0 if at is None else row[at] for at in columns]
        if theirs:
            right[number] = theirs.classes[int(theirs.answer([other])[0].argmax())] == item.label

    with ThreadPoolExecutor(settings.classify.decoders) as threads:
        for start in range(0, len(held), BATCH):
            if stopping is not None and stopping.is_set():
                raise TrainingFailed("the service stopped while it measured what came back")
            progress({"stage": "measuring what came back", "done": start, "total": len(held)})
            list(threads.map(look, range(start, min(start + BATCH, len(held)))))
    return said, right


def _untrue(
    manifest: Manifest,
    sent: Snapshot,
    right: NDArray[np.bool_],
    said: NDArray[np.float64],
    y: NDArray[np.int64],
    settings: Settings,
) -> str | None:
    """What the bundle claims and is not so, in words; None when all of it holds here."""
    if manifest.classes != sent.classes:
        return f"its classes are {', '.join(manifest.classes)}, not those that were asked for"
    if manifest.snapshot.get("hash") != sent.hash:
        return "it was not trained on (exactly) the pictures that were sent"
    claimed, found = manifest.metrics.get("accuracy"), float(right.mean()) if len(right) else 0.0
    if isinstance(claimed, int | float) and claimed > found + CLAIM_SLACK:
        return f"it claims {claimed:.1%} right, and is {found:.1%} right here"
    best, confidence = (said.argmax(axis=1), said.max(axis=1)) if len(y) else (y, np.zeros(0))
    for number, name in enumerate(sent.classes):
        rule = manifest.thresholds.get(name)
        if rule is None or rule.threshold is None:
            continue
        if not isinstance(rule.threshold, int | float):
            return f"its threshold for {name} is no number"
        of_class = best == number
        if not any(
            _keeps(right, of_class & (confidence >= rule.threshold - slack), settings) for slack in (0.0, ROUNDING)
        ):
            return f"its promise for {name} is not proven by the pictures held out here"
    return None


def _keeps(right: NDArray[np.bool_], accepted: NDArray[np.bool_], settings: Settings) -> bool:
    """Do the accepted pictures prove the promise?"""
    errors = int((accepted & ~right).sum())
    return int(accepted.sum()) >= enough(errors, settings.model.promise, settings.model.delta)
