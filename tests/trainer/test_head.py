"""Is a head fitted in fewer dimensions the head that all features give?"""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainer import head

WIDTH, STRENGTH = 300, 0.01


def pictures(n, classes, *, twins=0):
    """Features N x WIDTH on different scales, some pictures twice, and their classes by a noisy rule."""
    dice = np.random.default_rng(5)
    x = (dice.normal(2, 1, (n, WIDTH)) * dice.uniform(0.1, 50, WIDTH)).astype(np.float32)
    x[n - twins :] = x[:twins]
    rule = dice.normal(0, 1, (WIDTH, classes)) / x.std(axis=0)[:, None]
    return x, ((x - x.mean(axis=0)) @ rule + dice.normal(0, 5, (n, classes))).argmax(axis=1)


def test_pictures_of_which_most_are_nearly_the_same_are_fitted_too():
    dice = np.random.default_rng(6)
    x = np.repeat(dice.normal(0, 1, (20, 2000)), 50, axis=0) + dice.normal(0, 1e-4, (1000, 2000))
    y = np.repeat(np.arange(20) % 2, 50)
    weight, bias = head.linear(x.astype(np.float32), y, 2, STRENGTH, 7)
    assert ((x @ weight.T + bias).argmax(axis=1) == y).all()


@pytest.mark.parametrize(("n", "turned"), [(100, True), (149, True), (160, False)])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_is_that_of_a_plain_logistic_regression(n, turned, classes):
    x, y = pictures(n, classes, twins=10)
    scaled = head.Scaled(x)
    assert (scaled.points.shape[1] < WIDTH) == turned
    weight, bias = scaled.fit(np.arange(n), y, classes, STRENGTH, 7)
    plain = LogisticRegression(C=STRENGTH, max_iter=3000, class_weight="balanced").fit(scaled.z, y)
    ours = x @ weight.T + bias
    theirs = plain.decision_function(scaled.z)
    found = ours[:, 1] - ours[:, 0] if classes == 2 else ours - ours.mean(axis=1, keepdims=True)
    wanted = theirs if classes == 2 else theirs - theirs.mean(axis=1, keepdims=True)
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


def test_a_part_is_fitted_without_the_rest():
    x, y = pictures(100, 3)
    part = np.arange(0, 100, 2)
    other = y.copy()
    other[1::2] = (other[1::2] + 1) % 3
    ours, theirs = (head.Scaled(x).fit(part, labels[part], 3, STRENGTH, 7) for labels in (y, other))
    assert np.array_equal(ours[0], theirs[0])


def test_a_class_without_a_picture_is_never_the_answer():
    x, y = pictures(60, 2)
    weight, bias = head.linear(x, y, 3, STRENGTH, 7)
    assert set((x @ weight.T + bias).argmax(axis=1)) == {0, 1}
