"""A person puts a ticket right on its page, and the ticket hears of it: real processes, a real receiver."""

import pytest

from tests.browser.test_service import FAST, tickets, use_invitation
from tests.support.bundles import make_bundle, picture
from tests.support.receiver import Receiver
from tests.support.service import Service, eventually
from tests.support.shelf import jpeg
from tests.support.world import World
from ticketbot.deliver.sign import new_secret

pytestmark = pytest.mark.browser


def test_a_correction_on_the_page_of_a_ticket_reaches_the_ticket(tmp_path, chrome):
    secret = new_secret()
    with Receiver(secrets=[secret]) as desk:
        world = World(tmp_path, desk.url, secret)
        world.once()
        make_bundle(tmp_path / "bundle")
        assert world.run("models", "import", str(tmp_path / "bundle"), "--promote").returncode == 0
        link = world.run("users", "invite", "ada", "--role", "admin").stdout.strip()
        with Service(world, **FAST) as service:
            service.wait_ready()
            world.add("7", "what <b>is it.jpg", jpeg(picture(1, px=96)), "T/1?x=2&<i>")
            eventually(lambda: ("ticket.answered", "T/1?x=2&<i>", "errors") in tickets(desk))
            context = chrome.new_context(base_url=service.url(""))
            page = context.new_page()
            use_invitation(page, link)
            page.goto("/tickets")
            page.click("a:has-text('T/1')")
            page.wait_for_selector("article img")
            assert page.inner_text(".big-said strong") == "errors"
            page.select_option("[name=category]", "reports")
            page.click("text=That is what it is")
            page.wait_for_selector("text=Written down")
            eventually(lambda: ("ticket.corrected", "T/1?x=2&<i>", "reports") in tickets(desk))
            page.reload()
            eventually(lambda: page.reload() and page.inner_text(".big-said strong") == "reports")
            assert page.locator("text=a person").count() >= 1
            before = len(desk.requests)
            page.click("text=Send again >> nth=0")
            page.wait_for_selector("text=1 event will be sent again.")
            eventually(lambda: len(desk.requests) > before)
            context.close()
            assert service.stop() == 0
    assert len(desk.effects) == len({one.id for one in desk.requests})  # sent again under its old id
