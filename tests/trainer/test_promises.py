"""What does the bench of the promises count?"""

import numpy as np
import pytest

pytestmark = pytest.mark.train
bench = pytest.importorskip("bench.promises")


def test_a_promise_is_broken_when_what_is_accepted_is_right_less_often():
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    y = np.array([0, 0, 1, 0])
    assert bench.outcome([0.75, None], probs, y, 0.95) == (1, 0, 0.5)
    assert bench.outcome([0.6, 0.5], probs, y, 0.95) == (2, 2, 1.0)
    assert bench.outcome([None, None], probs, y, 0.95) == (0, 0, 0.0)


def test_the_best_looking_threshold_is_the_lowest_that_kept_the_promise():
    sure, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])
    assert bench.lowest(sure, right, 0.7) == 0.6
    assert bench.lowest(sure, right, 0.95) == 0.8
    assert bench.lowest(sure[2:], right[2:], 0.95) is None


def test_learn_then_test_breaks_its_promise_seldom_and_the_best_looking_one_often():
    dice = np.random.default_rng(1)
    sure = dice.uniform(0.5, 1, 4000)
    probs = np.stack([sure, 1 - sure], axis=1)
    y = (dice.uniform(size=4000) > 0.85 + 0.15 * (sure - 0.5) / 0.5).astype(int)
    ours, best = bench.measured(probs, y, 400, 0.95, 100)
    assert ours["broken_any_class"] <= 0.1 < 0.3 < best["broken_any_class"]
