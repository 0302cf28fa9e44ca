"""Exact bounds and tests, against scipy and against tables."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketbot.judge import mcnemar
from ticketbot.judge.intervals import clopper_pearson, enough, lower_bound, tail, upper_bound

counts = st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 0, 0, 1), (0, 10, 0, 0.3085), (10, 10, 0.6915, 1), (9, 10, 0.5550, 0.9975), (480, 500, 0.9389, 0.9754)],
)
def test_it_gives_the_intervals_of_the_tables(k, n, low, high):
    assert clopper_pearson(k, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("errors", "promise", "n"), [(0, 0.95, 59), (1, 0.95, 93), (2, 0.95, 124), (0, 0.98, 149)])
def test_it_knows_how_many_are_enough_for_a_promise(errors, promise, n):
    assert enough(errors, promise, 0.05) == n
    assert lower_bound(n - errors, n, 0.05) >= promise > lower_bound(n - 1 - errors, n - 1, 0.05)


@settings(deadline=None)
@given(counts)
def test_an_interval_holds_the_share_and_is_symmetric(case):
    k, n = case
    low, high = clopper_pearson(k, n)
    assert 0 <= low <= (k / n if n else 0.5) <= high <= 1
    assert clopper_pearson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@settings(deadline=None)
@given(counts, st.floats(0.001, 0.5))
def test_a_bound_is_where_the_tail_has_the_risk(case, delta):
    k, n = case
    if k:
        assert tail(k, n, lower_bound(k, n, delta)) == pytest.approx(delta, abs=1e-9)


def test_counts_that_are_no_share_are_refused():
    with pytest.raises(ValueError, match="5 of 3"):
        lower_bound(5, 3, 0.05)


@pytest.mark.train
@settings(deadline=None)
@given(counts, st.sampled_from([0.9, 0.95, 0.99]))
def test_it_agrees_with_scipy(case, confidence):
    scipy_stats = pytest.importorskip("scipy.stats")
    k, n = case
    if n == 0:
        return
    theirs = scipy_stats.binomtest(k, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(k, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.train
@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_the_tail_agrees_with_scipy_for_large_counts(k, p):
    scipy_stats = pytest.importorskip("scipy.stats")
    assert tail(k, 10**6, p) == pytest.approx(float(scipy_stats.binom.sf(k - 1, 10**6, p)), abs=1e-8)


@settings(deadline=None)
@given(counts)
def test_both_bounds_meet_at_the_share_when_the_risk_is_half_or_more(case):
    k, n = case
    assert lower_bound(k, n, 0.05) <= upper_bound(k, n, 0.05)


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [(0, 0, 1.0), (5, 0, 1 / 32), (4, 0, 1 / 16), (0, 5, 1.0), (8, 1, 10 / 512), (10, 10, 0.588)],
)
def test_mcnemar_counts_what_is_right_apart(wins, losses, p):
    assert mcnemar.one_sided(wins, losses) == pytest.approx(p, abs=1e-3)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_exact_sum(wins, losses):
    n = wins + losses
    exact = sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n
    assert mcnemar.one_sided(wins, losses) == pytest.approx(exact, abs=1e-10)
