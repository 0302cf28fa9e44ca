"""Photograph every page, light and dark, into docs/screenshots/. Run by `make screenshots` (ARGS=dark: only those)."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from sqlalchemy import update

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.chromium import chromium  # noqa: E402 - after the path is set
from tests.support.showcase import running  # noqa: E402 - after the path is set
from tests.support.site import PASSWORD  # noqa: E402 - after the path is set
from ticketbot.db.models import Picture  # noqa: E402 - after the path is set

SIZE = {"width": 1280, "height": 720}
TABLET = {"width": 820, "height": 1180}
MAX_BYTES = 160_000
# Path, name: what is looked at as it stands; those that need a hand first are in `photograph`.
PLAIN = (
    ("/", "overview"),
    ("/label/grid", "grid"),
    ("/clean", "clean"),
    ("/tickets", "tickets"),
    ("/tickets?state=dead", "tickets-given-up"),
    ("/models", "models"),
    ("/try", "try"),
    ("/setup/endpoints", "endpoints"),
    ("/setup/classes", "classes"),
    ("/setup/audit", "audit"),
    ("/account", "account"),
    ("/nothing-here", "error"),
)
# What these pages ask for after they are loaded.
SHOWN = {"grid": ".cell img", "clean": "#frame > img"}


def main() -> None:
    folder = ROOT / "docs" / "screenshots"
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as temporary,
        chromium() as browser,
        running(Path(temporary), 120, rich=True) as (site, address),
    ):
        site.person("ada", "admin")
        site.person("nora", "reviewer")
        site.token("classify")
        for scheme in sys.argv[1:] or ("light", "dark"):
            context = browser.new_context(base_url=address, viewport=SIZE, color_scheme=scheme)
            photograph(context.new_page(), folder, scheme, {rule.rule for rule in site.app.url_map.iter_rules()})
            context.close()
            with site.db.write() as session:  # what these pages held is free again
                session.execute(update(Picture).values(review_until=0.0))
        context = browser.new_context(base_url=address, viewport=TABLET, color_scheme="light", has_touch=True)
        on_a_tablet(context.new_page(), folder)
        context.close()


def photograph(page, folder: Path, scheme: str, known: set[str]) -> None:
    """Walk through the pages as an administrator; `known`: the addresses there are."""
    page.goto("/")
    page.fill("[name=name]", "ada")
    shoot(page, folder / f"login-{scheme}.png")
    sign_in(page)
    page.wait_for_selector("header nav")
    for path, name in PLAIN:
        if path.split("?")[0] not in known and name != "error":
            continue
        page.goto(path)
        if name in SHOWN:
            page.wait_for_selector(SHOWN[name])
        settle(page)
        shoot(page, folder / f"{name}-{scheme}.png", whole=True)
    page.goto("/tickets?state=delivered")
    page.click("tbody tr:nth-child(2) a")
    settle(page)
    shoot(page, folder / f"ticket-{scheme}.png", whole=True)
    page.goto("/label")
    page.wait_for_selector("#frame > img")
    for key in "1243":
        press(page, key)
    while not page.locator("#frame.suggests").count():  # a blind one shows less of the page
        press(page, "s")
    settle(page)
    shoot(page, folder / f"label-{scheme}.png")
    page.keyboard.press("?")
    shoot(page, folder / f"label-help-{scheme}.png")
    page.goto("/setup")
    page.fill("form:has-text('Make token') [name=name]", "ERP upload hook")
    page.click("button:has-text('Make token')")
    page.wait_for_selector("#once")
    page.evaluate("document.getElementById('once').value = 'tb_0123456789ab_' + 'x'.repeat(43)")
    shoot(page, folder / f"setup-{scheme}.png", whole=True)


def press(page, key: str) -> None:
    """Once the picture can be seen; until the next one can."""
    seen = (
        "(old) => { const one = document.querySelector('#frame > img'); return one?.naturalWidth && one.src !== old }"
    )
    page.wait_for_function(seen, arg="")
    old = page.locator("#frame > img").evaluate("(one) => one.src")
    page.keyboard.press(key)
    page.wait_for_function(seen, arg=old)


def on_a_tablet(page, folder: Path) -> None:
    page.goto("/label")
    sign_in(page)
    page.wait_for_selector("#frame > img")
    settle(page)
    shoot(page, folder / "label-tablet.png")


def sign_in(page) -> None:
    page.fill("[name=name]", "ada")
    page.fill("[name=password]", PASSWORD)
    page.click("button:has-text('Sign in')")


def settle(page) -> None:
    """Wait until every picture on the page is drawn."""
    page.wait_for_load_state("load")  # not until the network is idle: some pages ask again and again
    page.evaluate("for (const each of document.querySelectorAll('img[loading=lazy]')) each.loading = 'eager'")
    page.wait_for_function("() => [...document.images].every((each) => each.complete)")


def shoot(page, path: Path, *, whole: bool = False) -> None:
    data = page.screenshot(full_page=whole)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.save(path, optimize=True)
    # FASTOCTREE keeps the few colours that mean something beside a photograph's many; MEDIANCUT makes them grey.
    if path.stat().st_size > MAX_BYTES:
        image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)
    sys.stdout.write(f"{path.relative_to(ROOT)} {path.stat().st_size}\n")


if __name__ == "__main__":
    main()
