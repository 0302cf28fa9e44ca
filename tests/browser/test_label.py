"""People at the Label page: a real browser, a real server, only the keyboard."""

import pytest

from tests.support.gallery import jpeg, staged
from tests.support.showcase import running
from tests.support.site import PASSWORD
from ticketbot.db.models import Label, LabelEvent
from ticketbot.web import accounts

pytestmark = pytest.mark.browser

CATEGORIES = ["reports", "errors", "screens", "tickets"]
SEEN = (
    "() => { const one = document.querySelector('#frame > img'); return one && one.complete && one.naturalWidth > 0 }"
)


def sign_in(page, name):
    page.goto("/label")
    page.wait_for_selector("[name=name]:focus")
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    ready(page)


def ready(page):
    page.wait_for_selector("#frame > img")
    seen(page)


def shown(page):
    """The hash of the picture on the page."""
    return page.get_attribute("#frame > img", "src").split("/")[2][:64]


def seen(page):
    """Wait until the picture can be seen: before that no key names it."""
    page.wait_for_function(SEEN)


def press(page, key):
    """Label what is shown; -> its hash, once another picture is there."""
    seen(page)
    sha256 = shown(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "(old) => { const image = document.querySelector('#frame > img'); return !image || !image.src.includes(old) }",
        arg=sha256,
    )
    return sha256


def sent(page):
    """Wait until nothing is left to send."""
    page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.startsWith('ticketbot.said.'))")


def labels_of(site):
    with site.db.read() as session:
        return {label.sha256: label.category for label in session.query(Label)}


def label(page, count, keys="1234"):
    return {press(page, keys[i % len(keys)]): CATEGORIES["1234".index(keys[i % len(keys)])] for i in range(count)}


def test_twenty_labels_by_keyboard_then_undo_across_a_reload(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    said = label(page, 20)
    sent(page)
    assert labels_of(site) == said
    assert page.inner_text("#left") == "20"

    page.reload()
    ready(page)
    back = []
    for _ in range(3):
        page.keyboard.press("u")
        expected = list(said)[-1 - len(back)]
        page.wait_for_function("(old) => document.querySelector('#frame > img')?.src.includes(old)", arg=expected)
        back.append(expected)
    sent(page)
    assert labels_of(site) == {sha256: word for sha256, word in said.items() if sha256 not in back}

    seen(page)
    page.keyboard.press("2")
    sent(page)
    assert labels_of(site)[back[-1]] == "errors"
    with site.db.read() as session:
        assert session.query(LabelEvent).count() == 24


def test_two_hundred_labels_by_keyboard_alone(tmp_path, open_page_of):
    """More than a page holds at once: it is filled up while somebody labels, and nothing comes twice or gets lost."""
    with running(tmp_path / "many", 220, blind_share=0.1) as (site, address):
        site.person("rita")
        page = open_page_of(address)
        sign_in(page, "rita")
        said = label(page, 200)
        sent(page)
        assert len(said) == 200
        assert labels_of(site) == said
        with site.db.read() as session:
            assert session.query(LabelEvent).count() == 200


def test_undo_reaches_further_back_than_this_page_remembers(served, open_page):
    site, _ = served
    site.person("rita")
    first = open_page()
    sign_in(first, "rita")
    said = label(first, 2)
    sent(first)
    second = open_page()
    sign_in(second, "rita")
    second.keyboard.press("Control+z")
    second.wait_for_function("(old) => document.querySelector('#frame > img')?.src.includes(old)", arg=list(said)[-1])
    sent(second)
    assert labels_of(site) == dict(list(said.items())[:1])


def test_letters_label_and_other_words_do_not(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    words = [press(page, key) for key in "rectjsn"]
    sent(page)
    assert labels_of(site) == dict(zip(words, ["reports", "errors", "screens", "tickets", "junk"], strict=False))
    with site.db.read() as session:
        new = {event.sha256: event.new for event in session.query(LabelEvent)}
    assert (new[words[5]], new[words[6]]) == ("skip", "unsure")


def test_a_lost_connection_loses_and_doubles_nothing(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    said = label(page, 2)
    sent(page)
    page.context.set_offline(True)
    said |= label(page, 3)
    page.wait_for_selector("#trouble:not([hidden])")
    assert len(labels_of(site)) == 2
    page.context.set_offline(False)
    sent(page)
    assert labels_of(site) == said
    with site.db.read() as session:
        assert session.query(LabelEvent).count() == 5


def test_an_answer_that_got_lost_on_the_way_is_one_event(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    lost = []

    def lose_once(route):
        if not lost:
            lost.append(route.fetch().status)  # the server has it, the browser never hears of it
            return route.abort()
        return route.continue_()

    page.route("**/label", lambda route: lose_once(route) if route.request.method == "POST" else route.continue_())
    said = label(page, 1)
    sent(page)
    assert lost == [200]
    assert labels_of(site) == said
    with site.db.read() as session:
        assert session.query(LabelEvent).count() == 1


def test_what_was_said_while_signed_out_is_sent_after_signing_in(served, open_page):
    site, _ = served
    account = site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    with site.db.write() as session:
        accounts.sign_out_everywhere(session, account)
    said = label(page, 1)
    page.click("#trouble a")
    page.fill("[name=name]", "rita")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    ready(page)
    sent(page)
    assert labels_of(site) == said


def test_two_people_never_see_the_same_picture(served, open_page):
    site, _ = served
    pages = []
    for name in ("rita", "otto"):
        site.person(name)
        pages.append(open_page())
        sign_in(pages[-1], name)
    seen = [[press(page, "1") for _ in range(8)] for page in pages]
    for page in pages:
        sent(page)
    assert not set(seen[0]) & set(seen[1])
    assert len(labels_of(site)) == 16


def test_a_blind_picture_shows_no_suggestion_and_others_do(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    seen = {"blind": 0, "suggested": 0}
    for _ in range(20):
        blind = shown(page) < "3333"
        framed = "suggests" in page.get_attribute("#frame", "class")
        assert framed != blind
        assert page.locator(".class.suggested").count() == (0 if blind else 1)
        seen["blind" if blind else "suggested"] += 1
        press(page, "1")
    assert seen["blind"] and seen["suggested"]


def test_help_opens_and_keys_do_nothing_meanwhile(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    assert labels_of(site) == {}
    page.keyboard.down("z")
    page.wait_for_selector("#lens img")
    page.keyboard.up("z")
    assert page.locator("#lens img").count() == 0


def test_the_lens_shows_one_to_one_what_is_under_the_pointer(tmp_path, open_page_of):
    with running(tmp_path, 0) as (site, address):
        site.person("rita")
        staged(site.db, site.settings, jpeg("a large one", (2400, 1600)))
        page = open_page_of(address)
        sign_in(page, "rita")
        frame = page.locator("#frame").bounding_box()
        page.keyboard.down("z")
        page.wait_for_function("() => document.querySelector('#lens img')?.naturalWidth > 0")
        for x, y in ((0.05, 0.05), (0.95, 0.9), (0.25, 0.5)):
            page.mouse.move(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])
            image, lens = page.locator("#lens img").bounding_box(), page.locator("#lens").bounding_box()
            assert (round(image["width"]), round(image["height"])) == (2400, 1600)
            # What lies under the pointer in the whole picture lies under it in the lens.
            assert image["x"] - lens["x"] == pytest.approx(x * (lens["width"] - 2400), abs=12)
            assert image["y"] - lens["y"] == pytest.approx(y * (lens["height"] - 1600), abs=12)
        page.keyboard.up("z")
        page.wait_for_selector("#lens", state="hidden")


def test_the_end_of_the_queue_says_so(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    sign_in(page, "rita")
    for _ in range(39):
        press(page, "1")
    seen(page)
    page.keyboard.press("1")
    page.wait_for_selector("#empty:not([hidden])")
    sent(page)
    assert len(labels_of(site)) == 40
    page.keyboard.press("u")
    ready(page)
    assert not page.is_visible("#empty")
