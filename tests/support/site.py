"""A web app with people in it, for tests of pages: `site = Site(db, settings)`, `browser = site.sign_in("rita")`."""

import re
from dataclasses import dataclass, field

from flask import Flask
from flask.testing import FlaskClient

from ticketbot.db import Database
from ticketbot.settings import Settings
from ticketbot.web import accounts, passwords, tokens
from ticketbot.web.context import Services
from ticketbot.web.site import create_app
from ticketbot.web.tally import Tallies

PASSWORD = "nine purple kettles"
HASH = passwords.hashed(PASSWORD)
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')


class Clock:
    """A time that tests move: `clock.now += 60`."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    db: Database
    settings: Settings
    blueprints: tuple = ()
    clock: Clock = field(default_factory=Clock)
    services: Services = field(init=False)
    app: Flask = field(init=False)

    def __post_init__(self) -> None:
        self.services = Services(self.settings, self.db, now=self.clock, tallies=Tallies(fresh_s=0))
        self.app = create_app(self.services, self.blueprints)
        self.app.testing = False

    def person(self, name: str, role: str = "reviewer", password_hash: str = HASH) -> int:
        with self.db.write() as session:
            secret = accounts.make_invite(session, name, role, self.clock.now)
            account = accounts.invited(session, secret, self.clock.now)
            accounts.set_password(session, account.id, password_hash, secret)
            return account.id

    def sign_in(self, name: str, role: str = "reviewer") -> "Browser":
        with self.db.read() as session:
            known = accounts.find(session, name)
        if known is None:
            self.person(name, role)
        browser = Browser(self.app.test_client())
        answer = browser.post("/login", {"name": name, "password": PASSWORD})
        assert answer.status_code == 302, answer.text
        return browser

    def token(self, *scopes: str, expires_at: float | None = None) -> str:
        with self.db.write() as session:
            return tokens.make(session, "a program", list(scopes), self.clock.now, expires_at)


@dataclass
class Browser:
    """A test client that behaves like a browser: asks for pages and sends the CSRF token of the last one."""

    client: FlaskClient
    csrf: str = ""

    def get(self, path: str, **more):
        answer = self.client.get(
            path, headers={"Accept": "text/html", **more.pop("headers", {})}, buffered=True, **more
        )
        found = CSRF.search(answer.text) if answer.mimetype == "text/html" else None
        self.csrf = found[1] if found else self.csrf
        return answer

    def post(self, path: str, form: dict | None = None, **more):
        if not self.csrf:
            self.get("/login")
        data = {"csrf_token": self.csrf, **(form or {})}
        answer = self.client.post(path, data=data, headers={"Accept": "text/html"}, **more)
        self.csrf = "" if path == "/login" else self.csrf
        return answer

    def send(self, path: str, body: dict | None = None):
        """POST JSON as our scripts do."""
        if not self.csrf:
            self.get("/account")
        return self.client.post(path, json=body or {}, headers={"X-CSRFToken": self.csrf})
