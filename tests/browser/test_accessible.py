"""Can everybody use every page? axe finds nothing serious, light and dark, and the keyboard reaches all of it."""

import pytest

from tests.support.needs import missing
from tests.support.showcase import running
from tests.support.showmodels import three
from tests.support.showsuspects import differ, some
from tests.support.site import PASSWORD
from ticketbot.db.models import Label, Model, Picture, Training

pytestmark = pytest.mark.browser

PAGES = {
    "/": "h1",
    "/label": "#frame > img",
    "/label/grid": ".cell img",
    "/clean": "#frame > img",
    "/clean?list=conflicts": "#frame > img",
    "/clean?list=opinions": "#frame > img",
    "/tickets": "h1",
    "/tickets/of?at=desk&ticket=INC-48123": "article img",
    "/models": "h1",
    "/models?model=20261123-challenger": "h1",
    "/try": "#file",
    "/setup": "h1",
    "/setup/endpoints": "h1",
    "/setup/classes": "h1",
    "/setup/audit": "h1",
    "/account": "h1",
    "/api/v1/": "h1",
    "/nothing-here": "h1",
}
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A site with everything on it, and ada, who may do all."""
    with running(tmp_path_factory.mktemp("rich"), 60, rich=True) as (site, address):
        with site.db.write() as session:
            session.query(Training).filter_by(state="running").update({"state": "failed"})
            session.query(Model).filter_by(state="champion").update({"state": "previous"})
        three(site.db, site.settings, site.clock.now)
        with site.db.read() as session:
            labelled = {row.sha256 for row in session.query(Label)}
            free = [row.sha256 for row in session.query(Picture).order_by(Picture.sha256)]
        free = [sha256 for sha256 in free if sha256 not in labelled]
        some(site, free[:16])
        differ(site, free[16], "reports", "errors")
        site.person("ada", "admin")
        yield site, address


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request, chrome, rich):
    site, address = rich
    with site.db.write() as session:  # what the page before held is free again
        session.query(Picture).update({"review_until": 0.0})
    context = chrome.new_context(
        base_url=address, viewport={"width": 1280, "height": 720}, color_scheme=request.param, bypass_csp=True
    )
    page = context.new_page()
    page.goto("/")
    page.fill("[name=name]", "ada")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".who")
    yield page
    context.close()


def serious(page):
    """[(rule, what, where), …] that axe calls serious or worse."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe is not installed (pip install 'ticketbot[dev]')")
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        (one["id"], one["help"], node["html"][:160], node.get("failureSummary", "")[:300])
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(page, path):
    page.goto(path)
    page.wait_for_selector(PAGES[path])
    assert serious(page) == []


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/nothing-here"])
def test_the_tab_key_reaches_everything_that_can_be_done(page, path):
    page.goto(path)
    page.wait_for_selector(PAGES[path])
    count = page.evaluate(
        """() => { const all = document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary");
             const open = [...all].filter((each) => each.checkVisibility() && !each.disabled && each.tabIndex >= 0);
             open.forEach((each, number) => { each.dataset.number = number; }); return open.length; }"""
    )
    reached = set()
    for _ in range(count + 5):
        page.keyboard.press("Tab")
        number = page.evaluate("() => document.activeElement.dataset.number")
        if number is not None:
            reached.add(int(number))
    assert set(range(count)) - reached == set()


def test_axe_finds_nothing_serious_before_signing_in(chrome, rich):
    context = chrome.new_context(base_url=rich[1], bypass_csp=True)
    page = context.new_page()
    page.goto("/login")
    page.wait_for_selector("[name=name]")
    assert serious(page) == []
    context.close()
