"""One call makes the rows a test is about."""

import pytest

from tests.support.outbox import SECRET, World


@pytest.fixture
def world_with(db, settings_with, tmp_path):
    """world_with({"endpoints.desk.url": …}) -> World."""

    def make(overrides=None):
        values = {
            "sources.erp.root": tmp_path / "attach",
            "sources.erp.endpoint": "desk",
            "endpoints.desk.url": "https://desk.example.com/hook",
            "endpoints.desk.mode": "live",
            "endpoints.desk.secret": SECRET,
        }
        return World(db, settings_with({**values, **(overrides or {})}))

    return make


@pytest.fixture
def world(world_with):
    return world_with()
