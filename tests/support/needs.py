"""Is what this test needs on this machine? Skip with a reason at home; fail in CI, which should have everything."""

import os

import pytest

IN_CI = os.environ.get("TICKETBOT_CI") == "1"


def missing(reason: str) -> None:
    """Skip, or fail under TICKETBOT_CI=1."""
    if IN_CI:
        pytest.fail(f"CI should have this: {reason}", pytrace=False)
    pytest.skip(reason)
