"""From the button to a new champion: a whole service, a stand-in for the trainer, a person who only clicks.

The last test has the real trainer look at labels: its child needs torch.
"""

import hashlib
import importlib.util
import random
import sys

import pytest

from tests.browser.test_label import ready
from tests.browser.test_service import use_invitation
from tests.support.bundles import picture
from tests.support.needs import missing
from tests.support.service import Service, eventually
from tests.support.shelf import jpeg
from tests.support.world import ROOT, World
from ticketbot.db import connect
from ticketbot.db.models import Suspect
from ticketbot.render import render_jpeg

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
        page.wait_for_selector("#says:has-text('A model that saw neither')")
        context.close()
        eventually(lambda: "cleaning ended" in service.said())
        assert service.stop() == 0


@pytest.mark.slow
@pytest.mark.train
def test_the_real_trainer_finds_wrong_labels_when_a_person_asks(tmp_path, chrome):
    """Drawn pictures, some called what they are not; small, so that it is over in less than a minute."""
    for name in ("torch", "fastai", "efficientnet_lite_pytorch"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed: pip install '.[train]'")
    recipe = tmp_path / "small.toml"
    recipe.write_text("[efficientnet_lite0]\npx = 96\nfolds = 3\n")
    world, dice = World(tmp_path), random.Random(5)
    kinds = ("errors", "reports", "screens", "tickets")
    wrong = set()
    for number, kind in enumerate(kinds):
        for at in range(10):
            # The last of each kind lies in the next one's folder.
            called = kinds[(number + 1) % 4] if at == 9 else kind
            file = tmp_path / "mine" / called / f"{kind} {at}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(render_jpeg(kind, dice))
            wrong |= {hashlib.sha256(file.read_bytes()).hexdigest()} if called != kind else set()
    done = world.run("labels", "import", str(tmp_path / "mine"))
    assert done.returncode == 0, done.stderr
    link = world.run("users", "invite", "ada", "--role", "admin").stdout.strip()
    rules = {
        "TICKETBOT_RETRAIN__MIN_PER_CATEGORY": "2",
        "TICKETBOT_RETRAIN__MIN_NEW_LABELS": "1000",
        "TICKETBOT_RETRAIN__RECIPE": str(recipe),
        "TICKETBOT_SCHEDULE__RETRAIN_S": "0.5",
    }
    with Service(world, **rules, PYTHONPATH=str(ROOT)) as service:
        service.wait_ready()
        context = chrome.new_context(base_url=service.url(""))
        context.set_default_timeout(200_000)
        page = context.new_page()
        use_invitation(page, link)
        page.goto("/clean")
        page.click("text=Look at all labels now")
        page.wait_for_selector(".cleaning-state:has-text('Looked at 40 labels'), .failed")
        assert page.locator(".failed").all_inner_texts() == []
        ready(page)
        first = page.get_attribute("#frame > img", "src").split("/")[2][:64]
        assert "A model that saw neither it nor its look-alikes" in page.inner_text("#says")
        page.keyboard.press("Enter")
        page.wait_for_function("(old) => !document.querySelector('#frame > img')?.src.includes(old)", arg=first)
        context.close()
        assert service.stop() == 0
    db = connect(world.settings.database_url)
    with db.read() as session:
        ranked = [row.sha256 for row in session.query(Suspect).order_by(Suspect.rank)]
    db.close()
    assert len(ranked) == 40 and first == ranked[0]
    assert len(wrong & set(ranked[:10])) >= 3  # of four, in a quarter of all
