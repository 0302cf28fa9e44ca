"""From the button to a new champion: a whole service, a stand-in for the trainer, a person who only clicks."""

import sys

import pytest

from tests.browser.test_service import use_invitation
from tests.support.bundles import picture
from tests.support.service import Service, eventually
from tests.support.shelf import jpeg
from tests.support.world import ROOT, World

pytestmark = pytest.mark.browser

RULES = {
    "TICKETBOT_RETRAIN__COMMAND": f'["{sys.executable}", "-m", "tests.support.fake_trainer", "ok"]',
    "TICKETBOT_RETRAIN__MIN_PER_CATEGORY": "2",
    "TICKETBOT_RETRAIN__MIN_NEW_LABELS": "1000",
    "TICKETBOT_RETRAIN__MEMORY_MB": "2048",
    "TICKETBOT_MODEL__FIRST": "auto",
    "TICKETBOT_SCHEDULE__RETRAIN_S": "0.5",
}


def test_retrain_now_brings_a_champion_and_look_at_labels_brings_suspects(tmp_path, chrome):
    world = World(tmp_path)
    for number, name in enumerate(("reports", "errors", "screens", "tickets")):
        folder = tmp_path / "mine" / name
        folder.mkdir(parents=True)
        for seed in range(3):
            (folder / f"{seed}.jpg").write_bytes(jpeg(picture(number, px=96, seed=seed)))
    done = world.run("labels", "import", str(tmp_path / "mine"))
    assert done.returncode == 0, done.stderr
    link = world.run("users", "invite", "ada", "--role", "admin").stdout.strip()
    with Service(world, **RULES, PYTHONPATH=str(ROOT)) as service:
        service.wait_ready()
        context = chrome.new_context(base_url=service.url(""))
        context.set_default_timeout(60_000)
        page = context.new_page()
        use_invitation(page, link)
        page.goto("/models")
        assert page.is_visible("text=No model yet")
        page.click("text=Retrain now")
        page.wait_for_selector("td .tag:text-is('champion')")
        assert page.locator("td .tag:text-is('succeeded')").count() == 1
        page.goto("/clean")
        page.click("text=Look at all labels now")
        page.wait_for_selector("#frame > img")
        assert "A model that saw neither" in page.inner_text("#says")
        context.close()
        eventually(lambda: "cleaning ended" in service.said())
        assert service.stop() == 0
