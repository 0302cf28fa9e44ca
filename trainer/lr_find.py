"""Which learning rate does this data like? fastai's finder, made to survive short and diverging runs.

The loss is measured while the rate grows from 1e-7 to 10. A suggestion needs a curve with a valley in it; where there
is none, the answer is words and the recipe's own rate stays.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.data.cache import Cache
from trainer.progress import Progress
from trainer.recipe import Recipe

LEAST_POINTS = 10  # fastai drops the first tenth and the last five; of fewer nothing can be read
STEPS = 100


@dataclass(frozen=True)
class Found:
    """The curve, and a rate or the reason why there is none."""

    rates: list[float]
    losses: list[float]
    suggestion: float | None
    why: str


def suggestion(rates: Sequence[float], losses: Sequence[float]) -> tuple[float | None, str]:
    """The middle of the longest falling stretch of the curve (fastai's "valley"), or None and why.

    Pure. What comes after a loss that is no number, and the blow-up after the lowest loss, is not looked at.
    """
    end = next((at for at, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    if end < LEAST_POINTS:
        return None, "the loss is no number from the start" if end < len(losses) else "too few steps to see anything"
    lowest = min(range(end), key=lambda at: losses[at])
    length, before = [1] * (lowest + 1), list(range(-1, lowest))
    for at in range(lowest + 1):
        earlier = [one for one in range(at) if losses[one] > losses[at]]
        before[at] = max(earlier, key=lambda one: length[one], default=-1)
        length[at] = length[before[at]] + 1 if before[at] >= 0 else 1
    last = max(range(lowest + 1), key=lambda at: length[at])
    if length[last] < LEAST_POINTS // 2:
        return None, "the loss never fell: the data or the labels teach it nothing, or the first rate is too high"
    first = last - length[last] + 1
    return float(rates[first + length[last] // 2]), "in the longest falling stretch of the curve"


def find(data: Path, recipe: Recipe, weights: str, cache: Cache, progress: Progress, *, seed: int = 7) -> Found:
    """Train resnet34 a hundred steps at growing rates. Raises UsageError."""
    from fastai.callback.schedule import LRFinder

    from trainer import fit as network
    from trainer.run import Order, prepared
    from trainer.stages import Desk

    class Quiet(network.Watch):
        """A loss that is no number is what the finder is there to see."""

        def after_loss(self) -> None:
            return

        def after_epoch(self) -> None:
            return

    order = Order(data, Path(), recipe, arch="resnet34", weights=weights, seed=seed)
    desk = Desk(order, prepared(order, cache, progress), cache, progress)
    watch = Quiet(progress)
    watch.plan([[0.0, recipe.resnet34.px]], 1)
    learn = desk.learner(watch, 0)
    finder = LRFinder(num_it=STEPS)
    # The finder keeps the weights it found, to put them back; not in the folder one happens to be in.
    with tempfile.TemporaryDirectory(prefix="trainer-lr-") as folder, learn.no_bar(), learn.no_logging():
        learn.path = Path(folder)
        learn.fit(STEPS // len(learn.dls.train) + 1, cbs=finder)
    rates, losses = [float(one) for one in learn.recorder.lrs], [float(one) for one in learn.recorder.losses]
    return Found(rates, losses, *suggestion(rates, losses))
