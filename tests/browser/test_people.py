"""Who sees what, and does what others wrote stay text? Every page, in a real browser."""

import pytest

from tests.support.showcase import running
from tests.support.site import PASSWORD
from ticketbot.db.models import Answer, Attempt, File, FileTicket, Said, Source, Switch, Ticket, Training

pytestmark = pytest.mark.browser

# As a file, a user, a ticket, an answer of a receiver, a message: a mark that runs would set `hit`.
EVIL = "<script>window.hit=1</script><img src=x onerror='window.hit=1'>\"'&\u202egpj.exe"
# Addresses that are no page for people.
NO_PAGES = ("/api/", "/openapi.json", "/metrics", "/healthz", "/readyz", "/classify", "/models/state")


@pytest.fixture
def served(tmp_path):
    with running(tmp_path, 12, rich=True) as found:
        yield found


def sign_in(page, name, password=PASSWORD):
    page.goto("/login")
    page.fill("[name=name]", name)
    page.fill("[name=password]", password)
    page.keyboard.press("Enter")


def menu(page):
    return page.locator("header nav a").all_inner_texts()


def test_each_role_sees_what_it_may(served, open_page):
    site, _ = served
    seen = {}
    for name, role in (("vera", "viewer"), ("rita", "reviewer"), ("ada", "admin")):
        site.person(name, role)
        page = open_page()
        sign_in(page, name)
        page.wait_for_selector("text=Sign out")
        seen[role] = set(menu(page))
        answer = page.goto("/setup")
        assert answer.status == (200 if role == "admin" else 403)
    assert {"Overview", "Tickets"} <= seen["viewer"] and not seen["viewer"] & {"Label", "Set-up"}
    assert seen["reviewer"] - seen["viewer"] >= {"Label"} and "Set-up" not in seen["reviewer"]
    assert seen["admin"] - seen["reviewer"] == {"Set-up"}


def test_a_wrong_password_and_signing_out_let_nobody_in(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita", "something else")
    page.wait_for_selector("text=Name or password is wrong.")
    sign_in(page, "rita")
    page.click("text=Sign out")
    page.wait_for_selector("button:has-text('Sign in')")
    page.go_back()
    page.goto("/tickets")
    assert page.url.endswith("/login?next=/tickets")


def test_what_others_wrote_is_text_on_every_page(served, open_page):
    site, _ = served
    site.person("ada", "admin")
    write_evil(site)
    page = open_page()
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    sign_in(page, "ada")
    page.wait_for_selector("text=Sign out")
    shown = {}
    for path in [*pages(site.app), one_ticket(page)]:
        if "text/html" not in page.goto(path).headers["content-type"]:
            continue
        page.evaluate("for (const each of document.querySelectorAll('img[loading=lazy]')) each.loading = 'eager'")
        page.wait_for_function("() => [...document.images].every((each) => each.complete)")
        assert page.evaluate("window.hit") is None, path
        assert page.locator("img[src=x], script:not([src])").count() == 0, path
        shown[path] = page.inner_text("main")
        assert "\u202e" not in shown[path], path
    assert dialogs == []
    assert len(shown) > 8
    spelt = [path for path, text in shown.items() if "<script>window.hit" in text]
    assert {path.split("?")[0] for path in spelt} >= {"/", "/tickets", "/tickets/of", "/setup/endpoints", "/models"}


def pages(app):
    """Every address with a page, as the app itself knows them."""
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and not rule.arguments]
    found = [rule.rule for rule in rules if not rule.rule.startswith(NO_PAGES) and not rule.rule.endswith(".csv")]
    return sorted(path for path in found if path != "/login")


def one_ticket(page):
    page.goto("/tickets")
    return page.locator("a:has-text('window.hit')").first.get_attribute("href")


def write_evil(site):
    now = site.clock.now
    with site.db.write() as session:
        source = session.query(Source).first()
        source.incomplete = EVIL
        file = session.query(File).filter(File.sha256.is_not(None)).first()
        file.path, file.user = b"9/" + EVIL.encode() + b"\xff\n.jpg", EVIL
        session.add(FileTicket(file_id=file.id, ticket=EVIL, endpoint="desk", resolved_at=now))
        session.add(Ticket(endpoint="desk", ticket=EVIL, category="errors", by=EVIL, seq=1, answered_at=now))
        session.flush()
        said = {"sha256": file.sha256, "file_id": file.id, "category": "errors", "by": EVIL, "at": now}
        session.add(Said(endpoint="desk", ticket=EVIL, **said))
        event = {"endpoint": "desk", "ticket": EVIL, "seq": 1, "type": "ticket.answered", "body": EVIL.encode()}
        session.add(Answer(id="msg_evil", state="dead", last_error=EVIL, due_at=now, created_at=now, **event))
        session.flush()
        session.add(Attempt(answer_id="msg_evil", number=1, at=now, took_ms=1, error=EVIL, response=EVIL.encode()))
        session.add(Switch(name="alert.desk.refused", value=EVIL, who="deliver", at=now))
        session.add(Training(state="failed", cause=EVIL, started_at=now, finished_at=now, message=EVIL))
