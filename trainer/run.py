"""The recipe, read aloud: look at the pictures, keep some out, train, measure on those, judge, write the bundle."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ticketbot.contracts import bundle
from ticketbot.errors import UsageError
from ticketbot.judge import gate, metrics, temperature, thresholds
from ticketbot.judge.calibration import expected_error, reliability
from ticketbot.judge.engine import Engine
from trainer import body, cascade, export
from trainer.data import pictures, rendered, split
from trainer.data.cache import Cache
from trainer.data.pictures import Dataset, Picture, View
from trainer.progress import Progress
from trainer.recipe import Recipe
from trainer.trained import Trained, logits_of


@dataclass(frozen=True)
class Order:
    """What was asked for. promise, delta: of the precision of what is tagged by itself; extra: see the command."""

    data: Path
    out: Path
    recipe: Recipe
    arch: str = "auto"
    weights: str = "imagenet"
    seed: int = 7
    cleaned: Path | None = None
    extra: Path | None = None
    champion: Path | None = None
    min_per_class: int | None = None
    promise: float = 0.95
    delta: float = 0.05
    sign_key: bytes | None = None


@dataclass(frozen=True)
class Ground:
    """What a training stands on. `train`: with the extra pictures; `held`: kept out; `data`: both, without extras."""

    choice: body.Choice
    view: View
    data: Dataset
    train: Dataset
    held: Dataset


@dataclass(frozen=True)
class Measured:
    """How the trained network did on the held-out pictures."""

    temperature: float
    thresholds: dict[str, bundle.Threshold]
    metrics: dict[str, Any]
    probs: NDArray[np.float64]
    y: NDArray[np.int64]


def retrain(order: Order, cache: Cache, progress: Progress) -> bundle.Manifest:
    """Train and write a bundle to order.out; the manifest's `gate` says whether it may go live.

    Raises UsageError for bad input, TrainingFailed when the training diverges or the export differs from it.
    """
    started_at = time.time()
    check_out(order.out)
    ground = prepared(order, cache, progress)
    trained = fit(ground.train, ground.choice, order, ground.view, cache, progress)
    return concluded(order, ground, trained, cache, progress, started_at)


def prepared(order: Order, cache: Cache, progress: Progress) -> Ground:
    """Choose the network, read the pictures, keep some out. Raises UsageError."""
    choice = body.choose(order.arch, order.weights, progress)
    view = view_of(order.recipe, choice.arch)
    also = (teacher_view(order.recipe),) if is_taught(choice, order.recipe) else ()
    data = _data(order, cache, view, progress, also)
    train, held = data.only(lambda one: one.split == "train"), data.only(lambda one: one.split == "holdout")
    _check_classes(train)
    return Ground(choice, view, data, _with_extra(train, choice.arch, order, cache, view, progress), held)


def concluded(
    order: Order, ground: Ground, trained: Trained, cache: Cache, progress: Progress, started_at: float
) -> bundle.Manifest:
    """Measure, judge, and write the bundle. Raises TrainingFailed when the export differs from the training."""
    choice, view, data, held = ground.choice, ground.view, ground.data, ground.held
    asked = (held if held.pictures else ground.train).pictures
    shown = pictures.inputs(asked, cache, view)
    logits = np.zeros((0, len(held.classes)), np.float32)
    if held.pictures:
        logits = said_of(trained.module, asked, shown, ground, order, cache, progress)
    measured = measure(trained, logits, held, order)
    final = _refitted(trained, data, choice, order, view, cache, progress)
    progress.say("export", 0, 1)
    with _new_folder(order.out) as folder:
        network = export.network(
            folder,
            final.module,
            trained.module,
            shown,
            held.labels(),
            _samples(ground, order, cache),
            measured.temperature,
            order.recipe.export,
            cache,
            said_of(final.module, asked, shown, ground, order, cache, progress),
            at_hand(trained.module, measured, ground, order, cache, progress),
        )
        if network.logits is not None:  # what serves is what is measured
            measured = measure(trained, network.logits, held, order)
        verdict = judge(measured, data, held, order)
        manifest = _manifest(order, choice, view, data, held, final, measured, verdict, network, started_at)
        export.fill(folder, manifest, final, shown, data, measured, order.recipe.export)
        manifest = export.seal(folder, manifest, order.sign_key)
    progress.say("export", 1, 1)
    return manifest


def at_hand(
    module: nn.Module, measured: Measured, ground: Ground, order: Order, cache: Cache, progress: Progress
) -> export.Hand | None:
    """Held-out pictures, and drawn ones where those are fewer than a cascade needs; None when none is wanted."""
    wanted, held = order.recipe.export.cascade, ground.held
    if not wanted:
        return None
    some = list(held.pictures)
    lack = wanted - len(some)
    if lack > 0 and (drawn := rendered.unseen(cache, held.classes, wanted, progress)):
        more = pictures.read(drawn, cache, ground.view, progress, held.classes).pictures
        some += [more[at * len(more) // lack] for at in range(lack)]
    shown = pictures.inputs(some, cache, ground.view) if ground.choice.arch != body.SMALL else np.zeros(0, np.uint8)
    logits = said_of(module, some, shown, ground, order, cache, progress)
    return export.Hand(some, ground.view, logits, cascade.limits_of(measured.thresholds, held.classes))


def said_of(
    module: nn.Module,
    some: Sequence[Picture],
    shown: NDArray[np.uint8],
    ground: Ground,
    order: Order,
    cache: Cache,
    progress: Progress,
) -> NDArray[np.float32]:
    """Torch's logits (N x C) for pictures and their inputs; the small body's features are kept."""
    if ground.choice.arch != body.SMALL:
        return logits_of(module, shown)
    from trainer import head

    return head.logits(module, some, order.recipe.efficientnet_lite0, ground.view, cache, progress)


def view_of(recipe: Recipe, arch: str) -> View:
    part = recipe.efficientnet_lite0 if arch == body.SMALL else recipe.resnet34
    return View(recipe.data.canonical_px, part.px, part.geometry)


def is_taught(choice: body.Choice, recipe: Recipe) -> bool:
    """Does the small body help? A resnet34 without weights only."""
    return choice.arch == body.RESNET34 and choice.state is None and recipe.resnet34.scratch.teach > 0


def teacher_view(recipe: Recipe) -> View:
    """How the teacher looks at a picture: with the network's geometry, so that the same things stand in it."""
    return View(recipe.data.canonical_px, recipe.resnet34.scratch.teach_px, recipe.resnet34.geometry)


def fit(train: Dataset, choice: body.Choice, order: Order, view: View, cache: Cache, progress: Progress) -> Trained:
    """Train the chosen network on these pictures."""
    recipe = order.recipe
    if choice.arch == body.SMALL:
        from trainer import head

        return head.fit(
            train.pictures, len(train.classes), recipe.efficientnet_lite0, view, cache, progress, order.seed
        )
    from trainer import fit as network  # fastai takes seconds to import, and only this needs it

    return network.fit(
        train.pictures,
        pictures.inputs(train.pictures, cache, view),
        len(train.classes),
        choice,
        recipe.resnet34,
        recipe.data.valid_share,
        progress,
        order.seed,
        lessons_for(train, choice, order, cache, progress),
    )


def lessons_for(
    train: Dataset, choice: body.Choice, order: Order, cache: Cache, progress: Progress
) -> NDArray[np.float32] | None:
    """What the small body teaches about these pictures; None when it does not help."""
    if not is_taught(choice, order.recipe):
        return None
    from trainer import teach

    return teach.lessons(train.pictures, order.recipe, teacher_view(order.recipe), cache, progress, order.seed)


def measure(trained: Trained, logits: NDArray[np.float32], held: Dataset, order: Order) -> Measured:
    """Temperature from the calibration pictures; thresholds and metrics from the held-out ones' logits (N x C)."""
    t = temperature.fit(*trained.calibration)
    y = held.labels()
    probs = temperature.softmax(logits, t)
    proven = dict(zip(held.classes, thresholds.fit(probs, y, order.promise, order.delta), strict=True))
    found = metrics.evaluate(probs, y, held.classes, proven, delta=order.delta) if len(y) else {"n": 0}
    return Measured(t, proven, found, probs, y)


def judge(measured: Measured, data: Dataset, held: Dataset, order: Order) -> dict[str, Any]:
    """The gate's verdict, against the champion when there is one."""
    counts = np.bincount(data.labels(), minlength=len(data.classes))
    least = order.recipe.data.min_per_class if order.min_per_class is None else order.min_per_class
    facts: dict[str, Any] = {}
    champion = None
    if order.champion is not None:
        champion = Engine(order.champion)
        facts["classes_changed"] = champion.classes != data.classes
        facts["champion_labels"] = int(champion.manifest.snapshot.get("n", 0))
        facts["champion_right"] = _right(champion, held)
    right = measured.probs.argmax(axis=1) == measured.y if len(measured.y) else np.zeros(0, bool)
    verdict = gate.decide(
        right,
        measured.y,
        data.classes,
        labels={name: int(count) for name, count in zip(data.classes, counts, strict=True)},
        min_per_category=least,
        **facts,
    )
    said = {"promote": verdict.promote, "reason": verdict.reason, "p_value": verdict.p_value}
    if champion is not None:  # on the same pictures, for people who decide otherwise
        theirs = facts["champion_right"]
        said["compared"] = {"n": len(right), "right": int(right.sum()), "champion_right": int(theirs.sum())}
    return {**said, "champion": champion.model_id if champion else None, "offered": verdict.offered}


def _right(champion: Engine, held: Dataset) -> NDArray[np.bool_]:
    """Which held-out pictures does the champion answer rightly, read as it is served?"""
    said = export.answers(champion, [one.path for one in held.pictures])
    return np.array(
        [
            champion.classes[row.argmax()] == held.classes[one.label]
            for row, one in zip(said, held.pictures, strict=True)
        ],
        dtype=bool,
    )


def _data(order: Order, cache: Cache, view: View, progress: Progress, also: Sequence[View]) -> Dataset:
    data = pictures.read(order.data, cache, view, progress, also=also)
    if order.cleaned is not None:
        data = pictures.relabelled(data, order.cleaned)
    return data if data.is_snapshot else _split(data, order)


def _with_extra(train: Dataset, arch: str, order: Order, cache: Cache, view: View, progress: Progress) -> Dataset:
    """Training pictures, those of the extra folder and drawn ones, which are never measured on."""
    folders = [order.extra] if order.extra else []
    part = order.recipe.efficientnet_lite0
    if arch == body.SMALL and (drawn := rendered.folder(cache, train.classes, part.rendered, part.clippings, progress)):
        folders.append(drawn)
    for number, folder in enumerate(folders):
        more = pictures.read(folder, cache, view, progress, train.classes)
        added = tuple(replace(one, group=f"extra {number} {one.group}", split=pictures.EXTRA) for one in more.pictures)
        train = replace(train, pictures=(*train.pictures, *added))
    return train


def _split(data: Dataset, order: Order) -> Dataset:
    data = _unique(data)
    groups = [one.group for one in data.pictures]
    kept = split.held_out(data.labels().tolist(), groups, order.recipe.data.holdout_share, order.seed)
    sides = ("holdout" if one.group in kept else "train" for one in data.pictures)
    return replace(
        data, pictures=tuple(replace(one, split=side) for one, side in zip(data.pictures, sides, strict=True))
    )


def _unique(data: Dataset) -> Dataset:
    """Each content once; one that lies in two classes is a conflict, and nobody's."""
    labels: dict[str, set[int]] = {}
    for one in data.pictures:
        labels.setdefault(one.sha256, set()).add(one.label)
    first = {one.sha256: one for one in reversed(data.pictures) if len(labels[one.sha256]) == 1}
    return data.only(lambda one: first.get(one.sha256) is one)


def _refitted(
    trained: Trained, data: Dataset, choice: body.Choice, order: Order, view: View, cache: Cache, progress: Progress
) -> Trained:
    """A folder's held-out pictures have done their duty: learn from them too. A snapshot's are never learned from."""
    if choice.arch != body.SMALL or data.is_snapshot or not order.recipe.efficientnet_lite0.refit:
        return trained
    from trainer import head

    every = _with_extra(data, choice.arch, order, cache, view, progress).pictures
    part = order.recipe.efficientnet_lite0
    again = head.refit(every, len(data.classes), part, view, cache, progress, order.seed)
    note = (
        "measured on held-out pictures; afterwards the head was fitted again on all pictures, the held-out ones too; "
        "accuracy, temperature and thresholds are those of the model before that"
    )
    return replace(trained, module=again, notes=[*trained.notes, note])


def _manifest(
    order: Order,
    choice: body.Choice,
    view: View,
    data: Dataset,
    held: Dataset,
    trained: Trained,
    measured: Measured,
    verdict: dict[str, Any],
    network: export.Network,
    started_at: float,
) -> bundle.Manifest:
    """All but files and signature."""
    where = (
        "the snapshot's pinned holdout" if data.is_snapshot else "held-out groups of the folder (sources, look-alikes)"
    )
    on = f"{len(held.pictures)} pictures of {where}"
    said = {**measured.metrics, "on": on, "majority_share": metrics.majority_share(measured.y)}
    if trained.notes:
        said["notes"] = trained.notes
    if order.extra is not None:
        said["notes"] = [*said.get("notes", []), f"learned from the extra pictures of {order.extra.name} too"]
    if choice.arch == body.SMALL and order.recipe.efficientnet_lite0.rendered and rendered.can_draw(data.classes):
        part = order.recipe.efficientnet_lite0
        drawn = f"learned from {part.rendered} drawn pictures a class and {part.clippings} drawn clippings too"
        said["notes"] = [*said.get("notes", []), f"{drawn}, measured on none"]
    said["unreadable_in_data"] = len(data.unreadable)
    said["reliability"] = [asdict(one) for one in reliability(measured.probs, measured.y)]
    said["calibration_error"] = expected_error(measured.probs, measured.y)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(started_at))
    return bundle.Manifest(
        model_id=f"{stamp}-{choice.arch.replace('_', '-')}-{uuid.uuid4().hex[:6]}",
        arch=choice.arch,
        weights=choice.weights,
        classes=data.classes,
        canonical_px=view.canonical_px,
        stages=network.stages(view),
        temperature=measured.temperature,
        thresholds=measured.thresholds,
        promise={"precision": order.promise, "delta": order.delta},
        metrics=said,
        parity=network.parity,
        gate=verdict,
        snapshot=export.snapshot_facts(data, held),
        recipe={**order.recipe.as_json(), "seed": order.seed},
        versions=export.versions(),
        created_at=time.time(),
        took_s=round(time.time() - started_at, 1),
    )


def _samples(ground: Ground, order: Order, cache: Cache) -> NDArray[np.uint8]:
    """Some training pictures, from all over; drawn ones only when there are no others."""
    own = [one for one in ground.train.pictures if one.split != pictures.EXTRA] or list(ground.train.pictures)
    count = min(order.recipe.export.int8_pictures, len(own))
    return pictures.inputs([own[at * len(own) // count] for at in range(count)], cache, ground.view)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out`, renamed to it when all went well, else removed: a bundle is there whole or not at all."""
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def check_out(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already; give a new folder with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_dir():
        out.rmdir()


def _check_classes(train: Dataset) -> None:
    found = set(train.labels().tolist())
    if len(train.classes) < 2 or len(found) < 2:
        raise UsageError("training needs pictures of two classes or more")
    if missing := [name for number, name in enumerate(train.classes) if number not in found]:
        raise UsageError(f"no picture to learn {missing[0]} from")
