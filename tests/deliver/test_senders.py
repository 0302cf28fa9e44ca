"""What a worker sends next, and what goes back unsent."""

import threading
import time

import pytest

from ticketbot.deliver.claim import Claim, Claims, beyond
from ticketbot.deliver.finish import Report
from ticketbot.deliver.retry import Outcome
from ticketbot.deliver.senders import QUICK_S, Senders


def claim(id_, endpoint="desk"):
    return Claim(id_, endpoint, f"T-{id_}", 1, b"", token=1, attempts=0, probe=False, secrets=())


def report(status=200):
    return Report(Outcome(status), 100.0, 100.0, {}, b"")


def senders_with(send, *, workers=1, margin_s=10.0, stop=lambda: False):
    return Senders(send, workers, margin_s, stop)


def ids(claims):
    return [one.id for one in claims]


def wait_for_ends(senders, n):
    found = []
    while len(found) < n:
        more = senders.ended(5)
        assert more, "nothing ended for five seconds"
        found += more
    return [one.id for one, _ in found]


def test_a_worker_goes_on_with_what_was_claimed_ahead_for_its_endpoint():
    with senders_with(lambda _: report(), workers=2) as senders:
        senders.begin(Claims([claim("1"), claim("2"), claim("3")], {"desk": 1}))
        assert wait_for_ends(senders, 3) == ["1", "2", "3"]
        assert senders.idle
        assert senders.unsent() == []


def test_idle_workers_take_what_was_claimed_ahead():
    go_on = threading.Event()

    def send(_):
        go_on.wait(10)
        return report()

    with senders_with(send, workers=3) as senders:
        senders.begin(Claims([claim("1"), claim("2"), claim("3")], {"desk": 1}))
        assert senders.in_flight() == {"desk": 1}
        senders.begin(Claims([], {"desk": 2}))
        assert senders.in_flight() == {"desk": 3}
        go_on.set()
        assert sorted(wait_for_ends(senders, 3)) == ["1", "2", "3"]


def test_what_was_claimed_ahead_for_another_endpoint_is_not_taken():
    with senders_with(lambda _: report()) as senders:
        senders.begin(Claims([claim("1"), claim("2", "other")], {"desk": 1}))
        assert wait_for_ends(senders, 1) == ["1"]
        assert ids(senders.unsent()) == ["2"], "nobody sends to it"


@pytest.mark.parametrize(("status", "takes_s"), [(500, 0.0), (200, QUICK_S + 0.05)], ids=["failed", "slow"])
def test_after_an_attempt_that_failed_or_was_slow_the_rest_goes_back(status, takes_s):
    with senders_with(lambda _: time.sleep(takes_s) or report(status)) as senders:
        senders.begin(Claims([claim("1"), claim("2"), claim("3")], {"desk": 1}))
        assert wait_for_ends(senders, 1) == ["1"]
        assert senders.ahead() == {}, "nothing more is to be claimed ahead"
        assert ids(senders.unsent()) == ["2", "3"]
        assert senders.idle


def test_a_success_that_began_before_a_failure_is_no_reason_to_go_on():
    failed = threading.Event()

    def send(one):
        if one.id == "late":
            assert failed.wait(10)
        return report(500 if one.id == "bad" else 200)

    with senders_with(send, workers=2) as senders:
        senders.begin(Claims([claim("late"), claim("bad"), claim("2")], {"desk": 2}))
        assert wait_for_ends(senders, 1) == ["bad"]
        failed.set()
        assert wait_for_ends(senders, 1) == ["late"]
        assert ids(senders.unsent()) == ["2"]


def test_what_waits_for_too_long_goes_back():
    go_on = threading.Event()

    def send(one):
        if one.id == "slow":
            go_on.wait(10)
        return report()

    with senders_with(send, margin_s=0.1) as senders:
        senders.begin(Claims([claim("1")], {"desk": 1}))
        assert wait_for_ends(senders, 1) == ["1"]
        senders.begin(Claims([claim("slow"), claim("2")], {"desk": 1}))
        assert senders.unsent() == [], "not yet"
        end, back = time.monotonic() + 5, []
        while not back and time.monotonic() < end:
            back = senders.unsent()
        assert ids(back) == ["2"]
        go_on.set()
        assert wait_for_ends(senders, 1) == ["slow"]


def test_told_to_stop_it_begins_nothing_more():
    stopping = threading.Event()

    def send(_):
        stopping.set()
        return report()

    with senders_with(send, stop=stopping.is_set) as senders:
        senders.begin(Claims([claim("1"), claim("2")], {"desk": 1}))
        assert wait_for_ends(senders, 1) == ["1"]
        assert ids(senders.unsent()) == ["2"]


def test_what_a_worker_raises_reaches_us():
    def send(_):
        raise RuntimeError("a bug")

    with senders_with(send) as senders:
        senders.begin(Claims([claim("1")], {"desk": 1}))
        with pytest.raises(RuntimeError, match="a bug"):
            senders.ended(5)
        assert senders.idle


@pytest.mark.parametrize(
    ("ready", "in_flight", "ahead", "expected"),
    [
        (["a"], {}, {}, {}),
        (["a"], {"a": 8}, {"a": 0}, {"a": 16}),
        (["a"], {"a": 8}, {"a": 8}, {"a": 8}),
        (["a"], {"a": 8}, {"a": 9}, {}),
        (["a", "b"], {"a": 4, "b": 4}, {"a": 0, "b": 5}, {"a": 8}),
        (["a", "b"], {"a": 8}, {"a": 0}, {}),
        (["b"], {"a": 8}, {"a": 0}, {}),
    ],
)
def test_so_many_are_claimed_ahead(ready, in_flight, ahead, expected):
    assert beyond(ready, in_flight, ahead, 8) == expected
