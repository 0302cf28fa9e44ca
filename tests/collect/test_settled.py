"""Has the ERP finished writing this file? A table of two looks."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketbot.collect.settled import Observation, decide

LOOK = Observation(dev=1, ino=2, size_bytes=3, mtime_ns=4, ctime_ns=5)
GROWN = Observation(dev=1, ino=2, size_bytes=9, mtime_ns=4, ctime_ns=5)


@pytest.mark.parametrize(
    ("before", "observed_at", "look", "now", "expected"),
    [
        (LOOK, 100, LOOK, 110, "settled"),
        (LOOK, 100, LOOK, 109.9, "wait"),
        (LOOK, 100, LOOK, 100, "wait"),
        (LOOK, 100, LOOK, 9e9, "settled"),
        (LOOK, 100, GROWN, 9e9, "changed"),
        (None, 100, LOOK, 9e9, "changed"),
        (LOOK, 100, Observation(7, 2, 3, 4, 5), 200, "changed"),
        (LOOK, 100, Observation(1, 7, 3, 4, 5), 200, "changed"),
        (LOOK, 100, Observation(1, 2, 3, 7, 5), 200, "changed"),
        (LOOK, 100, Observation(1, 2, 3, 4, 7), 200, "changed"),
        # our clock was set back by a day: do not wait a day
        (LOOK, 100_000, LOOK, 13_600, "changed"),
    ],
)
def test_two_equal_looks_far_enough_apart(before, observed_at, look, now, expected):
    assert decide(before, observed_at, look, now, settle_s=10) == expected


def test_without_a_wait_the_second_look_is_enough():
    assert decide(LOOK, 100, LOOK, 100, settle_s=0) == "settled"


def test_a_new_mount_or_a_chmod_is_the_same_content():
    assert LOOK.same_content_as(Observation(9, 2, 3, 4, 9))


@pytest.mark.parametrize("other", [Observation(1, 9, 3, 4, 5), Observation(1, 2, 9, 4, 5), Observation(1, 2, 3, 9, 5)])
def test_another_inode_size_or_mtime_is_other_content(other):
    assert not LOOK.same_content_as(other)


@given(st.integers(0, 2**64 - 1))
def test_any_inode_fits_a_signed_column(ino):
    stat = SimpleNamespace(st_dev=ino, st_ino=ino, st_size=0, st_mtime_ns=0, st_ctime_ns=0)
    assert -(2**63) <= Observation.of(stat).ino < 2**63


@given(st.floats(0, 1e10), st.floats(0, 1e10), st.floats(0, 1e6))
def test_it_never_settles_before_the_wait_is_over(observed_at, now, settle_s):
    if decide(LOOK, observed_at, LOOK, now, settle_s) == "settled":
        assert now - observed_at >= settle_s
