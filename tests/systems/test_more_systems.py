"""More ticket systems for real: from the file on their disk to the answer on their ticket.

Tryton, Redmine and Request Tracker are started here from their own packages. Redmine and Request Tracker are Debian
packages, so they are tried where they are installed: apt-get install redmine redmine-sqlite request-tracker5
rt5-db-sqlite. Znuny, Odoo, GLPI and Frappe are tried where they run already: tests/support/ticket_systems/running.py
says how the tests are told.
"""

import hashlib
import json
import os
import threading
import time
import tomllib
from typing import ClassVar

import pytest

from tests.support.loopback import free_port
from tests.support.needs import IN_CI
from tests.support.ticket_systems.redmine import Redmine
from tests.support.ticket_systems.request_tracker import RequestTracker
from tests.support.ticket_systems.running import Frappe, Glpi, Odoo, Odoo19, Znuny
from tests.support.ticket_systems.tryton import MODEL, NAME, Tryton
from tests.systems.conftest import jpeg, resolver
from ticketbot import flow
from ticketbot.collect import inbound
from ticketbot.deliver import admin
from ticketbot.systems import preset
from ticketbot.web.serving import WebServer

SECRET = "hook-secret-for-tests"


class Desk:
    """What a test asks of each of them. `endpoint`: values, secrets and names; `query`: changes of its lookup SQL."""

    preset = ""
    has_tags = has_confidence = True
    names: ClassVar = {}
    # What it answers when asked for a ticket that is not there; None: 200, with an error in the body.
    gone = 404

    def __init__(self, system):
        self.system = system

    def settings(self):
        values, secrets = self.endpoint()
        found = {"url": self.system.url, "preset": self.preset, "values": values, "secrets": secrets}
        found["names"] = self.names
        return {f"endpoints.desk.{key}": value for key, value in found.items()}

    def source(self, *, indexed=False):
        """The preset's own resolver, on this system's database; `indexed`: behind the preset's own index."""
        found = resolver(self.preset, root=self.system.files)
        if indexed:
            found["sources.desk.ticket"][:0] = tomllib.loads(preset.read(self.preset).about.index)["ticket"]
        for link in found["sources.desk.ticket"]:
            if link["kind"].startswith("sql"):
                link["url"] = self.system.database
                link["query"] = self.query(link["query"])
        return found

    def query(self, text):
        return text

    # A class says so where it can: what it would tell us of a new attachment.
    event = staticmethod(lambda ticket: None)


class TrytonDesk(Desk):
    preset, has_tags = "tryton", False

    def endpoint(self):
        values = {"database": NAME, "model": MODEL, "category_field": "category", "confidence_field": "confidence"}
        return values, {"key": self.system.key}

    def query(self, text):
        assert "project.work" in text
        return text.replace("project.work", MODEL)

    def look(self, ticket):
        found = self.system.ticket(ticket)
        return found["category"], found["confidence"], [], self.system.notes(ticket)

    def change(self, ticket, category):
        self.system.set(ticket, category=category)


class RedmineDesk(Desk):
    preset = "redmine"

    def event(self, ticket):
        # Redmine 7 sends this itself; 5 has no webhooks.
        return {"type": "issue.created", "data": {"issue": {"id": int(ticket), "subject": "cannot print"}}}

    def endpoint(self):
        return {f"{name}_field": id_ for name, id_ in self.system.fields.items()}, {"api_key": self.system.keys["bot"]}

    def look(self, ticket):
        category, confidence, tags = (self.system.field(ticket, name) for name in ("category", "confidence", "tags"))
        return category, float(confidence) if confidence else None, tags, self.system.notes(ticket)

    def change(self, ticket, category):
        self.system.set(ticket, category=category)

    def tag(self, ticket):
        self.system.set(ticket, tags=["vip"])


class RequestTrackerDesk(Desk):
    preset = "request-tracker"

    def endpoint(self):
        names = {"category_field": "Category", "confidence_field": "Confidence", "tags_field": "Tags"}
        return names, {"token": self.system.tokens["bot"]}

    def look(self, ticket):
        values = [self.system.field(ticket, name) for name in ("Category", "Confidence", "Tags")]
        category, confidence, tags = values
        one = category[0] if category else None
        return one, float(confidence[0]) if confidence else None, tags, self.system.notes(ticket)

    def change(self, ticket, category):
        self.system.set(ticket, Category=category)

    def tag(self, ticket):
        self.system.set(ticket, Tags=["vip"])


class ZnunyDesk(Desk):
    preset, gone = "znuny", None

    def event(self, ticket):
        return {"TicketID": ticket}

    def endpoint(self):
        names = {"category_field": "PictureCategory", "confidence_field": "PictureConfidence"}
        return {"user": "bot", "tags_field": "PictureTags", **names}, {"password": self.system.logins["bot"]}

    def look(self, ticket):
        names = ("PictureCategory", "PictureConfidence", "PictureTags")
        category, confidence, tags = (self.system.field(ticket, name) for name in names)
        return category or None, float(confidence) if confidence else None, tags or [], self.system.notes(ticket)

    def change(self, ticket, category):
        self.system.set(ticket, PictureCategory=category)

    def tag(self, ticket):
        self.system.set(ticket, PictureTags=["vip"])


class OdooDesk(Desk):
    preset, gone = "odoo-jsonrpc", None

    def endpoint(self):
        names = {"category_field": "x_category", "confidence_field": "x_confidence"}
        return {"database": self.system.name, "user": "bot", **names}, {"password": self.system.logins["bot"]}

    def look(self, ticket):
        category, confidence = self.system.field(ticket, "x_category"), self.system.field(ticket, "x_confidence")
        return category or None, confidence or None, self.system.tags(ticket), self.system.notes(ticket)

    def change(self, ticket, category):
        self.system.set(ticket, x_category=category)

    def tag(self, ticket):
        self.system.tag(ticket, "vip")


class Odoo19Desk(OdooDesk):
    preset = "odoo"

    def endpoint(self):
        names = {"category_field": "x_category", "confidence_field": "x_confidence"}
        return {"database": self.system.name, **names}, {"api_key": self.system.key}


class GlpiDesk(Desk):
    preset, has_tags, has_confidence = "glpi", False, False

    @property
    def names(self):
        return self.system.categories

    def endpoint(self):
        return {}, {"user_token": self.system.tokens["bot"]}

    def look(self, ticket):
        return self.system.category(ticket), None, [], self.system.notes(ticket)

    def change(self, ticket, category):
        self.system.set_category(ticket, category)


class FrappeDesk(Desk):
    preset = "frappe"

    def event(self, ticket):
        return {"attached_to_name": ticket}

    def endpoint(self):
        key, secret = self.system.keys["bot"]
        names = {"category_field": "custom_category", "confidence_field": "custom_confidence"}
        return names, {"api_key": key, "api_secret": secret}

    def look(self, ticket):
        category, confidence = (
            self.system.field(ticket, "custom_category"),
            self.system.field(ticket, "custom_confidence"),
        )
        return category or None, confidence or None, self.system.tags(ticket), self.system.notes(ticket)

    def change(self, ticket, category):
        self.system.set(ticket, custom_category=category)

    def tag(self, ticket):
        self.system.tag(ticket, "vip")


KINDS = {
    "tryton": (Tryton, TrytonDesk),
    "redmine": (Redmine, RedmineDesk),
    "rt": (RequestTracker, RequestTrackerDesk),
    "znuny": (Znuny, ZnunyDesk),
    "odoo": (Odoo, OdooDesk),
    "odoo19": (Odoo19, Odoo19Desk),
    "glpi": (Glpi, GlpiDesk),
    "frappe": (Frappe, FrappeDesk),
}
PACKAGED = {"redmine", "rt"}


@pytest.fixture(scope="module", params=KINDS)
def desk(request, tmp_path_factory):
    kind, seen_as = KINDS[request.param]
    if IN_CI and request.param in PACKAGED and not os.environ.get("TICKETBOT_ALL_SYSTEMS"):
        pytest.skip("a Debian package that CI does not install; TICKETBOT_ALL_SYSTEMS=1 where it is")
    folder = tmp_path_factory.mktemp(request.param)
    with kind(folder) as system:
        yield seen_as(system)


@pytest.fixture
def outbox(outbox_with, desk):
    return outbox_with({**desk.settings(), "deliver.timeout_s": 60})


def spooled(desk, **inbound):
    """Settings without a tree: the pictures are fetched."""
    hook = {"enabled": True, "secret": SECRET, **inbound}
    return {**desk.settings(), "sources.desk.inbound": hook, "deliver.timeout_s": 60}


def answered(whole, desk, ticket):
    """From the queue of events to the ticket."""
    assert flow.receive(whole.app)["fetched"] == 1
    whole.poll()
    (picture,) = whole.pictures_of(ticket)
    whole.predict(picture)
    assert whole.deliver()["delivered"] == 1
    category, _, _, notes = desk.look(ticket)
    assert (category, len(notes)) == ("errors", 1)
    return picture


def test_without_a_tree_it_is_fetched_from(whole_with, desk):
    if desk.event("7") is None:
        pytest.skip("its preset fetches nothing, or is tried below with its own hook")
    whole = whole_with(spooled(desk))
    whole.poll()
    ticket = desk.system.create(jpeg(6))
    inbound.queue(whole.app.db, "desk", "1", json.dumps(desk.event(ticket)).encode(), time.time())
    assert answered(whole, desk, ticket) == hashlib.sha256(jpeg(6)).hexdigest()


def note(id_):
    return f"ticketbot: errors, 97 % sure (1 picture, model m1). Ref {id_}"


def test_category_confidence_and_note_are_on_the_ticket_once(outbox, desk):
    ticket = desk.system.create(jpeg(1))
    id_ = outbox.say(ticket)
    assert outbox.deliver() == {"delivered": 1}, outbox.attempts(id_)[0].response.decode()
    category, confidence, tags, notes = desk.look(ticket)
    assert (category, confidence, notes) == ("errors", 0.9731 if desk.has_confidence else None, [note(id_)])
    assert tags == (["errors"] if desk.has_tags else [])
    admin.redeliver(outbox.db, "again", "ann", time.time(), ids=[id_])
    assert outbox.deliver(1) == {"delivered": 1}
    assert desk.look(ticket) == (category, confidence, tags, notes)


def test_a_persons_category_stays_and_nothing_is_written(outbox, desk):
    ticket = desk.system.create(jpeg(2))
    desk.change(ticket, "screens")
    outbox.say(ticket)
    assert outbox.deliver() == {"delivered": 1}
    category, confidence, tags, notes = desk.look(ticket)
    assert (category, confidence, tags, notes) == ("screens", None, [], [])


def test_a_persons_tag_stays(outbox, desk):
    if not desk.has_tags:
        pytest.skip("it has no tags")
    ticket = desk.system.create(jpeg(3))
    desk.tag(ticket)
    outbox.say(ticket)
    assert outbox.deliver() == {"delivered": 1}
    assert sorted(desk.look(ticket)[2]) == ["errors", "vip"]


def test_our_own_correction_replaces_our_category(outbox, desk):
    ticket = desk.system.create(jpeg(4))
    outbox.say(ticket)
    outbox.deliver()
    outbox.say(ticket, "screens", None, by="person", previous="errors")
    assert outbox.deliver(60) == {"delivered": 1}
    category, confidence, _, notes = desk.look(ticket)
    assert (category, confidence, len(notes)) == ("screens", 1.0 if desk.has_confidence else None, 2)


def test_a_ticket_that_is_not_there_is_said(outbox, desk):
    id_ = outbox.say("999999")
    assert outbox.deliver() == {"retry": 1}
    assert outbox.answer(id_).last_status == desk.gone
    assert outbox.alerts() == ["refused"]


def test_from_the_file_on_its_disk_to_the_ticket_and_back_as_a_label(whole_with, desk):
    settings = {**desk.settings(), **desk.source(), "sources.desk.corrections": True, "deliver.timeout_s": 60}
    whole = whole_with(settings)
    whole.poll()  # what is there already is history
    ticket = desk.system.create(jpeg(time.time_ns() % 10**9))  # one that runs already may have had the others
    for _ in range(3):
        whole.poll()
    (picture,) = whole.pictures_of(ticket)
    whole.predict(picture)
    assert whole.deliver()["delivered"] == 1
    category, _, _, notes = desk.look(ticket)
    assert (category, len(notes)) == ("errors", 1)

    desk.change(ticket, "tickets")
    whole.app.now = lambda: time.time() + 100_000  # a day later, in which we stood still
    assert flow.read_corrections(whole.app) == {"changed": 1}
    label = whole.label(picture)
    assert (label.category, label.who) == ("tickets", "ticket:desk")


def test_a_ticket_that_gets_equal_bytes_later_is_answered_though_no_file_is_new(whole_with, desk):
    if not preset.read(desk.preset).about.index:
        pytest.skip("it stores every file by itself")
    whole = whole_with({**desk.settings(), **desk.source(indexed=True), "deliver.timeout_s": 60})
    whole.poll()
    picture = jpeg(time.time_ns() % 10**9)
    first = desk.system.create(picture)
    for _ in range(3):
        whole.poll()
    assert whole.pictures_of(first) == [hashlib.sha256(picture).hexdigest()]
    whole.predict(*whole.pictures_of(first))
    assert whole.deliver()["delivered"] == 1

    second = desk.system.create(picture, "the same again")
    whole.app.now = lambda: time.time() + 200_000  # later than any overlap_s
    assert whole.poll()["scan"]["new"] == 0
    assert whole.pictures_of(second) == whole.pictures_of(first)
    assert whole.deliver()["delivered"] == 1
    assert [desk.look(ticket)[0] for ticket in (first, second)] == ["errors", "errors"]
    assert [len(desk.look(ticket)[3]) for ticket in (first, second)] == [1, 1]


def test_request_trackers_own_scrip_reaches_us_though_its_pictures_are_in_the_database(whole_with, tmp_path):
    if IN_CI and not os.environ.get("TICKETBOT_ALL_SYSTEMS"):
        pytest.skip("a Debian package that CI does not install; TICKETBOT_ALL_SYSTEMS=1 where it is")
    port = free_port()
    (tmp_path / "rt").mkdir()
    with RequestTracker(tmp_path / "rt", f"http://127.0.0.1:{port}/inbound/desk", SECRET) as tracker:
        desk = RequestTrackerDesk(tracker)
        whole = whole_with({**spooled(desk), "web.port": port})
        whole.poll()
        server = WebServer(whole.app.flask(), whole.app.settings)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            ticket = tracker.create(jpeg(7), moved=False)  # RT has called when this is answered
            assert answered(whole, desk, ticket) == hashlib.sha256(jpeg(7)).hexdigest()
        finally:
            server.stop()
            thread.join(10)
