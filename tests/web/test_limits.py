import pytest

from ticketbot.web.limits import Buckets, Rate, give_back_login, refilled, take_login, wait_s

RATE = Rate(burst=10, per_s=60)


@pytest.mark.parametrize(
    ("tokens", "idle_s", "expected"),
    [(0, 6, 1), (0, 60, 10), (5, 600, 10), (3, 0, 3), (3, -100, 3)],
)
def test_a_bucket_fills_with_time_and_never_over(tokens, idle_s, expected):
    assert refilled(tokens, idle_s, RATE) == pytest.approx(expected)


@pytest.mark.parametrize(("tokens", "expected"), [(1, 0), (7, 0), (0, 6), (0.5, 3)])
def test_the_wait_is_the_time_to_one_token(tokens, expected):
    assert wait_s(tokens, RATE) == pytest.approx(expected)


def test_twenty_bad_sign_ins_in_a_minute_are_never_all_let_through(db):
    waits = [take_login(db, "admin", "192.0.2.1", now=1000 + 3 * i) for i in range(20)]
    assert waits[0] == 0
    assert max(waits) > 0


def test_a_name_is_limited_over_many_addresses(db):
    waits = [take_login(db, "Admin", f"192.0.2.{i}", now=1000) for i in range(21)]
    assert waits[:20] == [0.0] * 20
    assert waits[20] > 0


def test_a_success_costs_nothing(db):
    for _ in range(50):
        assert take_login(db, "rita", "192.0.2.1", now=1000) == 0
        give_back_login(db, "rita", "192.0.2.1", now=1000)


def test_another_process_sees_the_same_bucket(db):
    for _ in range(10):
        take_login(db, "rita", "192.0.2.1", now=1000)
    assert take_login(db, "otto", "192.0.2.1", now=1000) == pytest.approx(6)
    assert take_login(db, "otto", "192.0.2.1", now=1006) == 0


def test_buckets_in_memory_forget_the_longest_untouched():
    buckets = Buckets(max_keys=2)
    one = Rate(1)
    assert buckets.take("a", one, 0) == 0
    assert buckets.take("a", one, 0) == 60
    buckets.take("b", one, 0)
    buckets.take("c", one, 0)
    assert buckets.take("a", one, 0) == 0
