"""What does a difference between a listing and its rows mean? Tables, no database."""

import pytest

from ticketbot.collect.listing import Listed, Row, change, listed
from ticketbot.collect.settled import Observation

LOOK = Observation(1, 2, 3, 4, 5)
TOUCHED = Observation(1, 2, 3, 9, 9)
CHMOD = Observation(1, 2, 3, 4, 9)


@pytest.mark.parametrize(
    ("row", "look", "reason", "state"),
    [
        (None, LOOK, None, "seen"),
        (None, LOOK, "too_large", "refused"),
        (None, None, "not_regular", "refused"),
        (("seen", None, LOOK), LOOK, None, None),
        (("seen", None, LOOK), CHMOD, None, "settling"),
        (("settling", None, LOOK), TOUCHED, None, "settling"),
        (("staged", None, LOOK), LOOK, None, None),
        (("staged", None, LOOK), CHMOD, None, None),
        (("staged", None, LOOK), TOUCHED, None, "settling"),
        # a limit that was lowered does not throw out what we have
        (("staged", None, LOOK), LOOK, "too_large", None),
        (("staged", None, LOOK), None, "not_regular", "refused"),
        (("gone", None, LOOK), LOOK, None, "seen"),
        (("refused", "bad_image", LOOK), LOOK, None, None),
        (("refused", "bad_image", LOOK), CHMOD, None, "settling"),
        (("refused", "erased", LOOK), LOOK, None, None),
        # one that was raised lets it in
        (("refused", "too_large", LOOK), LOOK, None, "settling"),
        (("refused", "too_large", LOOK), LOOK, "too_large", None),
        (("refused", "too_large", LOOK), TOUCHED, "too_large", "refused"),
        (("refused", "vanished", LOOK), LOOK, None, "settling"),
        (("refused", "swapped", LOOK), LOOK, None, "settling"),
        (("refused", "not_regular", None), None, "not_regular", None),
        (("refused", "not_regular", None), LOOK, None, "settling"),
    ],
)
def test_what_becomes_of_a_row(row, look, reason, state):
    found = change(Row(1, *row) if row else None, look, reason)
    assert (found and found["state"]) == state
    assert found is None or found["reason"] == reason


@pytest.mark.parametrize(
    ("before", "mtime_ns", "now", "unsure", "expected"),
    [
        (None, 5, 100, False, Listed(5, 100, False, 0)),
        (Listed(5, 100, False, 0), 5, 101.9, False, Listed(5, 100, False, 0)),
        (Listed(5, 100, False, 0), 5, 102, False, Listed(5, 100, True, 0)),
        (Listed(5, 100, False, 0), 5, 102, True, Listed(5, 100, False, 0)),
        (Listed(5, 100, True, 0), 5, 101, False, Listed(5, 100, True, 0)),
        (Listed(5, 100, True, 0), 5, 200, True, Listed(5, 100, False, 0)),
        (Listed(5, 100, True, 0), 6, 200, False, Listed(6, 200, False, 0)),
        # our clock was set back
        (Listed(5, 100, False, 0), 5, 50, False, Listed(5, 50, False, 0)),
    ],
)
def test_a_folder_is_clean_after_two_listings_two_seconds_apart(before, mtime_ns, now, unsure, expected):
    assert listed(before, mtime_ns, now, 0, unsure=unsure) == expected
