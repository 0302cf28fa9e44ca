"""Does /readyz see whether anybody does the work?"""

import pytest

from tests.support.site import Site
from ticketbot.db import connect, migrate
from ticketbot.schedule import Leader


@pytest.fixture
def site(tmp_path, settings_with):
    db = connect(f"sqlite:///{tmp_path / 'fresh.db'}")
    migrate.upgrade(db)
    yield Site(db, settings_with({"sources.erp.root": "/srv/erp", "sources.erp.require_ticket": False}))
    db.close()


def worker(site):
    return site.app.test_client().get("/readyz").json["checks"]["worker"]


def test_a_watched_tree_needs_a_worker_that_holds_the_lease(site):
    assert worker(site) == "missing", "none ever ran"
    leader = Leader(site.db, site.settings.schedule.lease_s, now=site.clock)
    assert leader.renew()
    assert worker(site) == "ok"
    site.clock.now += site.settings.schedule.lease_s + 1
    assert worker(site) == "missing", "it was killed and nobody took over"
    assert leader.renew()
    assert worker(site) == "ok"
    leader.resign()
    assert worker(site) == "missing", "it was stopped"


def test_without_a_tree_nobody_is_missed(db, settings_with):
    assert "worker" not in Site(db, settings_with()).app.test_client().get("/readyz").json["checks"]
