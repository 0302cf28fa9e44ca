"""How does one train in the article's stages, keeping each?

    stage-1   the head alone, the body frozen (without weights there is nothing to freeze: the one cycle from scratch)
    stage-2   everything, the first layers a hundredth as fast: lr_max = slice(lr / 100, lr)

Each is a file in the run's folder, written whole, beside run.json, which says what it was trained of. A run that was
killed goes on after its last stage, and comes to the same weights as one that was not: every stage starts its dice
anew. `export` makes a bundle of either stage, measured and judged as `trainer retrain` does.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.schedule import Learner
from fastai.torch_core import set_seed
from numpy.typing import NDArray

from ticketbot.contracts import bundle
from ticketbot.contracts.files import write_json, write_whole
from ticketbot.errors import UsageError
from trainer import export as exporting
from trainer import fit as network
from trainer import run
from trainer.data import pictures
from trainer.data.cache import Cache
from trainer.data.split import held_out
from trainer.progress import Progress
from trainer.run import Ground, Order
from trainer.trained import Trained, logits_of

STAGES = ("stage-1", "stage-2")
RUN = "run.json"


def fit(order: Order, cache: Cache, progress: Progress) -> Path:
    """Train what is missing of the run in order.out. -> its last stage's file. Raises UsageError, TrainingFailed."""
    ground = run.prepared(order, cache, progress)
    _same_run(order, ground)
    desk = Desk(order, ground, cache, progress)
    for number, name in enumerate(STAGES):
        path = order.out / f"{name}.pth"
        if path.exists():
            progress.note(f"{name} is there already")
            continue
        progress.note(f"{name}: {_plan(number, ground)}")
        watch = network.Watch(progress)
        learn = desk.learner(watch, number)
        if number:
            learn.model.load_state_dict(_read(order.out / f"{STAGES[number - 1]}.pth")["model"])
        _train(learn, watch, number, ground, order, desk)
        _keep(path, learn, watch)
    return path


def export(order: Order, kept: Path, stage: str, cache: Cache, progress: Progress) -> bundle.Manifest:
    """The bundle of a stage of the run in the folder `kept`, at order.out. order: as the run's, but for `out`.

    Raises UsageError, TrainingFailed.
    """
    started_at = time.time()
    run.check_out(order.out)
    state = _read(kept / f"{stage}.pth")
    ground = run.prepared(order, cache, progress)
    if _facts(order, ground) != (known := _known(kept)):
        raise UsageError(f"{kept} was trained on something else: {_differing(_facts(order, ground), known)}")
    desk = Desk(order, ground, cache, progress)
    learn = desk.learner(network.Watch(progress), 0)
    learn.model.load_state_dict(state["model"])
    module = network.served(learn).to(memory_format=torch.contiguous_format).eval()
    trained = Trained(module, desk.calibration(module), state["curve"], [f"{stage} of a run in stages"])
    return run.concluded(order, ground, trained, cache, progress, started_at)


class Desk:
    """What every stage trains on: the pictures as the network sees them, and which of them only calibrate."""

    def __init__(self, order: Order, ground: Ground, cache: Cache, progress: Progress) -> None:
        self.order, self.ground = order, ground
        self.inputs = pictures.inputs(ground.train.pictures, cache, ground.view)
        self.lessons = run.lessons_for(ground.train, ground.choice, order, cache, progress)
        self.labels = ground.train.labels()
        groups = [one.group for one in ground.train.pictures]
        kept = held_out(self.labels.tolist(), groups, order.recipe.data.valid_share, order.seed)
        self.valid = np.array([group in kept for group in groups])

    def learner(self, watch: network.Watch, stage: int) -> Learner:
        """A new one, its dice started for this stage."""
        seed = self.order.seed + stage
        set_seed(seed, reproducible=True)
        classes, choice = len(self.ground.train.classes), self.ground.choice
        return network.learner(
            self.inputs, self.labels, self.valid, classes, choice, self.order.recipe.resnet34, watch, seed, self.lessons
        )

    def calibration(self, module: torch.nn.Module) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        empty = np.zeros((0, len(self.ground.train.classes)), np.float32)
        return (logits_of(module, self.inputs[self.valid]) if self.valid.any() else empty), self.labels[self.valid]


def _train(learn: Learner, watch: network.Watch, stage: int, ground: Ground, order: Order, desk: Desk) -> None:
    recipe = order.recipe.resnet34
    plan, count = recipe.pretrained, int((~desk.valid).sum())
    if stage == 0 and ground.choice.state is None:
        network.from_scratch(learn, watch, recipe, count)
        return
    passes, lr = (plan.frozen_passes, plan.frozen_lr) if stage == 0 else (plan.passes, slice(plan.lr / 100, plan.lr))
    watch.plan([[0.0, recipe.px]], passes)
    freeze: Callable[[], None] = learn.freeze if stage == 0 else learn.unfreeze
    with learn.no_bar(), learn.no_logging():
        freeze()
        learn.fit_one_cycle(passes, lr)
    if ground.choice.state is None:
        network.settle(learn)


def _plan(stage: int, ground: Ground) -> str:
    if stage:
        return "everything, the first layers a hundredth as fast"
    return "everything, without weights to start from" if ground.choice.state is None else "the head, the body frozen"


def _keep(path: Path, learn: Learner, watch: network.Watch) -> None:
    stream = io.BytesIO()
    torch.save({"model": learn.model.state_dict(), "curve": watch.curve}, stream)
    write_whole(path, stream.getvalue())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {"model": found["model"], "curve": found["curve"]}
    except FileNotFoundError:
        raise UsageError(f"{path} is not there: train it with `trainer fit`") from None
    except Exception as error:  # torch raises whatever its readers raise; to the caller it is one thing
        raise UsageError(f"{path}: not a stage torch reads safely: {str(error)[:200]}") from None


def _same_run(order: Order, ground: Ground) -> None:
    """Begin the run, or make sure that this is it."""
    order.out.mkdir(parents=True, exist_ok=True)
    facts = _facts(order, ground)
    if not (order.out / RUN).exists():
        if any((order.out / f"{name}.pth").exists() for name in STAGES):
            raise UsageError(f"{order.out} has stages and no {RUN}; give a new folder with --out")
        write_json(order.out / RUN, facts)
    elif facts != (known := _known(order.out)):
        differ = _differing(facts, known)
        raise UsageError(f"{order.out} is a run of something else ({differ}); give a new folder with --out")


def _facts(order: Order, ground: Ground) -> dict[str, Any]:
    """What decides the weights: another value, another training."""
    parts = {"data", "resnet34"} | ({"efficientnet_lite0"} if run.is_taught(ground.choice, order.recipe) else set())
    return {
        "data": exporting.snapshot_facts(ground.data, ground.held)["hash"],
        "extra": order.extra.name if order.extra else None,
        "classes": list(ground.data.classes),
        "recipe": {name: part for name, part in order.recipe.as_json().items() if name in parts},
        "seed": order.seed,
        "weights": ground.choice.weights,
    }


def _known(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / RUN).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / RUN} cannot be read: {error}") from None


def _differing(facts: dict[str, Any], known: dict[str, Any]) -> str:
    return ", ".join(key for key in facts if facts[key] != known.get(key)) or "format"
