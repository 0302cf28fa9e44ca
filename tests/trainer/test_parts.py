"""A batch in parts: the gradient is the mean of the parts', and the same seed gives the same run."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from trainer.batches import Batches

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # fastai's own, while it is imported
    from fastai.data.core import DataLoaders

    from trainer.parts import InParts, Learner, twin

pytestmark = pytest.mark.train

PICTURES = np.random.default_rng(7).integers(0, 255, (8, 12, 12, 3), dtype=np.uint8)
LABELS = torch.tensor([0, 1, 0, 1, 1, 0, 1, 0])


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, pixels):
        seen = self.norm(self.conv(pixels.permute(0, 3, 1, 2).float() / 255))
        return self.out(torch.relu(seen).mean((2, 3)))


def small(seed=1):
    torch.manual_seed(seed)
    return Small()


def learner(model, parts=2):
    loaders = [Batches(PICTURES, LABELS, 8, size=lambda: 12) for _ in range(2)]
    return InParts(
        DataLoaders(*loaders, device=torch.device("cpu")),
        model,
        loss_func=nn.CrossEntropyLoss(),
        parts=parts,
        low=False,
    )


def trained(model, parts=2, passes=1):
    learn = learner(model, parts)
    with learn.no_bar(), learn.no_logging():
        learn.fit(passes, 0.1)
    return learn


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_gradient_is_the_mean_of_the_parts_with_batch_norm_of_each_by_itself(parts, monkeypatch):
    model, found = small(), []
    other = copy.deepcopy(model).train()
    monkeypatch.setattr(Learner, "_step", lambda self: found.extend(p.grad.clone() for p in self.model.parameters()))
    trained(model, parts)
    pixels = torch.from_numpy(PICTURES)
    for x, y in zip(pixels.chunk(parts), LABELS.chunk(parts), strict=True):
        (nn.functional.cross_entropy(other(x), y) / parts).backward()
    for ours, expected in zip(found, (one.grad for one in other.parameters()), strict=True):
        torch.testing.assert_close(ours, expected)


def test_the_same_seed_gives_the_same_run():
    one, two = (trained(small(), passes=5).model.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["conv.weight"], small().state_dict()["conv.weight"]), "it learned"


def test_what_is_frozen_stays():
    model = small()
    model.conv.requires_grad_(False)
    trained(model)
    assert torch.equal(model.conv.weight, small().conv.weight)
    assert not torch.equal(model.out.weight, small().out.weight)


def test_a_twin_has_the_same_parameters_and_averages_of_its_own():
    model = small()
    other = twin(model)
    assert all(one is two for one, two in zip(model.parameters(), other.parameters(), strict=True))
    other.norm.running_mean += 1
    assert not torch.equal(model.norm.running_mean, other.norm.running_mean)


def test_the_rest_of_the_process_keeps_its_threads():
    before = torch.get_num_threads()
    trained(small())
    assert torch.get_num_threads() == before
