"""What is kept from one training to the next, and when it is not taken."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from tests.support.needs import missing
from tests.trainer.conftest import make_folder
from ticketbot.judge.engine import INPUT, OUTPUT
from trainer import recipe as recipes
from trainer.data import pictures
from trainer.data.cache import Cache
from trainer.data.pictures import View
from trainer.progress import Progress

try:
    import torch
    from efficientnet_lite_pytorch import EfficientNet  # noqa: F401

    from trainer import body, graphs, head
except ImportError:
    missing("torch or the small body is not installed: pip install '.[train]'")

pytestmark = pytest.mark.train
QUIET = Progress(quiet=True)
PART = replace(recipes.read().efficientnet_lite0, px=64, blocks=[2, 4], grid=[3])
VIEW = View(640, 64, "pad")


def module(seed=1, classes=3, part=PART):
    dice = np.random.default_rng(seed)
    body_width = 24 + 40 + 9 * 40
    weight = dice.normal(size=(classes, body_width)).astype(np.float32)
    return head._module(weight, dice.normal(size=classes).astype(np.float32), part)


def answers(path, inputs):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run([OUTPUT], {INPUT: inputs})[0]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A cache with one graph in it, and the file that was written with it."""
    top = tmp_path_factory.mktemp("graphs")
    cache = Cache(top / "cache")
    graphs.write(module(), 64, top / "first.onnx", cache)
    return cache


def test_another_last_layer_needs_no_new_graph_and_answers_as_torch(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "to_onnx", lambda *_: pytest.fail("made again"))
    other, inputs = module(seed=2), np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    graphs.write(other, 64, tmp_path / "second.onnx", kept)
    with torch.inference_mode():
        expected = other(torch.from_numpy(inputs)).numpy()
    assert np.abs(answers(tmp_path / "second.onnx", inputs) - expected).max() < 1e-3


def test_a_damaged_graph_is_not_taken(kept, tmp_path):
    cache = Cache(tmp_path / "cache")
    made = cache.file(graphs.KIND, f"{graphs.name(module(), 64)}.onnx", lambda path: path.write_bytes(b"\xff" * 99))
    graphs.write(module(), 64, tmp_path / "whole.onnx", cache)
    assert answers(tmp_path / "whole.onnx", np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 3) and not made.exists()


def test_whatever_decides_the_graph_decides_its_name():
    changed = module()
    with torch.no_grad():
        next(changed.get_submodule("body.0").parameters()).view(-1)[0] += 0.01
    fewer = replace(PART, blocks=[2], grid=[3, 4])
    width = 24 + 2 * 9 * 40
    others = head._module(np.zeros((3, width), np.float32), np.zeros(3, np.float32), fewer)
    made = [(module(), 64), (module(), 96), (module(classes=4), 64), (changed, 64), (others, 64)]
    assert len({graphs.name(one, px) for one, px in made}) == len(made)
    assert graphs.name(module(seed=1), 64) == graphs.name(module(seed=9), 64)


def test_a_network_of_another_kind_is_never_kept(tmp_path):
    plain = body.Served(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(2))
    ).eval()
    plain(torch.zeros((1, 8, 8, 3), dtype=torch.uint8))
    graphs.write(plain, 8, tmp_path / "plain.onnx", Cache(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def looked(monkeypatch):
    """How many pictures the body looks at."""
    counts = []
    really = head.logits_of
    monkeypatch.setattr(
        head, "logits_of", lambda network, inputs: counts.append(len(inputs)) or really(network, inputs)
    )
    return counts


CASES = {
    "nothing": (0, lambda folder: (PART, VIEW)),
    "a label": (
        0,
        lambda folder: (folder / "dots" / "picture 0.jpg").rename(folder / "down" / "moved.jpg") and (PART, VIEW),
    ),
    "a content": (1, lambda folder: overwritten(folder / "dots" / "picture 0.jpg") or (PART, VIEW)),
    "the geometry": (6, lambda folder: (PART, replace(VIEW, geometry="squish"))),
    "the size": (6, lambda folder: (PART, replace(VIEW, px=96))),
    "the decoded size": (6, lambda folder: (PART, replace(VIEW, canonical_px=320))),
    "the blocks": (6, lambda folder: (replace(PART, blocks=[2]), VIEW)),
    "the parts": (6, lambda folder: (replace(PART, grid=[4]), VIEW)),
}


def overwritten(path):
    path.write_bytes((path.parent.parent / "down" / "picture 1.jpg").read_bytes()[:-2] + b"\x00\xff\xd9")


@pytest.mark.parametrize(("news", "change"), CASES.values(), ids=CASES)
def test_only_what_has_another_content_or_another_way_to_see_is_looked_at_again(tmp_path, looked, news, change):
    folder, cache = make_folder(tmp_path / "pictures", kinds=("dots", "down"), each=3), Cache(tmp_path / "cache")
    head.features(pictures.read(folder, cache, VIEW, QUIET).pictures, PART, VIEW, cache, QUIET)
    looked.clear()
    part, view = change(folder)
    head.features(pictures.read(folder, cache, view, QUIET).pictures, part, view, cache, QUIET)
    assert sum(looked) == news


def test_another_body_has_other_features(monkeypatch):
    before = body.small_version([2], [3])
    monkeypatch.setattr(body, "SMALL_SHA256", "0" * 64)
    assert body.small_version([2], [3]) != before
