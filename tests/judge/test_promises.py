"""Temperature, calibration, thresholds, decisions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketbot.contracts.bundle import Threshold
from ticketbot.judge import calibration, temperature, thresholds
from ticketbot.judge.decide import category_of, ranked

CLASSES = ("reports", "errors", "screens", "tickets")
PROVEN = Threshold(0.9, True, 100, 0, 0)
UNPROVEN = Threshold(None, False, 20, 0, 39)


def honest(n, seed=0, sharpness=3.0):
    """Logits whose softmax is the truth, and labels drawn from it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * sharpness
    probs = temperature.softmax(logits)
    return logits, (probs.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5, 6.0])
def test_it_finds_how_much_too_sure_the_network_is(true):
    logits, y = honest(20_000)
    assert temperature.fit(logits * true, y) == pytest.approx(true, rel=0.05)


def test_a_faultless_validation_set_does_not_make_it_infinitely_sure():
    logits = np.eye(4)[np.arange(40) % 4] * 5.0
    found = temperature.fit(logits, np.arange(40) % 4)
    assert temperature.softmax(logits, found).max() < 0.99


def test_without_pictures_the_temperature_is_one_and_nan_is_refused():
    assert temperature.fit(np.zeros((0, 4)), np.zeros(0, int)) == 1.0
    with pytest.raises(ValueError, match="finite"):
        temperature.fit(np.full((2, 4), np.nan), np.zeros(2, int))


@pytest.mark.train
def test_it_finds_the_minimum_that_scipy_finds():
    optimize = pytest.importorskip("scipy.optimize")
    logits, y = honest(300)
    targets = temperature._targets(y, 4)
    theirs = optimize.minimize_scalar(lambda t: temperature.loss(logits * 3, targets, t), bounds=(0.05, 20))
    assert temperature.fit(logits * 3, y) == pytest.approx(theirs.x, rel=1e-3)


def test_the_right_temperature_calibrates():
    logits, y = honest(5_000)
    before = calibration.expected_error(temperature.softmax(logits * 3), y)
    after = calibration.expected_error(temperature.softmax(logits * 3, temperature.fit(logits * 3, y)), y)
    assert before > 0.1 > 0.02 > after


def test_the_curve_counts_every_picture_once():
    probs = temperature.softmax(honest(1000)[0])
    curve = calibration.reliability(probs, honest(1000)[1])
    assert sum(one.n for one in curve) == 1000
    assert all(one.low < one.confidence <= one.high + 1e-12 for one in curve)
    assert calibration.reliability(probs[:0], np.zeros(0, int)) == []


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([True] * 58, Threshold(None, False, 58, 0, 1)),
        ([True] * 59, Threshold(0.41, True, 59, 0, 0)),
        ([True] * 30 + [False] + [True] * 30, Threshold(None, False, 59, 1, 34)),
        ([True] * 92 + [False], Threshold(0.07, True, 93, 1, 0)),
        ([True] * 60 + [False] * 30, Threshold(0.41, True, 59, 0, 0)),
        ([], Threshold(None, False, 0, 0, 59)),
    ],
)
def test_a_threshold_is_proven_or_says_what_is_missing(right, expected):
    confidence = 0.99 - np.arange(len(right)) * 0.01
    found = thresholds.of_class(confidence, np.array(right, dtype=bool), 0.95, 0.05)
    assert (found.proven, found.accepted, found.errors, found.needed) == (
        expected.proven,
        expected.accepted,
        expected.errors,
        expected.needed,
    )
    assert found.threshold == (None if expected.threshold is None else pytest.approx(expected.threshold))


def test_equal_confidences_are_accepted_together():
    right = np.array([True] * 60 + [False] * 40)
    assert not thresholds.of_class(np.full(100, 0.9), right, 0.95, 0.05).proven


def test_the_promise_is_broken_in_at_most_five_of_a_hundred_calibrations():
    """A world where precision above threshold t is known: confidence is honest, and the promise is checked in it."""
    broken = tagged = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        confidence = 1 - rng.random(300) ** 2 * 0.4
        found = thresholds.of_class(confidence, rng.random(300) < confidence, 0.95, 0.05)
        if found.proven:
            tagged += 1
            many = 1 - rng.random(200_000) ** 2 * 0.4
            broken += many[many >= found.threshold].mean() < 0.95
    assert tagged > 60
    assert broken <= 10


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 400))
def test_what_is_proven_really_is_accepted_that_often(seed, n):
    rng = np.random.default_rng(seed)
    probs, y = temperature.softmax(rng.normal(size=(n, 4)) * 4), rng.integers(0, 4, n)
    y[: n // 2] = probs[: n // 2].argmax(axis=1)
    for number, one in enumerate(thresholds.fit(probs, y)):
        if one.proven:
            mine = (probs.argmax(axis=1) == number) & (probs.max(axis=1) >= one.threshold)
            assert (mine.sum(), (mine & (y != number)).sum()) == (one.accepted, one.errors)
        else:
            assert one.needed > 0


@pytest.mark.parametrize(
    ("best", "thresholds_", "unproven", "category"),
    [
        (0.95, {"reports": PROVEN}, "review", "reports"),
        (0.85, {"reports": PROVEN}, "review", None),
        (0.85, {"reports": PROVEN}, "tag", None),
        (0.99, {"reports": UNPROVEN}, "review", None),
        (0.85, {"reports": UNPROVEN}, "tag", "reports"),
        (0.75, {"reports": UNPROVEN}, "tag", None),
        (0.99, {}, "review", None),
        (0.80, {}, "tag", "reports"),
    ],
)
def test_it_says_it_or_asks_a_person(best, thresholds_, unproven, category):
    rest = (1 - best) / 3
    found = category_of([best, rest, rest, rest], CLASSES, thresholds_, unproven, 0.8)
    assert (found.category, found.unsure, found.best) == (category, category is None, "reports")
    assert found.margin == pytest.approx(best - rest)


def test_answers_are_ranked_best_first():
    assert ranked([0.1, 0.6, 0.3, 0.0], CLASSES)[:2] == [("errors", 0.6), ("screens", 0.3)]
