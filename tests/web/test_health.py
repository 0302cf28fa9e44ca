"""Does /readyz see each part that is missing, and name it?"""

import shutil
import sqlite3

import pytest

from tests.support.shelf import put_model
from tests.support.site import Site
from tests.support.world import World
from ticketbot.app import App
from ticketbot.db import connect, migrate
from ticketbot.retrain import shelf
from ticketbot.schedule import Leader
from ticketbot.web import health


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


@pytest.fixture
def whole(tmp_path):
    """(the app with every page, a client) of an installation whose worker is alive."""
    app = App(World(tmp_path).settings)
    assert Leader(app.db, app.settings.schedule.lease_s).renew()
    yield app, app.flask().test_client()
    app.close()


def test_a_whole_installation_is_ready_before_its_first_picture_and_model(whole):
    _, client = whole
    answer = client.get("/readyz")
    assert answer.status_code == 200 and "Retry-After" not in answer.headers
    parts = ["database", "schema", "writable", "disk", "staging", "worker"]
    assert answer.json == {"ready": True, "checks": dict.fromkeys(parts, "ok"), "problems": []}


def missing(client):
    """What the answer names, which must be said in words too, with a time to ask again."""
    answer = client.get("/readyz")
    names = [name for name, how in answer.json["checks"].items() if how != "ok"]
    assert sorted(answer.json["problems"]) == sorted(health.SAID[name] for name in names)
    assert answer.status_code == (503 if names else 200)
    assert (answer.headers.get("Retry-After") == "10") == bool(names)
    return names


def test_a_staging_area_that_cannot_be_written(whole):
    app, client = whole
    staging = app.settings.data_dir / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.write_text("no folder, for root as for anybody")
    assert missing(client) == ["staging"]
    staging.unlink()
    staging.mkdir()
    assert missing(client) == []
    assert list(staging.iterdir()) == [], "looking leaves nothing behind"


def test_a_data_folder_that_is_gone(whole):
    app, client = whole
    app.settings.data_dir.rename(app.settings.data_dir.with_name("away"))
    assert {"disk", "staging"} <= set(missing(client))


def test_a_database_that_somebody_holds(whole):
    app, client = whole
    holder = sqlite3.connect(app.db.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert missing(client) == ["writable"]
    holder.execute("ROLLBACK")
    holder.close()
    assert missing(client) == []


def test_a_model_that_cannot_be_loaded(whole):
    app, client = whole
    put_model(app.db, app.settings, "m1")
    (shelf.folder_of(app.settings, "m1") / "model.onnx").write_bytes(b"torn")
    assert missing(client) == ["model"]


def test_a_model_that_loads_and_one_that_the_old_one_stands_in_for(whole):
    app, client = whole
    put_model(app.db, app.settings, "m1")
    assert client.get("/readyz").json["checks"]["model"] == "ok"
    put_model(app.db, app.settings, "m2", now=200.0)
    (shelf.folder_of(app.settings, "m2") / "model.onnx").write_bytes(b"torn")
    assert missing(client) == [], "m1 goes on answering"
