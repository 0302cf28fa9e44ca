"""What goes live, and what is said about it; the figures of an evaluation."""

import numpy as np
import pytest

from ticketbot.contracts.bundle import Threshold
from ticketbot.judge import gate, metrics

CLASSES = ("reports", "errors")
LABELS = {"reports": 60, "errors": 60}


def answers(n, wrong=()):
    right = np.ones(n, bool)
    right[list(wrong)] = False
    return right


def judge(right, n=100, **changes):
    y = np.arange(n) % 2
    return gate.decide(right, y, CLASSES, **{"labels": LABELS, "min_per_category": 20, **changes})


def test_a_first_model_must_beat_naming_the_most_frequent_class():
    assert judge(answers(100, range(10))).promote
    refused = judge(answers(100, range(45)))
    assert not refused.promote
    assert "not proven better than guessing" in refused.reason


def test_every_class_needs_its_minimum():
    verdict = judge(answers(100), labels={"reports": 60, "errors": 19})
    assert not verdict.promote
    assert "errors has 19" in verdict.reason


def test_without_held_out_pictures_a_person_decides():
    assert "a person must decide" in judge(np.ones(0, bool), 0).reason


def test_a_change_of_classes_is_for_a_person():
    verdict = judge(answers(100), champion_right=answers(100, range(50)), classes_changed=True)
    assert not verdict.promote


def test_small_sets_are_said_to_be_small():
    assert "only 40 pictures" in judge(answers(40), 40).reason
    assert "only" not in judge(answers(100)).reason


@pytest.mark.parametrize(
    ("wrong", "champion_wrong", "promote", "said"),
    [
        ((), range(10), True, "better than the champion"),
        ((), range(4), False, "not proven better"),
        ((0, 1), (2, 3), False, "not proven better"),
        (range(10), (), False, "worse on reports, errors"),
        (range(0, 12, 2), range(1, 60, 2), False, "worse on reports"),
    ],
)
def test_a_later_model_must_be_proven_better_and_lose_no_class(wrong, champion_wrong, promote, said):
    verdict = judge(answers(100, wrong), champion_right=answers(100, champion_wrong))
    assert verdict.promote is promote
    assert said in verdict.reason
    assert verdict.p_value is not None


@pytest.mark.parametrize(("champion_labels", "offered"), [(92, True), (93, False), (0, False)])
def test_as_good_but_trained_on_a_third_more_is_offered(champion_labels, offered):
    verdict = judge(answers(100, [1]), champion_right=answers(100, [2]), champion_labels=champion_labels)
    assert (verdict.promote, verdict.offered) == (False, offered)


def test_equal_models_are_hardly_ever_swapped():
    rng = np.random.default_rng(0)
    swaps = sum(judge(rng.random(400) < 0.9, 400, champion_right=rng.random(400) < 0.9).promote for _ in range(300))
    assert swaps <= 15


PROBS = np.array([[0.95, 0.05], [0.85, 0.15], [0.3, 0.7], [0.1, 0.9], [0.6, 0.4]])
Y = np.array([0, 0, 1, 1, 1])


def test_an_evaluation_has_exactly_the_promised_keys_and_figures():
    tagged = {"reports": Threshold(0.8, True, 100, 0, 0)}
    found = metrics.evaluate(PROBS, Y, CLASSES, tagged, unreadable=[0])
    assert list(found) == [
        "n",
        "n_unreadable",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "macro_f1",
        "per_class",
        "confusion",
        "coverage",
        "precision_auto",
        "precision_auto_low",
    ]
    assert (found["n"], found["n_unreadable"], found["accuracy"]) == (6, 1, pytest.approx(4 / 6))
    assert found["accuracy_low"] < 4 / 6 < found["accuracy_high"]
    assert found["confusion"] == {
        "reports": {"reports": 2, "errors": 0, "unreadable": 1},
        "errors": {"reports": 1, "errors": 2, "unreadable": 0},
    }
    assert found["per_class"]["errors"]["n"] == 3
    assert found["per_class"]["errors"]["precision"] == 1
    assert found["per_class"]["reports"]["recall"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 * 2 / 6 + 2 * 2 / 5) / 2)
    assert (found["coverage"], found["precision_auto"]) == (pytest.approx(2 / 6), 1)


def test_nothing_tagged_is_no_precision():
    found = metrics.evaluate(PROBS, Y, CLASSES, {})
    assert (found["coverage"], found["precision_auto"], found["precision_auto_low"]) == (0, None, 0)


def test_unsure_pictures_count_in_the_accuracy():
    assert metrics.evaluate(PROBS, Y, CLASSES, {})["accuracy"] == pytest.approx(0.8)


def test_an_empty_evaluation_claims_nothing():
    found = metrics.evaluate(np.zeros((0, 2)), np.zeros(0, int), CLASSES, {})
    assert (found["n"], found["accuracy"], found["accuracy_low"], found["accuracy_high"]) == (0, 0, 0, 1)
    assert metrics.majority_share(np.zeros(0, int)) == 1.0
