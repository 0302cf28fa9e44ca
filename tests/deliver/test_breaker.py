"""Is this endpoint well enough to be sent to?"""

from dataclasses import replace

import pytest

from ticketbot.deliver.breaker import Health, Limits, after, allowance, enabled, gave_up, started

NOW = 1_800_000_000.0
LIMITS = Limits()


def failed(health, times=1, at=NOW, probe=False, throttled=False):
    for _ in range(times):
        health = after(health, False, at, LIMITS, probe=probe, throttled=throttled)
    return health


def succeeded(health, times=1, at=NOW, probe=False):
    for _ in range(times):
        health = after(health, True, at, LIMITS, probe=probe)
    return health


def test_a_well_endpoint_gets_every_idle_worker():
    assert allowance(Health(), NOW, 8).n == 8


def test_it_opens_at_ten_failures_in_a_row():
    assert failed(Health(), 9).opened_at is None
    ill = failed(Health(), 10)
    assert ill.opened_at == NOW
    assert allowance(ill, NOW + 29.9, 8).n == 0


def test_a_success_between_starts_the_count_anew():
    health = succeeded(failed(succeeded(Health(), 10), 9))
    assert failed(health, 1).opened_at is None
    assert health.failures == 0


@pytest.mark.parametrize(("good", "bad", "opens"), [(3, 7, True), (4, 7, False), (1, 6, False), (15, 35, True)])
def test_it_opens_at_seventy_percent_of_at_least_ten(good, bad, opens):
    # Failures spread evenly behind the successes, so that no ten of them come in a row.
    health, sent = Health(), 0
    for number in range(1, good + 1):
        health = succeeded(health)
        due = number * bad // good
        health, sent = failed(health, due - sent), due
    assert (health.opened_at is not None) is opens


def test_what_is_older_than_five_minutes_does_not_count():
    health = failed(Health(), 9)
    health = replace(health, failures=0)
    assert failed(health, 1, at=NOW + 301).opened_at is None


def test_only_the_last_fifty_are_kept():
    assert len(succeeded(Health(), 120).recent) == 50


def test_half_open_lets_one_probe_through_at_a_time():
    ill = failed(Health(), 10)
    allowed = allowance(ill, NOW + 30, 8)
    assert (allowed.n, allowed.probe) == (1, True)
    probing = started(ill, 1, NOW + 60, probe=True, drained=False)
    assert allowance(probing, NOW + 31, 8).n == 0
    assert allowance(probing, NOW + 60, 8).n == 1, "its sender died: another may probe"


def test_probes_wait_thirty_seconds_doubling_to_fifteen_minutes():
    health, at, waits = failed(Health(), 10), NOW, []
    for _ in range(8):
        waits.append(health.probe_at - at)
        at = health.probe_at
        health = failed(health, at=at, probe=True)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


def test_it_closes_after_three_successes():
    health = failed(Health(), 10)
    for number in range(3):
        assert health.opened_at is not None, number
        assert allowance(health, NOW + 30, 8).n == 1
        health = succeeded(health, at=NOW + 30, probe=True)
    assert health.opened_at is None
    assert allowance(health, NOW + 30, 8).n == 8


def test_a_failed_probe_starts_the_successes_anew():
    health = succeeded(failed(Health(), 10), 2, at=NOW + 30, probe=True)
    health = failed(health, at=NOW + 30, probe=True)
    assert health.successes == 0
    assert allowance(health, NOW + 31, 8).n == 0


def test_a_late_failure_from_before_it_opened_changes_no_probe():
    ill = failed(Health(), 10)
    assert failed(ill, 3).probe_at == ill.probe_at


def test_being_asked_to_wait_is_no_illness():
    assert failed(Health(), 20, throttled=True).opened_at is None


def test_a_pause_stops_everything_until_it_is_over():
    paused = Health(paused_until=NOW + 120)
    assert allowance(paused, NOW + 119, 8).n == 0
    assert allowance(paused, NOW + 120, 8).n == 8


def test_it_gives_up_after_120_hours_without_a_success():
    health = failed(Health())
    later = failed(health, at=NOW + 431_999)
    assert not gave_up(later, NOW + 431_999, LIMITS)
    assert gave_up(later, NOW + 432_000, LIMITS)
    assert not gave_up(succeeded(later, at=NOW + 431_999), NOW + 900_000, LIMITS)


def test_a_disabled_endpoint_gets_nothing():
    assert allowance(Health(disabled_at=NOW), NOW + 1e9, 8).n == 0


def test_after_it_was_enabled_a_backlog_goes_out_at_ten_a_second():
    health, sent = enabled(failed(Health(), 10), NOW), 0
    for tenth in range(50):
        at = NOW + tenth / 10
        n = allowance(health, at, 8).n
        health = started(health, n, at + 30, probe=False, drained=False)
        sent += n
    assert 45 <= sent <= 51


def test_once_the_backlog_is_gone_the_rate_is_gone():
    health = started(enabled(Health(), NOW), 1, NOW + 30, probe=False, drained=True)
    assert allowance(health, NOW, 8).n == 8
