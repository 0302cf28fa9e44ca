"""Is a ticket found again, with all that was said about it? And can a person put it right from there?"""

import html
import json
import re

import pytest
from sqlalchemy import insert

from tests.support import outbox as rows
from tests.support.gallery import NOW, jpeg, staged
from tests.support.outbox import SECRET, World, sha
from tests.support.receiver import Receiver
from tests.support.site import Site
from ticketbot.db import connect
from ticketbot.db.models import (
    Answer,
    Attempt,
    Audit,
    Base,
    File,
    FileTicket,
    Label,
    LabelEvent,
    Picture,
    Said,
    Source,
    Ticket,
)
from ticketbot.deliver import outbox, send
from ticketbot.operate import overview, search, tickets
from ticketbot.operate.search import Wanted
from ticketbot.review import pages, pictures

EVIL = "<script>alert(1)</script>\u202e\"'&\n../../x"
RULES = {
    "sources.erp.root": "/srv/erp",
    "sources.erp.endpoint": "desk",
    "endpoints.desk.url": "https://desk.example/in",
    "endpoints.desk.secret": SECRET,
    "endpoints.desk.mode": "live",
    "deliver.ticket_quiet_s": 60,
    "deliver.jitter": 0,
}


@pytest.fixture
def settings(settings_with):
    return settings_with(RULES)


@pytest.fixture
def world(db, settings):
    return World(db, settings)


@pytest.fixture
def site(db, settings):
    made = Site(db, settings, (overview.blueprint, pages.blueprint, pictures.blueprint, tickets.blueprint))
    made.services.announce = lambda session, sha256, now: outbox.announce(session, db, settings, sha256, now)
    made.clock.now = NOW + 120
    return made


def answered(world, name, ticket, category="errors", *, user="u1"):
    world.picture(name, ticket, user=user)
    world.predict(name, category)


def found(db, settings, cursor=None, **wanted):
    with db.read() as session:
        page = search.find(session, settings, Wanted(**wanted), cursor)
        return [row.ticket for row in page.rows], page.next


def test_tickets_are_found_by_ticket_user_category_and_state(db, settings, world):
    answered(world, "a", "T-1", "errors", user="anna")
    answered(world, "b", "T-2", "reports", user="otto")
    world.picture("c", "T-3", user="otto")  # found, nothing said yet
    world.decide()
    assert found(db, settings)[0] == ["T-2", "T-1"]
    assert found(db, settings, ticket="T-1")[0] == ["T-1"]
    assert sorted(found(db, settings, user="otto")[0]) == ["T-2", "T-3"]
    assert found(db, settings, ticket="T-3")[0] == ["T-3"]
    assert found(db, settings, category="errors")[0] == ["T-1"]
    assert found(db, settings, user="otto", category="reports")[0] == ["T-2"]
    assert found(db, settings, user="anna", ticket="T-2")[0] == []
    assert found(db, settings, state="delivered")[0] == []
    assert set(found(db, settings, state="pending")[0]) == {"T-1", "T-2"}
    assert found(db, settings, state="pending", category="reports")[0].count("T-2") == 2  # the picture and the ticket
    assert found(db, settings, state="pending", user="anna")[0] == ["T-1"]
    assert found(db, settings, ticket="' OR 1=1 --")[0] == []


def test_a_ticket_in_its_quiet_time_waits(db, settings, world):
    answered(world, "a", "T-1")
    assert found(db, settings, state="waits")[0] == ["T-1"]
    assert found(db, settings, state="waits", ticket="T-1")[0] == ["T-1"]
    world.decide()
    assert found(db, settings, state="waits")[0] == []


def test_one_of_several_categories_is_found_under_the_rule_all(db, settings_with, world):
    with db.write() as session:
        for number, category in enumerate(("errors,reports", "screens", "reports")):
            session.add(Ticket(endpoint="desk", ticket=f"T-{number}", category=category, seq=0))
    every = settings_with({**RULES, "deliver.rule": "all"})
    assert found(db, every, category="reports")[0] == ["T-2", "T-0"]


def pages_of(db, settings, **wanted):
    cursor, seen, pages = None, [], 0
    while True:
        names, cursor = found(db, settings, cursor, **wanted)
        seen += names
        pages += 1
        if cursor is None:
            return seen, pages


@pytest.mark.parametrize("wanted", [{}, {"category": "errors"}, {"state": "dead"}, {"state": "waits"}, {"user": "u"}])
def test_pages_show_everything_once(db, settings, wanted):
    n = 2 * search.PAGE + 5
    with db.write() as session:
        session.add(Source(id=1, name="erp"))
        session.flush()
        for number in range(n):
            own = {"category": "errors", "due_at": NOW, "seq": 1}
            session.add(Ticket(endpoint="desk", ticket=f"T-{number}", **own))
            times = {"first_seen_at": NOW, "observed_at": NOW}
            session.add(File(id=number + 1, source_id=1, path=b"u/%d" % number, user="u", state="staged", **times))
            session.flush()
            session.add(FileTicket(file_id=number + 1, ticket=f"T-{number}", resolved_at=NOW))
    rows.put_answers(db, [("desk", f"T-{number}", 1) for number in range(n)], state="dead")
    seen, pages = pages_of(db, settings, **wanted)
    assert (len(seen), len(set(seen)), pages) == (n, n, 3)


def test_a_rare_category_is_searched_a_piece_at_a_time(db, settings, monkeypatch):
    monkeypatch.setattr(search, "LOOK", 50)
    with db.write() as session:
        for number in range(120):
            session.add(
                Ticket(endpoint="desk", ticket=f"T-{number}", category="reports" if number == 3 else "errors", seq=1)
            )
    rows.put_answers(db, [("desk", f"T-{number}", 1) for number in range(120)], state="dead")
    with db.read() as session:
        assert search.find(session, settings, Wanted(state="dead", category="reports"), None).looked == 50
    assert pages_of(db, settings, state="dead", category="reports") == (["T-3"], 3)


SEARCHES = [
    {}, {"ticket": "T-1"}, {"user": "u1"}, {"category": "errors"}, {"category": "reports"}, {"state": "dead"},
    {"state": "waits"}, {"state": "delivered", "category": "reports"}, {"user": "u1", "state": "dead"},
]  # fmt: skip


def test_no_search_gets_slower_with_the_total(tmp_path, settings_with, monkeypatch):
    """Counted in steps of SQLite's machine, which no other process disturbs."""
    monkeypatch.setattr(search, "LOOK", 100)
    settings = settings_with(RULES)
    db = connect(f"sqlite:///{tmp_path / 'many.db'}")
    Base.metadata.create_all(db.engine)
    few = steps(db, settings, 400)
    many = steps(db, settings, 4000)
    db.close()
    assert {str(wanted): (few[i], many[i]) for i, wanted in enumerate(SEARCHES) if many[i] > 1.5 * few[i] + 100} == {}


def steps(db, settings, n):
    """What each search costs with n tickets; always five of them wait, belong to u1 and could not be delivered."""
    with db.write() as session:
        for table in (FileTicket, Answer, Ticket, File, Source):
            session.query(table).delete()
        session.add(Source(id=1, name="erp"))
        session.flush()
        few = [number % (n // 5) == 7 for number in range(n)]
        session.execute(insert(Ticket), [{
            "id": i + 1, "endpoint": "desk", "ticket": f"T-{i}", "due_at": NOW if few[i] else None, "seq": 1,
            "category": "reports" if few[i] else "errors"} for i in range(n)])  # fmt: skip
        times = {"first_seen_at": NOW, "observed_at": NOW, "source_id": 1, "state": "staged"}
        session.execute(insert(File), [{
            "id": i + 1, "path": b"%d" % i, "folder": b"", "user": "u1" if few[i] else f"v{i}", **times}
            for i in range(n)])  # fmt: skip
        session.execute(insert(FileTicket), [{
            "file_id": i + 1, "ticket": f"T-{i}", "endpoint": "", "resolved_at": NOW} for i in range(n)])  # fmt: skip
        event = {"endpoint": "desk", "seq": 1, "type": "t", "body": b"", "due_at": NOW, "created_at": NOW}
        session.execute(insert(Answer), [{
            "id": f"m{i:06}", "ticket": f"T-{i}", "state": "dead" if few[i] else "delivered", **event}
            for i in range(n)])  # fmt: skip
    counts = []
    for wanted in SEARCHES:
        with db.read() as session:
            raw = session.connection().connection.driver_connection
            taken = [0]
            raw.set_progress_handler(lambda taken=taken: taken.__setitem__(0, taken[0] + 1) or 0, 10)
            search.find(session, settings, Wanted(**wanted), None)
            raw.set_progress_handler(None, 0)
        counts.append(taken[0] * 10)
    return counts


def test_the_page_of_a_ticket_tells_who_said_what_and_what_was_answered(db, settings_with, world, site):
    with Receiver(secrets=[SECRET]) as desk:
        desk.script((500, {}, b"<b>down</b>\x00\nsecond line"), 200)
        live = settings_with({**RULES, "endpoints.desk.url": desk.url, "endpoints.desk.allow": ["127.0.0.1"]})
        answered(world, "a", "T-1", user="anna")
        world.decide()
        send.deliver_due(db, live, lambda: world.now)
        send.deliver_due(db, live, lambda: world.now + 4000)
    page = site.sign_in("vera", "viewer").get("/tickets/of?at=desk&ticket=T-1")
    text = html.unescape(page.text)
    assert page.status_code == 200
    for said in ("errors", "m1", "anna", "u1/a-T-1.jpg".replace("u1", "anna"), "ticket.answered", "500", "second line"):
        assert said in text, said
    assert "&lt;b&gt;down&lt;/b&gt;\\x00" in page.text
    assert "first seen" in text
    assert "Send again" not in text and "That is what it is" not in text  # a viewer only looks


def test_what_is_not_known_is_not_found(site):
    browser = site.sign_in("vera", "viewer")
    assert browser.get("/tickets/of?at=desk&ticket=T-9").status_code == 404
    assert browser.get("/tickets?state=lost").status_code == 400
    assert browser.get("/tickets?cursor=xyz").status_code == 400
    assert browser.get("/tickets?ticket=a%00b").status_code == 400
    assert "No ticket is like that" in browser.get("/tickets?ticket=T-9").text
    assert "Nothing was said about a ticket yet" in browser.get("/tickets").text


def form_of(text, action):
    """The hidden fields of the first form that posts there."""
    form = re.search(rf'<form[^>]*action="{action}".*?</form>', text, re.S)[0]
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in fields}


def test_a_correction_is_a_label_event_and_goes_out(db, world, site):
    answered(world, "a", "T-1", "errors")
    world.decide()
    browser = site.sign_in("rita")
    form = form_of(browser.get("/tickets/of?at=desk&ticket=T-1").text, "/tickets/correct")
    answer = browser.post("/tickets/correct", {**form, "category": "reports"})
    assert answer.status_code == 303
    assert "Written down" in browser.get(answer.location).text
    browser.post("/tickets/correct", {**form, "category": "reports"})  # a second press
    world.decide()
    assert world.told()[-2:] == ["picture.corrected T-1 reports", "ticket.corrected T-1 reports"]
    with db.read() as session:
        (said,) = session.query(LabelEvent).all()
        assert (said.new, said.who, said.how, said.blind) == ("reports", "rita", "tickets", False)
        assert (said.suggested, said.suggested_by) == ("errors", "m1")
        assert session.query(Label).one().category == "reports"


def test_a_correction_of_what_somebody_corrected_meanwhile_is_refused(db, world, site):
    answered(world, "a", "T-1", "errors")
    browser = site.sign_in("rita")
    form = form_of(browser.get("/tickets/of?at=desk&ticket=T-1").text, "/tickets/correct")
    world.label("a", "screens")
    answer = browser.post("/tickets/correct", {**form, "category": "reports"})
    assert answer.status_code == 409
    with db.read() as session:
        assert session.query(Label).one().category == "screens"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"category": "unsure"}, 400),
        ({"category": "nothing"}, 400),
        ({"sha256": "x" * 64}, 400),
        ({"sha256": "0" * 64}, 404),
        ({"version": "-1"}, 400),
        ({"key": "short"}, 400),
    ],
)
def test_a_bad_correction_changes_nothing(db, world, site, change, status):
    answered(world, "a", "T-1", "errors")
    browser = site.sign_in("rita")
    form = form_of(browser.get("/tickets/of?at=desk&ticket=T-1").text, "/tickets/correct")
    assert browser.post("/tickets/correct", {**form, "category": "reports", **change}).status_code == status
    with db.read() as session:
        assert session.query(LabelEvent).count() == 0


def test_who_may_not_correct_or_send_is_refused(db, world, site):
    answered(world, "a", "T-1", "errors")
    viewer, reviewer = site.sign_in("vera", "viewer"), site.sign_in("rita")
    form = {"sha256": sha("a"), "version": "0", "key": "k" * 24, "category": "reports", "back": "/tickets"}
    assert viewer.post("/tickets/correct", form).status_code == 403
    assert reviewer.post("/tickets/redeliver", {"answer": "x", "key": "k" * 24, "back": "/tickets"}).status_code == 403


def test_a_selection_is_sent_again_once(db, world, site):
    ids = rows.put_answers(db, [("desk", f"T-{number}", 1) for number in range(4)], state="dead")
    browser = site.sign_in("ada", "admin")
    form = form_of(browser.get("/tickets?state=dead").text, "/tickets/redeliver")
    assert form["back"] == "/tickets?state=dead"
    answer = browser.post("/tickets/redeliver", {**form, "answer": ids[:2]})
    assert answer.location == "/tickets?state=dead&again=2"
    assert "2 events will be sent again." in browser.get(answer.location).text
    assert browser.post("/tickets/redeliver", {**form, "answer": ids[:2]}).location.endswith("again=0")
    assert browser.post("/tickets/redeliver", {**form, "back": "//evil.example/"}).location == "/?again=0"
    with db.read() as session:
        states = {one.id: one.state for one in session.query(Answer)}
        assert [states[one] for one in ids] == ["pending", "pending", "dead", "dead"]
        assert [one.who for one in session.query(Audit).filter_by(what="answers sent again")] == ["ada"]


def test_hostile_names_are_shown_as_text(db, settings, site):
    sha256 = staged(db, settings, jpeg("x"), name=b"7/<img src=x onerror=alert(1)>\xff\n.jpg")
    with db.write() as session:
        file = session.query(File).one()
        file.user = EVIL
        session.add(FileTicket(file_id=file.id, ticket=EVIL, endpoint="desk", resolved_at=NOW))
        session.add(Ticket(endpoint="desk", ticket=EVIL, category="errors", by=EVIL, seq=1, answered_at=NOW))
        session.add(
            Said(endpoint="desk", ticket=EVIL, sha256=sha256, file_id=file.id, category="errors", by="m", at=NOW)
        )
        body = json.dumps({"data": {"categories": [EVIL], "ticket": EVIL}}).encode()
        times = {"due_at": NOW, "created_at": NOW}
        session.add(Answer(id="msg_1", endpoint="desk", ticket=EVIL, seq=1, type="ticket.answered", state="dead",
                           body=body, attempts=1, last_error=EVIL, **times))  # fmt: skip
        session.flush()
        session.add(Attempt(answer_id="msg_1", number=1, at=NOW, took_ms=3, error=EVIL, response=EVIL.encode()))
    browser = site.sign_in("ada", "admin")
    shown = browser.get("/tickets")
    link = html.unescape(re.search(r'href="(/tickets/of[^"]+)"', shown.text)[1])
    for page in (shown, browser.get(link), browser.get("/tickets?state=dead")):
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "<img src=x" not in page.text
        assert "\u202e" not in page.text
        assert "&lt;script&gt;" in page.text
    assert browser.get("/tickets", query_string={"ticket": EVIL}).text.count("/tickets/of?") == 1
    assert browser.get("/tickets", query_string={"user": EVIL}).text.count("/tickets/of?") == 1


def test_only_pictures_that_are_kept_are_asked_for(db, world, site):
    answered(world, "a", "T-1")
    with db.write() as session:
        session.get(Picture, sha("a")).state = "erased"
    browser = site.sign_in("rita")
    assert "/picture/" not in browser.get("/tickets").text
    page = browser.get("/tickets/of?at=desk&ticket=T-1").text
    assert "/picture/" not in page and "not kept any more" in page and "/tickets/correct" not in page
