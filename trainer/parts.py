"""How does one batch keep all processors busy? In parts, each a share of the batch on a share of the processors.

torch's own way is all processors on one layer at a time. At the end of each layer they wait for the slowest, and some
of its kernels wait spinning: with other work on two cores (load 10) that came to 3 to 7 pictures a second, in two parts
to 10 to 25. Batch norm sees a part by itself, so the number of parts belongs to the recipe, not to the machine.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from fastai.callback.schedule import Learner  # fit_one_cycle is patched in by this module
from torch import nn

from trainer import ranks


class InParts(Learner):
    """fastai's Learner, with its training batches calculated in `parts`, in bfloat16 when `low`.

    The gradient is the mean of the parts', added in their order: the same seed gives the same run. Nothing in the model
    may throw dice (dropout), which the parts would have to share.
    """

    def __init__(self, *args: Any, parts: int, low: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts, self.low = parts, low
        self.kind = next(self.model.parameters()).device.type
        # On a GPU, or with a part in each of several processes, torch's own way: they listen to its backward pass.
        self.whole = self.kind != "cpu" or ranks.count() > 1
        # Of the twins only the first, the model itself, keeps batch norm's averages that are used.
        self.twins = [self.model, *(twin(self.model) for _ in range(parts - 1))]

    def _do_fit(self) -> None:
        share = max(1, torch.get_num_threads() // self.parts)
        with ThreadPoolExecutor(self.parts, initializer=torch.set_num_threads, initargs=(share,)) as self.threads:
            super()._do_fit()

    def _do_one_batch(self) -> None:
        if not self.training or self.whole:
            with torch.autocast(self.kind, torch.bfloat16, enabled=self.low):
                super()._do_one_batch()
            return
        whole = zip(*(one.chunk(self.parts) for one in (*self.xb, *self.yb)), strict=True)
        found = list(self.threads.map(self._part, self.twins, whole))
        self.pred = torch.cat([pred for pred, _, _ in found])
        self("after_pred")
        self.loss = torch.stack([loss for _, loss, _ in found]).mean()
        self("after_loss")
        self.gradients = [grads for _, _, grads in found]
        self._do_grad_opt()

    def _part(self, model: nn.Module, batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor, list]:
        """One part's logits, loss and gradients."""
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low):
            pred = model(*batch[: len(self.xb)])
        loss = self.loss_func(pred.float(), *batch[len(self.xb) :])
        return pred.detach().float(), loss.detach(), list(torch.autograd.grad(loss, list(learning(model))))

    def _backward(self) -> None:
        if self.whole:
            super()._backward()
            return
        first, *others = self.gradients
        for more in others:
            torch._foreach_add_(first, more)
        mean = torch._foreach_div(first, float(len(self.gradients)))
        for parameter, gradient in zip(learning(self.model), mean, strict=True):
            parameter.grad = gradient


def learning(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [one for one in model.parameters() if one.requires_grad]


def twin(model: nn.Module) -> nn.Module:
    """A copy with buffers of its own and the very same parameters."""
    return copy.deepcopy(model, {id(one): one for one in model.parameters()})
