"""The whole service and a person at it: a word said in the browser reaches the ticket."""

import pytest

from tests.browser.test_label import ready, sent, shown
from tests.support.bundles import make_bundle, picture
from tests.support.receiver import Receiver
from tests.support.service import Service, eventually
from tests.support.shelf import jpeg
from tests.support.site import PASSWORD
from tests.support.world import World
from ticketbot.deliver.sign import new_secret

pytestmark = pytest.mark.browser

FAST = {f"TICKETBOT_SCHEDULE__{name}_S": "0.3" for name in ("POLL", "CLASSIFY", "DELIVER", "LABELS")}


def tickets(desk):
    return [(one.json["type"], one.ticket, one.json["data"]["category"]) for one in desk.requests]


def use_invitation(page, link):
    """Choose a password; signed in afterwards."""
    page.goto("/invite/" + link.rsplit("/", 1)[1])
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=again]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Sign out")


def test_a_correction_by_keyboard_reaches_the_ticket(tmp_path, chrome):
    """First start, invitation, password, label, and the desk hears of it after it heard the model's answer."""
    secret = new_secret()
    with Receiver(secrets=[secret]) as desk:
        world = World(tmp_path, desk.url, secret)
        world.once()
        make_bundle(tmp_path / "bundle")
        assert world.run("models", "import", str(tmp_path / "bundle"), "--promote").returncode == 0
        with Service(world, **FAST) as service:
            service.wait_ready()
            world.add("7", "what is it.jpg", jpeg(picture(1, px=96)), "T-1")
            eventually(lambda: ("ticket.answered", "T-1", "errors") in tickets(desk))
            link = eventually(lambda: [line for line in service.said().splitlines() if "/invite/" in line])[0]
            context = chrome.new_context(base_url=service.url(""))
            page = context.new_page()
            use_invitation(page, link)
            page.goto("/label")
            ready(page)
            assert len(shown(page)) == 64
            page.keyboard.press("1")
            sent(page)
            eventually(lambda: ("ticket.corrected", "T-1", "reports") in tickets(desk))
            context.close()
            assert service.stop() == 0
    said = [one for one in tickets(desk) if one[0].startswith("ticket.")]
    assert said == [("ticket.answered", "T-1", "errors"), ("ticket.corrected", "T-1", "reports")]


def test_a_signed_in_browser_may_type_classify_url_by_hand(tmp_path, chrome):
    world = World(tmp_path)
    make_bundle(tmp_path / "bundle")
    world.run("models", "import", str(tmp_path / "bundle"), "--promote")
    link = world.run("users", "invite", "rita").stdout.strip()
    with Service(world) as service:
        service.wait_ready()
        context = chrome.new_context(base_url=service.url(""))
        page = context.new_page()
        use_invitation(page, link)
        answer = page.goto("/classify-url?url=http://127.0.0.1/a.jpg")
        assert (answer.status, answer.json()["code"]) == (400, "address_refused")
        context.close()
