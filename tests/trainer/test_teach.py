"""Does the small body's lesson reach the network while it learns, and leave no trace in what answers?"""

import numpy as np
import pytest
import torch
from torch import nn

from trainer import teach
from trainer.teach import Lesson, Taught

pytestmark = pytest.mark.train
WIDTH, CLASSES, DIMS = teach.WIDTH, 4, 6


@pytest.fixture
def network():
    torch.manual_seed(0)
    body = nn.Conv2d(3, WIDTH, 3)
    return nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, CLASSES)))


def test_it_guesses_while_it_learns_and_answers_as_the_network_alone(network):
    taught, x = Taught(network, DIMS), torch.rand(2, 3, 8, 8)
    taught.train()
    assert taught(x).shape == (2, CLASSES + DIMS)
    assert torch.equal(taught(x)[:, :CLASSES], network(x))
    taught.eval()
    assert torch.equal(taught(x), network(x))


def test_the_lesson_moves_the_body_also_where_the_label_says_nothing_more(network):
    taught, x = Taught(network, DIMS).train(), torch.rand(2, 3, 8, 8)
    targets = torch.tensor([[0.0] + [1.0] * DIMS, [1.0] + [-1.0] * DIMS])

    def pull(weight):
        network[0].weight.grad = None
        Lesson(CLASSES, weight, 0.0)(taught(x), targets).backward()
        return network[0].weight.grad.clone()

    assert not torch.allclose(pull(0.0), pull(5.0))
    with torch.no_grad():
        plain = nn.functional.cross_entropy(network(x), torch.tensor([0, 1]))
        assert torch.isclose(Lesson(CLASSES, 0.0, 0.0)(taught(x), targets), plain)
        assert torch.isclose(Lesson(CLASSES, 5.0, 0.0)(network(x), torch.tensor([0, 1])), plain)  # while measuring


def test_lessons_are_the_first_components_and_the_same_twice(monkeypatch):
    from trainer import recipe

    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(50, 3))
    seen = (hidden @ rng.normal(size=(3, 40)) + 0.01 * rng.normal(size=(50, 40))).astype(np.float32)
    monkeypatch.setattr(teach.head, "features", lambda *_: seen)
    found = recipe.read()
    first, again = (teach.lessons([], found, None, None, None, 7) for _ in range(2))
    assert first.shape == (50, 40) and first.dtype == np.float32 and np.array_equal(first, again)
    assert np.isclose(first.std(), 1.0, atol=0.01)
    fitted = hidden @ np.linalg.lstsq(hidden, first[:, 0], rcond=None)[0]
    assert np.corrcoef(fitted, first[:, 0])[0, 1] > 0.99
