"""Endpoints and classes in Set-up: what a person can do there, and what is said about a change of the classes."""

import re
import time

import pytest

from tests.support.gallery import NOW, champion, jpeg, staged
from tests.support.loopback import free_port
from tests.support.outbox import SECRET, put_answers
from tests.support.receiver import Receiver
from tests.support.site import Site
from ticketbot.db.models import Answer, Audit, EndpointState, Label, LabelEvent, Switch
from ticketbot.deliver import keys, send
from ticketbot.operate import classes, endpoints
from ticketbot.operate.classes import Class

EVIL = "<script>alert(1)</script>\u202e\"'&"


@pytest.fixture
def desk():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def site(db, settings_with, desk):
    rules = {
        "endpoints.desk.url": desk.url,
        "endpoints.desk.allow": ["127.0.0.1"],
        "endpoints.desk.mode": "live",
        "endpoints.dry.url": "https://dry.example/in?<b>",
        "general.categories": ["reports", "errors"],
        "deliver.jitter": 0,
    }
    made = Site(db, settings_with(rules), (endpoints.blueprint, classes.blueprint))
    made.clock.now = time.time()  # the receiver has a clock of its own
    return made


@pytest.fixture
def admin(site):
    return site.sign_in("ada", "admin")


def deeds(site):
    with site.db.read() as session:
        return [one.what for one in session.query(Audit).order_by(Audit.id)]


def secret_in(text):
    return re.search(r'id="once"[^>]*value="([^"]+)"', text)[1]


def test_only_administrators_get_there(site):
    rita = site.sign_in("rita")
    assert [rita.get(path).status_code for path in ("/setup/endpoints", "/setup/classes")] == [403, 403]
    assert rita.post("/setup/endpoints/desk/secret").status_code == 403
    assert rita.post("/setup/endpoints/pause").status_code == 403


def test_a_new_secret_is_shown_once_and_the_old_one_signs_too(site, admin, desk):
    first = secret_in(admin.post("/setup/endpoints/desk/secret").text)
    site.clock.now += 10
    page = admin.post("/setup/endpoints/desk/secret").text
    second = secret_in(page)
    assert first != second and first not in page
    shown = admin.get("/setup/endpoints").text
    assert first not in shown and second not in shown and "two sign, the older until" in shown
    desk.secrets = [first]  # a receiver that has not changed over
    put_answers(site.db, [("desk", "T-1", 1)], now=site.clock.now)
    assert send.deliver_due(site.db, site.settings, site.clock) == {"delivered": 1}
    assert desk.requests[0].verified
    site.clock.now += 2 * 86400
    with site.db.read() as session:
        kept = session.get(EndpointState, "desk").secrets
    assert keys.signing(site.settings, "desk", kept, site.clock.now) == [second]
    assert "one signs" in site.sign_in("ada").get("/setup/endpoints").text
    assert deeds(site).count("endpoint secret rotated") == 2


def with_secret(site, settings_with, **more):
    """The same site, whose endpoint has a secret."""
    own = {"endpoints.desk.secret": SECRET, "endpoints.desk.allow": ["127.0.0.1"], **more}
    return Site(site.db, settings_with(own), (endpoints.blueprint,), site.clock).sign_in("ada")


def test_a_test_is_a_signed_event_about_nothing(site, admin, desk, settings_with):
    desk.secrets = [SECRET]
    desk.script((200, {}, b"thank you <b>"))
    with site.db.write() as session:  # what is paused, or has not been let go yet, can be tested too
        session.add(Switch(name="deliver.paused", value="paused", who="ada", at=NOW))
    rules = {"endpoints.desk.url": desk.url, "endpoints.desk.mode": "dry_run"}
    text = with_secret(site, settings_with, **rules).post("/setup/endpoints/desk/test").text
    assert "it took a signed test event (status 200" in text and "thank you &lt;b&gt;" in text
    (request,) = desk.requests
    assert request.verified
    assert (request.json["type"], request.ticket, request.json["data"]["pictures"]) == ("endpoint.test", None, [])
    with site.db.read() as session:
        assert (session.query(Answer).count(), session.get(EndpointState, "desk")) == (0, None)
    assert "endpoint tested" in deeds(site)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (401, "does it know the newest secret"),
        (410, "switches the endpoint off"),
        (500, "refused a signed test event with status 500"),
        ((302, {"Location": "/elsewhere"}), "redirects are never followed"),
    ],
)
def test_a_test_that_is_refused_says_what_that_means(site, admin, desk, settings_with, answer, said):
    desk.secrets = [SECRET]
    desk.script(answer)
    text = with_secret(site, settings_with, **{"endpoints.desk.url": desk.url}).post("/setup/endpoints/desk/test").text
    assert said in text and "note bad" in text
    assert len(desk.requests) == 1


def test_nothing_is_sent_without_a_secret_or_past_the_guard(site, admin, desk, settings_with):
    assert "there is no secret to sign with" in admin.post("/setup/endpoints/desk/test").text
    rules = {"endpoints.desk.url": desk.url, "endpoints.desk.allow": []}
    refused = with_secret(site, settings_with, **rules).post("/setup/endpoints/desk/test").text
    assert "may not be called (address_refused)" in refused
    assert desk.requests == []


def test_a_preset_is_only_asked_whether_it_is_there(site, admin, desk, settings_with):
    rules = {"endpoints.desk.url": desk.url, "endpoints.desk.allow": ["127.0.0.1"], "endpoints.desk.preset": "zammad"}
    asked = Site(site.db, settings_with(rules), (endpoints.blueprint,), site.clock)
    assert "to a GET" in asked.sign_in("ada").post("/setup/endpoints/desk/test").text
    assert desk.requests == []


def test_a_test_of_what_is_not_there_says_so(site, admin, settings_with):
    nobody = with_secret(site, settings_with, **{"endpoints.desk.url": f"http://127.0.0.1:{free_port()}/in"})
    assert "does not answer" in nobody.post("/setup/endpoints/desk/test").text


def test_pause_resume_and_enable(site, admin):
    assert admin.post("/setup/endpoints/desk/pause").status_code == 303
    assert admin.post("/setup/endpoints/pause").status_code == 303
    text = admin.get("/setup/endpoints").text
    assert "paused" in text and "all deliveries are paused" in text
    admin.post("/setup/endpoints/desk/resume")
    admin.post("/setup/endpoints/resume")
    with site.db.write() as session:
        session.add(EndpointState(name="desk", recent=[], secrets=[], disabled_at=NOW, disabled_why=EVIL))
    assert "Switch on" in admin.get("/setup/endpoints").text
    admin.post("/setup/endpoints/desk/enable")
    with site.db.read() as session:
        assert session.get(EndpointState, "desk").disabled_at is None
        assert session.query(Switch).count() == 0
    said = ["deliveries paused", "deliveries paused", "deliveries resumed", "deliveries resumed", "endpoint enabled"]
    assert [one for one in deeds(site) if one != "signed in"] == said


def test_what_was_held_goes_out_once_the_endpoint_is_live(site, admin):
    put_answers(site.db, [("desk", "T-1", 1), ("dry", "T-1", 1)], state="held")
    assert admin.post("/setup/endpoints/dry/release").status_code == 409
    assert admin.post("/setup/endpoints/desk/release").status_code == 303
    with site.db.read() as session:
        assert {one.endpoint: one.state for one in session.query(Answer)} == {"desk": "pending", "dry": "held"}


def test_an_alert_can_be_put_away_and_is_shown_as_text(site, admin):
    with site.db.write() as session:
        session.add(Switch(name="alert.desk.refused", value=EVIL, who="deliver", at=NOW))
    text = admin.get("/setup/endpoints").text
    assert "&lt;script&gt;" in text and "<script>alert" not in text and "\u202e" not in text
    admin.post("/setup/endpoints/desk/dismiss", {"code": "refused"})
    assert "&lt;script&gt;" not in admin.get("/setup/endpoints").text


@pytest.mark.parametrize("path", ["nobody/test", "desk/explode", "explode"])
def test_what_is_not_there_is_not_done(admin, path):
    assert admin.post(f"/setup/endpoints/{path}").status_code == 404


@pytest.mark.parametrize(
    ("categories", "model", "labels", "expected"),
    [
        (("a", "b"), ["a", "b"], {"a": 5, "b": 5}, [Class("a", True, True, 5, 0), Class("b", True, True, 5, 0)]),
        (("a", "new"), ["a"], {"a": 5}, [Class("a", True, True, 5, 0), Class("new", True, False, 0, 5)]),
        (("a",), ["a", "old"], {"a": 9, "old": 7}, [Class("a", True, True, 9, 0), Class("old", False, True, 7, 0)]),
        ((), [], {"word": 1}, [Class("word", False, False, 1, 4)]),
    ],
)
def test_settings_labels_and_model_are_compared(categories, model, labels, expected):
    assert classes.compared(categories, model, labels, 5) == expected


def test_the_page_says_what_happens_when_classes_change(site, admin):
    champion(site.db, classes=["reports", "bills"])
    picture = staged(site.db, site.settings, jpeg("a"))
    with site.db.write() as session:
        event = LabelEvent(key="k" * 8, sha256=picture, new="bills", who="rita", at=NOW, how="page")
        session.add(event)
        session.flush()
        session.add(Label(sha256=picture, category="bills", version=event.id, who="rita", at=NOW))
    text = admin.get("/setup/classes").text
    for said in (
        "The model in service knows bills, which the settings do not name",
        "Its labels are kept and not used",
        "Until then the model never says it",
        "ticketbot labels export",
    ):
        assert said in text, said
