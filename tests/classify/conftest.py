import pytest

from ticketbot.imaging.decode import DecoderPool


@pytest.fixture(scope="session")
def decoders():
    """Guarded decoder children, shared by the tests of this part."""
    pool = DecoderPool(2, timeout_s=20)
    yield pool
    pool.close()
