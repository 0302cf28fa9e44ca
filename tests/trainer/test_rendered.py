"""Are drawn pictures learned from, kept, and never asked?"""

from dataclasses import replace

import numpy as np

from trainer import head, recipe
from trainer.data import rendered
from trainer.data.cache import Cache
from trainer.progress import Progress


def test_drawn_pictures_are_kept_and_the_same_again(tmp_path):
    top = rendered.folder(Cache(tmp_path / "a"), ("errors", "tickets"), 2, 1, Progress())
    files = sorted(path.relative_to(top).as_posix() for path in top.rglob("*.jpg"))
    drawn = [f"{name}/trainer-{number}.jpg" for name in ("errors", "tickets") for number in (0, 1)]
    assert files == ["errors/clip-0.jpg", *drawn]
    before = (top / files[0]).stat().st_mtime_ns
    assert rendered.folder(Cache(tmp_path / "a"), ("errors", "tickets"), 2, 1, Progress()) == top
    assert (top / files[0]).stat().st_mtime_ns == before
    other = rendered.folder(Cache(tmp_path / "b"), ("tickets", "errors"), 2, 1, Progress())
    assert (other / files[0]).read_bytes() == (top / files[0]).read_bytes()


def test_classes_that_cannot_be_drawn_get_none(tmp_path):
    assert rendered.folder(Cache(tmp_path), ("errors", "cats"), 2, 1, Progress()) is None
    assert rendered.folder(Cache(tmp_path), ("errors", "tickets"), 0, 1, Progress()) is None


def test_extra_pictures_teach_in_every_fold_and_are_never_asked():
    dice = np.random.default_rng(0)
    part = replace(recipe.read().efficientnet_lite0, strength=1.0)
    y = np.tile([0, 1], 20)
    x = dice.normal(0, 1, (40, 4)).astype(np.float32)
    extra = np.arange(40) >= 20
    x[extra, 0] += np.where(y[extra] == 1, 8, -8)  # they show what tells the classes
    x[~extra, 0] = np.where(y[~extra] == 1, 4, -4)
    groups = np.array([str(one) for one in range(40)])
    logits, asked = head.out_of_fold(head.Scaled(x), y, groups, 2, part, 7, extra)
    assert len(asked) == 20
    assert (logits.argmax(axis=1) == y[~extra]).all()
