"""Should it try again? And when? A table."""

import itertools
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketbot.deliver.retry import SCHEDULE_S, Outcome, decide, retry_after_s

NOW = 1_800_000_000.0
OVER_RETRY_AFTER = datetime.fromtimestamp(NOW + 600, UTC)


def wait_s(attempt_number, outcome, **kwargs):
    decision = decide(attempt_number, outcome, NOW, **kwargs)
    assert decision.state == "retry"
    return decision.due_at - NOW


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status):
    assert decide(1, Outcome(status), NOW).state == "delivered"


@pytest.mark.parametrize("status", [100, 300, 301, 302, 307, 308, 400, 404, 418, 429, 500, 502, 503, 504, 599, 999])
def test_anything_else_is_tried_again(status):
    assert wait_s(1, Outcome(status)) == 5


@pytest.mark.parametrize("error", ["fetch_timeout", "fetch_failed", "tls_failed", "address_refused"])
def test_no_answer_is_tried_again(error):
    assert wait_s(1, Outcome(error=error)) == 5


@pytest.mark.parametrize(
    ("attempt_number", "expected_s"),
    [(1, 5), (2, 300), (3, 1800), (4, 7200), (5, 18000), (6, 36000), (7, 50400), (8, 72000), (9, 86400)],
)
def test_waits_follow_the_schedule(attempt_number, expected_s):
    assert wait_s(attempt_number, Outcome(500)) == expected_s


def test_ten_attempts_take_75_hours_35_minutes_and_5_seconds():
    assert len(SCHEDULE_S) == 10
    assert sum(SCHEDULE_S) == 75 * 3600 + 35 * 60 + 5


@pytest.mark.parametrize("attempt_number", [10, 11, 99])
def test_after_the_last_attempt_it_is_dead_and_said(attempt_number):
    decision = decide(attempt_number, Outcome(500), NOW)
    assert (decision.state, decision.alert, decision.due_at) == ("dead", "dead", None)


@pytest.mark.parametrize(("chance", "expected_s"), [(0.0, 240), (0.25, 270), (0.5, 300), (1.0, 360)])
def test_jitter_is_a_fifth_either_way(chance, expected_s):
    assert wait_s(2, Outcome(500), chance=chance) == pytest.approx(expected_s)


def test_no_jitter_when_the_setting_is_zero():
    assert wait_s(2, Outcome(500), chance=1.0, jitter=0) == 300


def test_410_switches_the_endpoint_off():
    decision = decide(1, Outcome(410), NOW)
    assert (decision.state, decision.alert) == ("disabled", "disabled")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_keeps_the_schedule_but_is_said_at_once(status):
    decision = decide(1, Outcome(status), NOW)
    assert (decision.state, decision.alert) == ("retry", "refused")


def test_a_redirect_is_a_failure_and_said_at_once():
    assert decide(1, Outcome(302), NOW).alert == "redirected"


@pytest.mark.parametrize("status", [500, 502, 429, 503])
def test_an_ordinary_failure_alarms_nobody(status):
    assert decide(1, Outcome(status), NOW).alert is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_retry_after_is_a_floor_and_pauses_the_whole_endpoint(status, chance):
    decision = decide(1, Outcome(status, retry_after="120"), NOW, chance=chance)
    assert 120 <= decision.due_at - NOW <= 150
    assert decision.pause_endpoint_until == NOW + 120


def test_a_longer_schedule_wins_over_a_shorter_retry_after():
    assert wait_s(3, Outcome(503, retry_after="10")) == 1800


@pytest.mark.parametrize("value", ["31536000", "9" * 60, "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_retry_after_is_obeyed_for_a_day_at_most(value, chance):
    decision = decide(1, Outcome(503, retry_after=value), NOW, chance=chance)
    assert decision.due_at - NOW == 86400
    assert decision.pause_endpoint_until == NOW + 86400


def test_retry_after_means_nothing_on_other_answers():
    decision = decide(1, Outcome(500, retry_after="120"), NOW)
    assert (decision.due_at, decision.pause_endpoint_until) == (NOW + 5, None)


def test_the_last_attempt_still_pauses_the_endpoint():
    assert decide(10, Outcome(429, retry_after="60"), NOW).pause_endpoint_until == NOW + 60


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        (format_datetime(OVER_RETRY_AFTER, usegmt=True), 600),
        (OVER_RETRY_AFTER.strftime("%A, %d-%b-%y %H:%M:%S GMT"), 600),
        (OVER_RETRY_AFTER.strftime("%a %b %d %H:%M:%S %Y"), 600),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, expected_s):
    assert retry_after_s(header, NOW) == expected_s


@pytest.mark.parametrize("header", [None, "", "soon", "-5", "1.5", "1e3", "+3", "0x10", "nan", "x" * 5000])
def test_a_retry_after_that_makes_no_sense_is_none(header):
    assert retry_after_s(header, NOW) is None


@given(
    header=st.text(max_size=80), number=st.integers(1, 12), chance=st.floats(0, 1), status=st.sampled_from([429, 503])
)
def test_nothing_a_receiver_says_makes_us_fail_or_wait_longer_than_planned(header, number, chance, status):
    decision = decide(number, Outcome(status, retry_after=header), NOW, chance=chance)
    assert decision.state == "dead" or NOW <= decision.due_at <= NOW + 86400 * 1.2


def test_each_wait_is_longer_than_the_one_before():
    waits = [wait_s(number, Outcome(500)) for number in range(1, 10)]
    assert all(earlier < later for earlier, later in itertools.pairwise(waits))
