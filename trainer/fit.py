"""How is resnet34 trained? With fastai: one cycle from scratch, or the article's two stages on pretrained weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import Learner  # fit_one_cycle is patched in by this module
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from fastai.torch_core import set_seed
from fastai.vision.learner import create_vision_model, model_meta
from numpy.typing import NDArray
from torch import nn
from torchvision.models import resnet34

from ticketbot.errors import TrainingFailed
from trainer import body, ranks, teach
from trainer.batches import Batches
from trainer.data.pictures import Picture
from trainer.data.split import held_out
from trainer.parts import InParts
from trainer.progress import Progress
from trainer.recipe import Network, Sizes
from trainer.trained import Trained, logits_of

SETTLE_BATCHES = 24


def fit(
    pictures: Sequence[Picture],
    inputs: NDArray[np.uint8],
    classes: int,
    choice: body.Choice,
    recipe: Network,
    valid_share: float,
    progress: Progress,
    seed: int,
    lessons: NDArray[np.float32] | None = None,
) -> Trained:
    """Train resnet34 on pictures (inputs: N x px x px x 3; lessons: of trainer.teach). Raises TrainingFailed."""
    set_seed(seed, reproducible=True)
    labels = np.array([one.label for one in pictures], dtype=np.int64)
    kept = held_out(labels.tolist(), [one.group for one in pictures], valid_share, seed)
    valid = np.array([one.group in kept for one in pictures])
    watch = Watch(progress)
    learn = learner(inputs, labels, valid, classes, choice, recipe, watch, seed, lessons)
    with ranks.together(learn, seed):
        if choice.state is None:
            from_scratch(learn, watch, recipe, int((~valid).sum()))
        else:
            from_weights(learn, watch, recipe)
    ranks.end_others()
    module = served(learn).cpu().to(memory_format=torch.contiguous_format).eval()
    held = logits_of(module, inputs[valid]) if valid.any() else np.zeros((0, classes), np.float32)
    notes = [f"trained in {ranks.count()} processes, a share of every batch each"] if ranks.count() > 1 else []
    return Trained(module, (held, labels[valid]), watch.curve, notes)


def learner(
    inputs: NDArray[np.uint8],
    labels: NDArray[np.int64],
    valid: NDArray[np.bool_],
    classes: int,
    choice: body.Choice,
    recipe: Network,
    watch: Watch,
    seed: int,
    lessons: NDArray[np.float32] | None = None,
) -> Learner:
    """fastai's Learner over pictures in memory. Its model takes uint8 pixels, as the exported one does.

    With lessons (N x dims) its model also guesses those while it learns: see trainer.teach, and `served`.
    """
    targets = torch.from_numpy(labels)
    aims = targets if lessons is None else torch.from_numpy(np.hstack([labels[:, None].astype(np.float32), lessons]))
    train = Batches(inputs[~valid], aims[~valid], recipe.batch, size=watch.px, recipe=recipe, seed=seed)
    test = Batches(inputs[valid], targets[valid], recipe.batch, size=lambda: recipe.px)
    network = create_vision_model(
        resnet34, classes, pretrained=False, custom_head=None if choice.state else plain_head(classes)
    )
    if choice.state is not None:
        network[0].load_state_dict(_body_state(choice.state))
    low = in_bf16(recipe.precision)
    # On the same idle cores: bf16 is faster with channels last (79 pictures a second), fp32 without (44 against 35).
    layout = torch.channels_last if low else torch.contiguous_format
    model = network if lessons is None else teach.Taught(network, lessons.shape[1])
    is_apart = ranks.count() > 1 or ranks.device().type != "cpu"
    return InParts(
        DataLoaders(train, test, device=torch.device("cpu")),
        body.Served(model).to(ranks.device(), memory_format=layout),
        opt_func=adamw,
        loss_func=CrossEntropyLossFlat(label_smoothing=recipe.label_smoothing)
        if lessons is None
        else teach.Lesson(classes, recipe.scratch.teach, recipe.label_smoothing),
        splitter=groups,
        metrics=[accuracy],
        wd=recipe.weight_decay,
        cbs=[watch],
        # With weights the head has dropout, whose dice several parts would have to share.
        parts=recipe.scratch.parts if choice.state is None and not is_apart else 1,
        low=low,
    )


def groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """First layers, later layers, head: what may learn at rates of its own. What only learning needs is of the head."""
    taught = isinstance(model.body, teach.Taught)
    found = [list(part) for part in model_meta[resnet34]["split"](model.body.network if taught else model.body)]
    return [*found[:-1], found[-1] + (list(model.body.guess.parameters()) if taught else [])]


def served(learn: Learner) -> nn.Module:
    """What answers: the model without what only learning needs."""
    inner = learn.model.body
    return body.Served(inner.network) if isinstance(inner, teach.Taught) else learn.model


# fastai's own Adam walks over every parameter many times a step in Python: with a batch of 16 on two idle
# cores, 768 pictures of 96 px in bf16, 26 pictures a second against 78 with this one.
adamw = partial(OptimWrapper, opt=torch.optim.AdamW, fused=True)


def plain_head(classes: int) -> nn.Module:
    """resnet34's own last layer. fastai's, with its dropout, is made for a body that knows something already."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def from_scratch(learn: Learner, watch: Watch, recipe: Network, count: int) -> None:
    """One cycle over all sizes."""
    plan = recipe.scratch
    passes = max(1, min(plan.passes, plan.seen_max // max(1, count)))
    watch.plan(plan.sizes, passes)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(passes, plan.lr)
    settle(learn)


def from_weights(learn: Learner, watch: Watch, recipe: Network) -> None:
    """The head with the body frozen; then all of it, the first layers a hundredth as fast."""
    plan = recipe.pretrained
    watch.plan([[0.0, recipe.px]], plan.frozen_passes + plan.passes)
    with learn.no_bar(), learn.no_logging():
        learn.freeze()
        learn.fit_one_cycle(plan.frozen_passes, plan.frozen_lr)
        learn.unfreeze()
        learn.fit_one_cycle(plan.passes, slice(plan.lr / 100, plan.lr))


def settle(learn: Learner) -> None:
    """Batch norm's averages anew, of the final weights and size: those from the way there are of another network."""
    norms = [one for one in learn.model.modules() if isinstance(one, nn.BatchNorm2d | nn.BatchNorm1d)]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # a plain average
    learn.model.train()
    with torch.no_grad():
        for pixels, _ in islice(learn.dls.train, SETTLE_BATCHES):
            learn.model(pixels.to(ranks.device()))
    learn.model.eval()


class Watch(Callback):
    """Says how far the training is, which size it has come to, and ends it as soon as the loss is no number."""

    order = 100

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.sizes: Sizes = []
        self.passes, self.passed, self.done = 1, 0, 0.0
        self.curve: list[dict[str, Any]] = []

    def plan(self, sizes: Sizes, passes: int) -> None:
        self.sizes, self.passes = sizes, passes

    def px(self) -> int:
        """The present size: that of the last step whose share of the training is reached."""
        return int([px for share, px in self.sizes if share <= self.passed / self.passes][-1])

    def after_loss(self) -> None:
        if self.training and not math.isfinite(float(self.learn.loss.detach())):
            raise TrainingFailed(
                f"the loss is no number any more in pass {self.passed + 1}: lower the learning rate in the recipe"
            )

    def after_batch(self) -> None:
        if self.training:
            self.progress.say("training", round(self.passed + self.iter / self.n_iter, 2), self.passes)

    def after_epoch(self) -> None:
        train, *rest = self.learn.recorder.log[1:]
        values = dict(zip(["valid_loss", "valid_accuracy"], rest, strict=False))
        self.curve.append({"pass": self.passed + 1, "px": self.px(), "train_loss": train} | values)
        self.passed += 1


def in_bf16(precision: str) -> bool:
    if ranks.device().type == "cuda":
        return precision != "fp32" and torch.cuda.is_bf16_supported()
    if precision == "auto":
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return precision == "bf16"


def _body_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """torchvision's names (conv1, bn1, layer1…) to those of fastai's body, a Sequential without its last two."""
    order = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    parts = [(name.partition("."), value) for name, value in state.items() if not name.startswith("fc.")]
    return {f"{order.index(first)}.{rest}": value for (first, _, rest), value in parts}
