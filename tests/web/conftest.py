import pytest

from tests.support.site import Site


@pytest.fixture
def site(db, settings_with):
    return Site(db, settings_with())
