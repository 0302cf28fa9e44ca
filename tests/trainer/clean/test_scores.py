"""How likely is each label? On made-up features, so in no time."""

import numpy as np
import pytest

pytestmark = pytest.mark.train
scores = pytest.importorskip("trainer.clean.scores")


@pytest.fixture
def head():
    from trainer import recipe

    return recipe.read().efficientnet_lite0


def features(y, seed=0):
    """Two clouds, far apart."""
    dice = np.random.default_rng(seed)
    return (dice.normal(size=(len(y), 6)) + 4 * np.asarray(y)[:, None]).astype(np.float32)


def test_look_alikes_labelled_wrongly_together_are_found_only_when_kept_together(head):
    true = np.repeat([0, 1], 60)
    x, groups = features(true), list(range(120))
    x[:4] = x[0] + np.float32(0.01) * x[:4]  # four pictures that look alike
    groups[:4] = [0] * 4
    given = true.copy()
    given[:4] = 1
    ours = scores.quality(given, scores.out_of_fold(x, given, groups, 2, head, 7))
    assert set(np.argsort(ours)[:4]) == {0, 1, 2, 3}
    theirs = scores.quality(given, scores.in_sample(x, given, 2, head, 7))
    assert theirs[:4].mean() > ours[:4].mean()


def test_a_class_that_is_one_group_of_look_alikes_cannot_be_judged(head):
    y = np.repeat([0, 1, 2], 10)
    groups = [*range(20), *[20] * 10]
    found = scores.quality(y, scores.out_of_fold(features(y), y, groups, 3, head, 7))
    assert np.isnan(found[20:]).all() and not np.isnan(found[:20]).any()


def test_one_group_of_all_pictures_judges_nothing(head):
    y = np.array([0, 1, 0, 1])
    assert np.isnan(scores.out_of_fold(features(y), y, [5] * 4, 2, head, 7)).all()


def test_few_pictures_are_judged_in_fewer_folds(head):
    y = np.array([0, 1, 0, 1])
    assert not np.isnan(scores.out_of_fold(features(y), y, range(4), 2, head, 7)).any()
