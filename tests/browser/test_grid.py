"""Look-alikes at once: one key for what is left of a page."""

import pytest

from tests.browser.test_label import labels_of, sent
from tests.support.site import PASSWORD
from ticketbot.db.models import LabelEvent, Prediction

pytestmark = pytest.mark.browser

ALL_SEEN = "() => [...document.querySelectorAll('.cell img')].every((each) => each.complete && each.naturalWidth)"


def open_grid(page, name):
    page.goto("/label/grid")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    seen(page)


def seen(page):
    """Wait until every picture of the page can be seen: before that no key names them."""
    page.wait_for_selector(".cell img")
    page.wait_for_function(ALL_SEEN)


def shown(page):
    return page.eval_on_selector_all(".cell", "(cells) => cells.map((each) => each.dataset.sha256)")


def suggested(site):
    with site.db.read() as session:
        return {row.sha256: row.best for row in session.query(Prediction)}


def turned(page, old):
    """Another page is there, or the end."""
    page.wait_for_function(
        "(old) => !document.getElementById('empty').hidden"
        " || (document.querySelector('.cell')?.dataset.sha256 ?? old) !== old",
        arg=old[0],
    )
    page.wait_for_function(ALL_SEEN)


def test_enter_accepts_what_is_suggested_but_for_what_was_taken_out(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    open_grid(page, "rita")
    first = shown(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    turned(page, first)
    sent(page)
    out = first[1]
    known = suggested(site)
    assert labels_of(site) == {sha256: known[sha256] for sha256 in first if sha256 != out}
    assert not set(first) & set(shown(page))
    with site.db.read() as session:
        assert {(event.how, event.blind) for event in session.query(LabelEvent)} == {("propagated", False)}


def test_undo_takes_a_whole_page_back_also_after_a_reload(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    open_grid(page, "rita")
    first = shown(page)
    page.keyboard.press("2")
    turned(page, first)
    sent(page)
    assert labels_of(site) == dict.fromkeys(first, "errors")
    page.evaluate("sessionStorage.clear()")
    page.reload()
    page.wait_for_selector(".cell img")
    page.keyboard.press("u")
    sent(page)
    page.wait_for_function("(old) => document.querySelector('.cell')?.dataset.sha256 === old", arg=first[0])
    assert labels_of(site) == {}


def test_pictures_that_measure_the_model_are_in_no_grid(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    open_grid(page, "rita")
    found = set()
    while cells := shown(page):
        found |= set(cells)
        page.keyboard.press("1")
        turned(page, cells)
    assert found
    assert all(sha256 >= "3333" for sha256 in found)


def test_a_key_can_be_changed_on_the_page(served, open_page):
    site, _ = served
    site.person("rita")
    page = open_page()
    open_grid(page, "rita")
    page.keyboard.press("?")
    page.click("#help [data-key=errors]")
    with page.expect_navigation():
        page.keyboard.press("m")
    seen(page)
    assert page.inner_text("[data-word=errors] kbd >> nth=0") == "m"
    first = shown(page)
    page.keyboard.press("m")
    turned(page, first)
    sent(page)
    assert set(labels_of(site).values()) == {"errors"}
