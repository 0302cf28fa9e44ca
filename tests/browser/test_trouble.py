"""What goes wrong while somebody labels: two tabs, the back button, a server that fails, a slow line, a class that is
gone. Nothing lost, nothing doubled, nothing said of a picture that nobody could see."""

import pytest

from tests.browser.conftest import watch
from tests.browser.test_clean import open_clean
from tests.browser.test_grid import open_grid
from tests.browser.test_grid import shown as cells_of
from tests.browser.test_label import label, labels_of, press, ready, seen, sent, shown, sign_in
from tests.support.showcase import running
from tests.support.showsuspects import some
from tests.support.site import PASSWORD
from ticketbot.db.models import LabelEvent, Picture
from ticketbot.web import accounts

pytestmark = pytest.mark.browser

LONG = "a-name-that-is-as-long-as-a-name-may-be"
TWENTY = [LONG, *(f"class-{letter}" for letter in "abcdefghijklmno"), "reports", "errors", "screens", "tickets"]


def events(site):
    with site.db.read() as session:
        return session.query(LabelEvent).count()


def test_two_tabs_of_one_person_share_no_picture_and_no_undo(served, open_page):
    site, _ = served
    site.person("rita")
    first = open_page()
    sign_in(first, "rita")
    second = first.context.new_page()
    second.goto("/label")
    ready(second)
    with first.context.expect_page() as opened:  # a copy of the tab: the browser copies what the page remembers
        first.evaluate("() => { window.open('/label') }")
    third = opened.value
    ready(third)
    said = {}
    for _ in range(3):
        for page, key in ((first, "1"), (second, "2"), (third, "3")):
            said[press(page, key)] = ["reports", "errors", "screens"][int(key) - 1]
    for page in (first, second, third):
        sent(page)
    assert len(said) == 9
    assert labels_of(site) == said
    mine = [sha256 for sha256, word in said.items() if word == "reports"]
    first.keyboard.press("u")
    first.wait_for_function("(old) => document.querySelector('#frame > img')?.src.includes(old)", arg=mine[-1])
    sent(first)
    assert labels_of(site) == {sha256: word for sha256, word in said.items() if sha256 != mine[-1]}
    assert shown(second) not in said and shown(third) not in said


def test_the_back_button_comes_back_to_the_same_picture_and_its_undo(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    said = label(page, 2)
    here = shown(page)
    page.click("header nav a:has-text('Overview')")
    page.wait_for_selector("h1:has-text('Overview')")
    page.go_back()
    ready(page)
    assert shown(page) == here
    page.keyboard.press("u")
    page.wait_for_function("(old) => document.querySelector('#frame > img')?.src.includes(old)", arg=list(said)[-1])
    sent(page)
    assert labels_of(site) == dict(list(said.items())[:1])


@pytest.mark.parametrize("status", [500, 429])
def test_a_server_that_fails_is_asked_again_and_said(served, open_page, status):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    refused = []

    def fail_twice(route):
        if route.request.method != "POST" or len(refused) == 2:
            return route.continue_()
        refused.append(route.request.post_data_json["key"])
        # The first time the server has it, and the answer does not say so.
        if len(refused) == 1:
            route.fetch()
        return route.fulfill(status=status, body="{}", headers={"Retry-After": "1"})

    page.route("**/label", fail_twice)
    said = label(page, 1)
    page.wait_for_selector(f"#trouble:has-text('{status}')")
    said |= label(page, 2)
    sent(page)
    page.wait_for_selector("#trouble", state="hidden")
    assert labels_of(site) == said
    assert events(site) == 3
    assert len(set(refused)) == 1


def test_an_answer_that_never_comes_is_not_waited_for_for_ever(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    # The half minute that a page waits for an answer, twenty times as fast.
    page.add_init_script(
        "const was = AbortSignal.timeout; AbortSignal.timeout = (ms) => was.call(AbortSignal, ms / 20)"
    )
    sign_in(page, "rita")
    hanging = []
    page.route(
        "**/label",
        lambda route: route.continue_() if hanging or route.request.method != "POST" else hanging.append(route),
    )
    said = label(page, 2)
    sent(page)
    assert len(hanging) == 1
    assert labels_of(site) == said
    assert events(site) == 2


def test_on_a_slow_line_nothing_is_said_of_a_picture_that_is_not_there_yet(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    said = label(page, 1)
    sent(page)
    line = page.context.new_cdp_session(page)
    line.send("Network.emulateNetworkConditions", {
        "offline": False, "latency": 400, "downloadThroughput": 40_000, "uploadThroughput": 40_000,
    })  # fmt: skip
    for _ in range(12):  # as fast as somebody can press: more than is loaded ahead
        page.keyboard.press("1")
    page.wait_for_function("() => JSON.parse(sessionStorage.getItem('label.history')).length > 4")
    words = page.evaluate("() => JSON.parse(sessionStorage.getItem('label.history')).length")
    line.send("Network.emulateNetworkConditions", {
        "offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
    })  # fmt: skip
    sent(page)
    seen(page)
    assert words < 13
    assert len(labels_of(site)) == words
    assert set(said) < set(labels_of(site))


def test_a_picture_that_did_not_arrive_is_not_called_broken(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    cut, away = [], []
    page.route("**/picture/**", lambda route: (away.append(1), route.abort()) if cut else route.continue_())
    sign_in(page, "rita")
    cut.append(True)
    for _ in range(5):  # those that are loaded already
        page.wait_for_selector("#frame > img, .broken")
        page.keyboard.press("1")
    page.wait_for_selector(".broken:has-text('did not arrive')")
    before = len(labels_of(site))
    page.keyboard.press("j")
    cut.clear()
    seen(page)  # it came by itself
    sent(page)
    assert "junk" not in labels_of(site).values()
    assert len(labels_of(site)) >= before
    assert away


def test_look_alikes_that_did_not_arrive_are_said_nothing_of(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    lost = []

    def lose_two(route):
        name = route.request.url.split("/")[-1][:64]
        if len(lost) < 2 and name not in lost:
            lost.append(name)
        return route.abort() if name in lost else route.continue_()

    page.route("**/picture/*thumb*", lose_two)
    page.goto("/label/grid")
    page.fill("[name=name]", "rita")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.cell.out').length === 2")
    page.wait_for_function("() => [...document.querySelectorAll('.cell img')].every((each) => each.complete)")
    cells = cells_of(page)
    page.keyboard.press("1")
    page.wait_for_function("(old) => document.querySelector('.cell')?.dataset.sha256 !== old", arg=cells[0])
    sent(page)
    assert labels_of(site) == dict.fromkeys(set(cells) - set(lost), "reports")


def test_a_class_that_is_gone_is_said_and_its_picture_comes_again(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    general = site.settings.general.model_copy(update={"categories": ("reports", "errors", "screens")})
    site.services.settings = site.settings.model_copy(update={"general": general})
    first = shown(page)
    page.keyboard.press("4")
    page.wait_for_selector("#trouble:has-text('There is no category tickets.')")
    page.wait_for_function("(old) => document.querySelector('#frame > img')?.src.includes(old)", arg=first)
    assert labels_of(site) == {}
    page.click("#trouble a")
    page.wait_for_function("() => document.querySelectorAll('#classes .class').length === 3")
    ready(page)
    assert press(page, "2") == first
    sent(page)
    assert labels_of(site) == {first: "errors"}


def signed_out(site, account):
    with site.db.write() as session:
        accounts.sign_out_everywhere(session, account)


def sign_in_again(page):
    page.click("#trouble a")
    page.fill("[name=name]", "rita")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")


def test_a_page_of_look_alikes_survives_the_end_of_a_session(served, open_page):
    site, _ = served
    account = site.person("rita")
    page = open_page()
    open_grid(page, "rita")
    signed_out(site, account)
    cells = cells_of(page)
    page.keyboard.press("1")
    sign_in_again(page)
    page.wait_for_selector(".cell img, #empty:not([hidden])")
    sent(page)
    assert labels_of(site) == dict.fromkeys(cells, "reports")
    assert events(site) == len(cells)


def test_a_decision_about_a_suspect_survives_the_end_of_a_session(served, open_page):
    site, _ = served
    account = site.person("rita")
    with site.db.read() as session:
        hashes = [row.sha256 for row in session.query(Picture).order_by(Picture.sha256)]
    some(site, hashes[:20])
    page = open_page()
    open_clean(page)
    before = events(site)
    signed_out(site, account)
    other = press(page, "t")
    sign_in_again(page)
    ready(page)
    sent(page)
    assert labels_of(site)[other] == "tickets"
    assert events(site) == before + 1
    assert shown(page) != other


def test_a_page_that_breaks_its_policy_would_be_noticed(served, open_page_of, chrome):
    _, address = served
    problems = []
    context = chrome.new_context(base_url=address)
    page = context.new_page()
    watch(page, problems)
    page.goto("/login")
    assert problems == []
    with page.expect_console_message():
        page.evaluate(
            "() => { const one = document.createElement('script'); one.text = '1'; document.body.append(one) }"
        )
    context.close()
    assert any("script-src" in one for one in problems)


@pytest.mark.parametrize("path", ["/label", "/label/grid", "/clean"])
def test_twenty_classes_fit_beside_a_picture(tmp_path, open_page_of, path):
    with running(tmp_path, 24, more={"general.categories": TWENTY}) as (site, address):
        site.person("rita")
        if path == "/clean":
            with site.db.read() as session:
                some(site, [row.sha256 for row in session.query(Picture).order_by(Picture.sha256)][:12])
        page = open_page_of(address)
        page.goto(path)
        page.fill("[name=name]", "rita")
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("#frame > img, .cell img")
        assert page.locator("#classes .class").count() == 20
        hidden = page.evaluate(
            """() => [...document.querySelectorAll(".class, .others button, .figures")].filter((each) => {
                 const box = each.getBoundingClientRect();
                 return box.bottom > innerHeight || box.right > innerWidth || box.height < 24;
               }).map((each) => each.textContent.trim())"""
        )
        assert hidden == []
        if path == "/label":
            said = press(page, page.inner_text("[data-word=class-o] kbd"))
            sent(page)
            assert labels_of(site) == {said: "class-o"}
