"""A ticket system calls us: verified, queued, answered at once; then its attachment comes, or its agent's word."""

import hashlib
import hmac
import json
import statistics
import threading
import time
from urllib.parse import urlencode

import pytest
import requests
from sqlalchemy import func, select, update

from tests.support.loopback import Pages, free_port
from tests.support.ticket_systems.djhelpdesk import DjangoHelpdesk
from tests.support.ticket_systems.roundup import Roundup
from tests.systems.conftest import answered_on, jpeg, resolver
from ticketbot import flow
from ticketbot.collect import inbound
from ticketbot.db.models import FileTicket, InboundEvent, LabelEvent, Ticket
from ticketbot.errors import SettingsError
from ticketbot.review import labels
from ticketbot.web.serving import WebServer

SECRET = "hook-secret-for-tests"


class Served:
    """The web process of a Whole, in a thread."""

    def __init__(self, whole):
        self.server = WebServer(whole.app.flask(), whole.app.settings)
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()

    def close(self):
        self.server.stop()
        self.thread.join(10)


@pytest.fixture
def served():
    made = []

    def serve(whole):
        made.append(Served(whole))
        return made[-1]

    yield serve
    for one in made:
        one.close()


def signed(body, secret=SECRET, algorithm="sha1"):
    return f"{algorithm}=" + hmac.new(secret.encode(), body, algorithm).hexdigest()


def events(whole):
    with whole.app.db.read() as session:
        return list(session.scalars(select(InboundEvent).order_by(InboundEvent.id)))


# --- the call ---


class Zammad(Pages):
    """What a Zammad with its files in the database is to us: attachments behind its token."""

    @property
    def called(self):
        """(path, credentials), in order."""
        return [(path, headers.get("Authorization")) for path, headers in self.asked]

    def event(self, ticket, *files, subject="cannot print"):
        attachments = [{"id": n, "filename": name, "url": url} for n, (name, url) in enumerate(files)]
        document = {"ticket": {"id": ticket}, "article": {"subject": subject, "attachments": attachments}}
        return json.dumps(document).encode()


@pytest.fixture
def zammad():
    with Zammad() as found:
        yield found


@pytest.fixture
def elsewhere():
    """Where a redirect may lead."""
    with Zammad() as found:
        yield found


@pytest.fixture
def whole(whole_with, zammad):
    made = whole_with(
        {
            "sources.desk.inbound": {"enabled": True, "secret": SECRET},
            "endpoints.desk.url": zammad.url,
            "endpoints.desk.preset": "zammad",
            "endpoints.desk.secrets": {"token": "zammad-token"},
            "web.port": 0,
        }
    )
    made.poll()
    return made


def post(url, body, id_="delivery-1", **headers):
    given = {"X-Hub-Signature": signed(body), "X-Zammad-Delivery": id_, **headers}
    return requests.post(url + "/inbound/desk", data=body, headers=given, timeout=10)


def test_a_signed_call_is_queued_once(whole, served, zammad):
    url, body = served(whole).url, zammad.event(7)
    first, again = post(url, body), post(url, body)
    assert (first.status_code, first.json()) == (202, {"queued": True, "duplicate": False})
    assert (again.status_code, again.json()) == (200, {"queued": False, "duplicate": True})
    assert len(events(whole)) == 1


def test_the_same_words_without_an_id_are_a_new_event_once_the_first_was_begun(whole, served, zammad):
    """Systems without delivery ids say the same of every new attachment of a ticket."""
    zammad.pages["/file/1"] = (200, {}, jpeg(7))
    body = zammad.event(7, ("a.jpg", zammad.url + "/file/1"))
    url = served(whole).url
    assert [post(url, body, "").status_code for _ in range(2)] == [202, 200]
    assert flow.receive(whole.app)["fetched"] == 1
    assert post(url, body, "").status_code == 202
    assert flow.receive(whole.app)["done"] == 1
    assert len(events(whole)) == 1


def test_what_is_not_signed_by_it_is_refused_and_not_kept(whole, served, zammad):
    url, body = served(whole).url, zammad.event(7)
    assert post(url, body, **{"X-Hub-Signature": signed(body, "other")}).status_code == 401
    assert requests.post(url + "/inbound/desk", data=body, timeout=10).status_code == 401
    assert requests.post(url + "/inbound/other", data=body, timeout=10).status_code == 404
    assert requests.get(url + "/inbound/desk", timeout=10).status_code == 405
    assert events(whole) == []


def test_it_is_answered_at_once(whole, served, zammad):
    url = served(whole).url
    took_ms = []
    for number in range(20):
        body = zammad.event(number)
        began = time.monotonic()
        assert post(url, body, f"d{number}").status_code == 202
        took_ms.append((time.monotonic() - began) * 1000)
    assert statistics.median(took_ms) < 100  # 50 on an idle machine


def test_a_round_by_hand_works_on_what_we_were_told(whole, served, zammad):
    zammad.pages["/file/1"] = (200, {}, jpeg(8))
    post(served(whole).url, zammad.event(7, ("a.jpg", zammad.url + "/file/1")))
    result = flow.until_idle(whole.app)
    assert result["steps"]["inbound"]["fetched"] == 1
    assert result["pending"]["inbound_events"] == 0
    assert whole.pictures_of("7") == [hashlib.sha256(jpeg(8)).hexdigest()]


# --- without a tree: the attachment is fetched ---


def test_an_attachment_is_fetched_with_the_systems_credentials_and_found_on_its_ticket(whole, served, zammad):
    zammad.pages["/api/v1/ticket_attachment/7/1/2"] = (200, {}, jpeg(1))
    url = served(whole).url
    body = zammad.event(7, ("shot.jpg", zammad.url + "/api/v1/ticket_attachment/7/1/2"), ("a.pdf", zammad.url + "/x"))
    assert post(url, body).status_code == 202
    assert flow.receive(whole.app) == {"done": 1, "ignored": 0, "failed": 0, "fetched": 1}
    assert zammad.called == [("/api/v1/ticket_attachment/7/1/2", "Token token=zammad-token")]
    assert whole.pictures_of("7") == [hashlib.sha256(jpeg(1)).hexdigest()]
    post(url, body, "delivery-2")  # told again under another id
    assert flow.receive(whole.app)["fetched"] == 0
    assert len(zammad.asked) == 1


def test_our_own_note_that_comes_back_is_ignored(whole, served, zammad):
    post(served(whole).url, zammad.event(7, subject="ticketbot"))
    assert flow.receive(whole.app)["ignored"] == 1
    assert events(whole)[0].outcome == "our own"


def test_an_attachment_elsewhere_is_fetched_only_where_the_operator_says(whole, served, zammad, elsewhere):
    elsewhere.pages["/store/1"] = (200, {}, jpeg(2))
    zammad.pages["/file/1"] = (302, {"Location": elsewhere.url + "/store/1"}, b"")
    post(served(whole).url, zammad.event(7, ("a.jpg", zammad.url + "/file/1")))
    assert flow.receive(whole.app)["failed"] == 1
    assert elsewhere.asked == []
    assert "download" in events(whole)[0].outcome and events(whole)[0].due_at is not None
    whole.app.settings.sources["desk"].inbound.__dict__["download"] = (elsewhere.netloc,)
    with whole.app.db.write() as session:
        session.get(InboundEvent, events(whole)[0].id).due_at = 0.0
    assert flow.receive(whole.app)["fetched"] == 1
    assert elsewhere.called == [("/store/1", None)]  # without our token


def test_a_system_that_is_down_is_asked_again_later(whole, served, zammad):
    post(served(whole).url, zammad.event(7, ("a.jpg", zammad.url + "/not/there/yet")))
    assert flow.receive(whole.app)["failed"] == 1
    assert 5 < events(whole)[0].due_at - time.time() < 15
    assert flow.receive(whole.app)["failed"] == 0


@pytest.mark.parametrize("ticket", ["../x", "a/b", ".", "", None, "x" * 200])
def test_a_ticket_that_is_no_folder_name_is_not_used(whole, served, zammad, ticket):
    zammad.pages["/f"] = (200, {}, jpeg(3))
    post(served(whole).url, zammad.event(ticket, ("a.jpg", zammad.url + "/f")))
    assert flow.receive(whole.app)["fetched"] == 0
    assert zammad.asked == []


def test_a_hook_without_its_secret_is_said_at_the_start(whole_with):
    desk = {"endpoints.desk.url": "https://x.example", "endpoints.desk.preset": "zammad"}
    desk |= {"endpoints.desk.secrets": {"token": "t0ken"}, "sources.desk.inbound": {"enabled": True}}
    with pytest.raises(SettingsError, match="secret"):
        whole_with(desk)
    with pytest.raises(SettingsError, match="callers"):
        whole_with({**desk, "sources.desk.inbound": {"enabled": True, "how": {"scheme": "none"}}})


# --- for real: the system's own webhook, and what an agent changes ---


def labels_of(whole):
    with whole.app.db.read() as session:
        return list(session.scalars(select(LabelEvent).order_by(LabelEvent.id)))


def until(condition, most_s=20):
    ends_at = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.1)


def look_now(whole):
    with whole.app.db.write() as session:
        for ticket in session.scalars(select(Ticket).where(Ticket.look_at.is_not(None))):
            ticket.look_at = time.time() - 1


def test_roundups_webhook_reaches_us_and_an_agents_change_comes_back_as_a_label(whole_with, served):
    port = free_port()
    with Roundup(f"http://127.0.0.1:{port}/inbound/desk", SECRET) as tracker:
        whole = whole_with(
            {
                **resolver("roundup"),
                "sources.desk.root": tracker.files,
                "sources.desk.inbound": {"enabled": True, "secret": SECRET},
                "sources.desk.corrections": True,
                **answered_on("roundup", tracker),
                "web.port": port,
            }
        )
        served(whole)
        tracker.create(jpeg(99))  # its folder of files is there from now on; what it holds is history
        until(lambda: events(whole))
        flow.receive(whole.app)
        whole.poll()
        issue = tracker.create(jpeg(1))
        until(lambda: len(events(whole)) == 2)
        flow.receive(whole.app)
        (picture,) = whole.pictures_of(issue)
        whole.predict(picture)
        assert whole.deliver()["delivered"] == 1

        # What we wrote comes back and is nothing new.
        until(lambda: len(events(whole)) == 3)
        assert flow.receive(whole.app)["ignored"] == 1

        tracker.set(issue, category="screens")
        until(lambda: len(events(whole)) == 4)
        flow.receive(whole.app)
        look_now(whole)
        assert flow.read_corrections(whole.app) == {"changed": 1}
        (word,) = labels_of(whole)
        assert (word.new, word.how, word.who) == ("screens", "ticket", "ticket:desk")
        assert (word.suggested, word.suggested_by) == ("errors", "m1")
        assert whole.label(picture).category == "screens"
        assert whole.deliver() == {}  # the ticket says so already
        look_now(whole)
        assert flow.read_corrections(whole.app) in ({}, {"read": 1})
        assert len(labels_of(whole)) == 1


def test_django_helpdesks_unsigned_webhook_and_a_scheduled_read(whole_with, served, tmp_path):
    port = free_port()
    with DjangoHelpdesk(tmp_path / "helpdesk", f"http://127.0.0.1:{port}/inbound/desk") as desk:
        whole = whole_with(
            {
                **resolver("django-helpdesk"),
                "sources.desk.root": desk.media,
                "sources.desk.inbound": {"enabled": True, "callers": ["127.0.0.1"]},
                "sources.desk.corrections": True,
                **answered_on("django-helpdesk", desk),
                "web.port": port,
            }
        )
        served(whole)
        whole.poll()
        ticket = desk.create(jpeg(2))
        until(lambda: events(whole))
        flow.receive(whole.app)
        (picture,) = whole.pictures_of(ticket)
        whole.predict(picture)
        assert whole.deliver()["delivered"] == 1
        assert len(desk.notes(ticket)) == 1

        desk.set(ticket, custom_category="reports")
        assert flow.read_corrections(whole.app) == {}  # not its time yet
        look_now(whole)
        assert flow.read_corrections(whole.app) == {"changed": 1}
        assert [(one.new, one.how) for one in labels_of(whole)] == [("reports", "ticket")]


def several(whole, zammad, ticket, number):
    """A ticket with so many pictures that we answered `errors`; their sha256."""
    files = [(f"{n}.jpg", f"{zammad.url}/{ticket}/{n}") for n in range(number)]
    for n, (_, url) in enumerate(files):
        zammad.pages[url.removeprefix(zammad.url)] = (200, {}, jpeg(100 * int(ticket) + n))
    inbound.queue(whole.app.db, "desk", f"several-{ticket}", zammad.event(ticket, *files), time.time())
    assert flow.receive(whole.app)["fetched"] == number
    found = sorted(whole.pictures_of(ticket))
    for one in found:
        whole.predict(one)
    current = {"id": int(ticket), "picture_category": "errors"}
    zammad.pages[f"/api/v1/tickets/{ticket}"] = (200, {}, json.dumps(current).encode())
    with whole.app.db.write() as session:
        session.execute(update(Ticket).values(category="errors", by="m1", due_at=None, answered_at=time.time()))
        session.execute(update(Ticket).values(look_at=time.time() - 1))
    return found


def a_person_says(whole, sha256, category):
    with whole.app.db.write() as session:
        labels.record(session, sha256=sha256, new=category, who="ann", at=time.time(), how="page", key=f"k-{sha256}")


def an_agent_sets(whole, zammad, ticket, category):
    current = {"id": int(ticket), "picture_category": category}
    zammad.pages[f"/api/v1/tickets/{ticket}"] = (200, {}, json.dumps(current).encode())
    return flow.read_corrections(whole.app)


@pytest.fixture
def teaching(whole_with, zammad):
    made = whole_with(
        {
            "sources.desk.inbound": {"enabled": True, "secret": SECRET},
            "sources.desk.corrections": True,
            "endpoints.desk.url": zammad.url,
            "endpoints.desk.preset": "zammad",
            "endpoints.desk.values": {"category_field": "picture_category"},
            "endpoints.desk.secrets": {"token": "zammad-token"},
        }
    )
    made.poll()
    return made


def test_of_several_pictures_none_is_taught_when_it_is_not_clear_which(teaching, zammad):
    several(teaching, zammad, "7", 2)
    assert an_agent_sets(teaching, zammad, "7", "screens") == {"several": 1}
    assert labels_of(teaching) == []


def test_of_several_pictures_the_only_one_nobody_has_labelled_is_taught(teaching, zammad):
    one, other = several(teaching, zammad, "8", 2)
    a_person_says(teaching, one, "reports")
    assert an_agent_sets(teaching, zammad, "8", "screens") == {"changed": 1}
    word = labels_of(teaching)[-1]
    assert (word.sha256, word.new, word.who) == (other, "screens", "ticket:desk")


def test_a_change_that_a_labelled_picture_explains_teaches_nothing(teaching, zammad):
    one, _ = several(teaching, zammad, "9", 2)
    a_person_says(teaching, one, "screens")
    assert an_agent_sets(teaching, zammad, "9", "screens") == {"several": 1}
    assert [word.who for word in labels_of(teaching)] == ["ann"]


def test_without_the_setting_agents_teach_nothing(whole_with, tmp_path):
    with DjangoHelpdesk(tmp_path / "helpdesk") as desk:
        whole = whole_with(
            {
                **resolver("django-helpdesk"),
                "sources.desk.root": desk.media,
                **answered_on("django-helpdesk", desk),
            }
        )
        whole.poll()
        ticket = desk.create(jpeg(3))
        for _ in range(2):
            whole.poll()
        whole.predict(*whole.pictures_of(ticket))
        whole.deliver()
        desk.set(ticket, custom_category="reports")
        assert flow.read_corrections(whole.app) == {}
        with whole.app.db.read() as session:
            assert session.scalar(select(func.count()).select_from(Ticket).where(Ticket.look_at.is_not(None))) == 0
            assert session.scalar(select(func.count()).select_from(FileTicket)) == 1


# --- forms ---


def test_a_form_with_a_payload_is_read_as_what_is_in_it(whole, served, zammad):
    zammad.pages["/file/1"] = (200, {}, jpeg(9))
    body = urlencode({"payload": zammad.event(7, ("a.jpg", zammad.url + "/file/1"))}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert post(served(whole).url, body, **form).status_code == 202
    assert flow.receive(whole.app)["fetched"] == 1
    assert whole.pictures_of("7") == [hashlib.sha256(jpeg(9)).hexdigest()]


def test_a_form_with_fields_is_read_by_their_names(whole, served, zammad):
    zammad.pages["/file/2"] = (200, {}, jpeg(10))
    file = {"article[attachments][0][filename]": "a.jpg", "article[attachments][0][url]": zammad.url + "/file/2"}
    body = urlencode({"ticket[id]": "8", **file}).encode()
    assert post(served(whole).url, body, "form-2").status_code == 202
    assert flow.receive(whole.app)["fetched"] == 1
    assert whole.pictures_of("8") == [hashlib.sha256(jpeg(10)).hexdigest()]


def test_what_is_neither_is_ignored(whole, served, zammad):
    for number, body in enumerate((b"\xff\xd8\xff", b"hello", b'{"ticket": ', b"a[b=1", b"a=1&a[b]=2", b"[" * 100_000)):
        assert post(served(whole).url, body, f"none-{number}").status_code == 202
    assert flow.receive(whole.app)["ignored"] == 6
    assert {one.outcome for one in events(whole)} == {"neither JSON nor a form"}
