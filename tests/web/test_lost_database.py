"""A database that is locked or gone while somebody asks: 503 with Retry-After, none of its words, and it heals."""

import sqlite3

import pytest

from tests.support.site import Browser, Site
from ticketbot.db import connect, session
from ticketbot.db.models import Base

SOMEBODY = {"name": "rita", "password": "some words here"}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "BUSY_TIMEOUT_MS", 100)
    return tmp_path / "ticketbot.db"


@pytest.fixture
def site(path, settings_with):
    db = connect(f"sqlite:///{path}")
    Base.metadata.create_all(db.engine)
    yield Site(db, settings_with())
    db.close()


def sign_in(site, kind="text/html"):
    browser = Browser(site.app.test_client())
    browser.get("/login")
    return browser.client.post("/login", data={**SOMEBODY, "csrf_token": browser.csrf}, headers={"Accept": kind})


def test_who_writes_while_the_lock_is_held_is_told_to_come_back_and_may(site, path, caplog):
    hog = sqlite3.connect(path, isolation_level=None)
    hog.execute("BEGIN IMMEDIATE")
    page, problem = sign_in(site), sign_in(site, "application/json")
    hog.close()
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert (problem.status_code, problem.json["code"], problem.json["retryable"]) == (503, "busy", True)
    assert int(page.headers["Retry-After"]) > 0 and int(problem.headers["Retry-After"]) > 0
    assert problem.json["error_id"] in caplog.text
    assert "INSERT" not in page.text + problem.text and "sqlite" not in page.text + problem.text
    assert sign_in(site).status_code == 401, "nobody of that name, as ever"


def test_a_database_that_cannot_be_opened_is_no_error_of_the_caller(tmp_path, settings_with):
    (tmp_path / "gone.db").mkdir()
    site = Site(connect(f"sqlite:///{tmp_path / 'gone.db'}"), settings_with())
    answer = site.app.test_client().get("/login", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (503, "busy")
    assert int(answer.headers["Retry-After"]) > 0
    assert site.app.test_client().get("/healthz").status_code == 200
    site.db.close()
