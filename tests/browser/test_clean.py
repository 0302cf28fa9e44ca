"""People at the Clean page: suspects decided by keyboard, taken back, and nothing lost on a reload."""

import pytest

from tests.browser.test_label import labels_of, press, ready, seen, sent, shown
from tests.support.showsuspects import some
from tests.support.site import PASSWORD
from ticketbot.db.models import LabelEvent, Picture, Suspect

pytestmark = pytest.mark.browser


@pytest.fixture
def suspects(served):
    """(site, hashes of the suspects in their order)"""
    site, _ = served
    with site.db.read() as session:
        hashes = [row.sha256 for row in session.query(Picture).order_by(Picture.sha256)]
    some(site, hashes[:20])
    with site.db.read() as session:
        return site, [row.sha256 for row in session.query(Suspect).order_by(Suspect.rank)]


def open_clean(page, path="/clean"):
    page.goto(path)
    page.fill("[name=name]", "rita")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    ready(page)


def words(site):
    with site.db.read() as session:
        events = session.query(LabelEvent).filter_by(how="clean").order_by(LabelEvent.id)
        return [(event.sha256, event.new) for event in events]


def test_keep_relabel_and_junk_by_keyboard_then_undo_across_a_reload(suspects, open_page):
    site, hashes = suspects
    site.person("rita")
    page = open_page()
    open_clean(page)
    before = labels_of(site)
    assert "gives that 2 %" in page.inner_text("#says")
    kept, other = press(page, "Enter"), press(page, "t")
    gone = press(page, "j")
    sent(page)
    assert [kept, other, gone] == hashes[:3]
    assert labels_of(site) == {**before, other: "tickets", gone: "junk"}
    assert words(site) == [(kept, "keep"), (other, "tickets"), (gone, "junk")]

    page.reload()
    page.wait_for_selector("#frame > img")
    for expected in (gone, other, kept):
        page.keyboard.press("u")
        page.wait_for_function("(old) => document.querySelector('#frame > img')?.src.includes(old)", arg=expected)
    sent(page)
    assert labels_of(site) == before
    assert shown(page) == kept


def test_shift_says_it_of_look_alikes_too_and_undo_takes_all_back(suspects, open_page):
    site, _hashes = suspects
    site.person("rita")
    page = open_page()
    open_clean(page)
    before, first = labels_of(site), shown(page)
    alike = [
        src.split("/")[4][:64] for src in page.eval_on_selector_all(".beside img", "(all) => all.map((i) => i.src)")
    ]
    assert alike
    page.keyboard.press("Shift+T")
    page.wait_for_function("(old) => !document.querySelector('#frame > img')?.src.includes(old)", arg=first)
    sent(page)
    assert labels_of(site) == {**before, **dict.fromkeys([first, *alike], "tickets")}
    page.keyboard.press("u")
    sent(page)
    page.wait_for_function("(old) => document.querySelector('#frame > img')?.src.includes(old)", arg=first)
    assert labels_of(site) == before


def test_the_end_of_the_list_says_so_and_nothing_was_decided_by_itself(suspects, open_page):
    site, hashes = suspects
    site.person("rita")
    page = open_page()
    open_clean(page)
    before = labels_of(site)
    for _ in hashes[:-1]:
        press(page, "Enter")
    seen(page)
    page.keyboard.press("Enter")
    page.wait_for_selector("#empty:not([hidden])")
    sent(page)
    assert labels_of(site) == before
    assert [word for _, word in words(site)] == ["keep"] * len(hashes)
