import pytest

from ticketbot.imaging.decode import DecoderPool


@pytest.fixture(scope="session")
def pool():
    """One decoder child for all tests that need no pool of their own."""
    with DecoderPool(1) as shared:
        yield shared
