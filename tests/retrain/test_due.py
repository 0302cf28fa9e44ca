"""When we train again."""

import pytest

from ticketbot.retrain.due import Facts, Rules, due

RULES = Rules(min_new_labels=100, min_interval_s=3600, min_per_category=20)
ENOUGH = {"reports": 50, "errors": 20}


def facts(**changes):
    return Facts(**{"labels": ENOUGH, "new_labels": 100, "running": False, "last_started_at": None, **changes})


@pytest.mark.parametrize(
    ("changes", "is_due", "said"),
    [
        ({}, True, "100 new labels"),
        ({"new_labels": 99}, False, "1 more labels"),
        ({"last_started_at": 6400.0}, True, "new labels"),
        ({"last_started_at": 6401.0}, False, "1 s to wait"),
        ({"running": True}, False, "is running"),
        ({"labels": {"reports": 50, "errors": 19}}, False, "errors 19"),
        ({"labels": {"reports": 500, "errors": 0}}, False, "errors 0"),
    ],
)
def test_it_is_due_after_enough_labels_and_time(changes, is_due, said):
    answer = due(facts(**changes), RULES, now=10_000.0)
    assert answer.due is is_due
    assert said in answer.reason


@pytest.mark.parametrize(
    ("changes", "is_due", "blocked"),
    [
        ({"new_labels": 0, "last_started_at": 9_999.0}, True, False),
        ({"running": True}, False, True),
        ({"labels": {"reports": 1, "errors": 20}}, False, True),
    ],
)
def test_a_person_need_not_wait_but_cannot_train_on_nothing(changes, is_due, blocked):
    answer = due(facts(**changes), RULES, now=10_000.0, asked=True)
    assert (answer.due, answer.blocked) == (is_due, blocked)
