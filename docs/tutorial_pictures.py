"""Run the tutorial and photograph what it leads to: docs/screenshots/tutorial-*.png. Run by `make screenshots`.

python docs/tutorial_pictures.py            runs the page's commands, then itself with the address
python docs/tutorial_pictures.py ADDRESS    photographs the service there (TICKETBOT_CONFIG is its settings)
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from screenshots import SIZE, settle, shoot  # noqa: E402 - after the path is set

from tests.support import examples  # noqa: E402 - after the path is set
from tests.support.chromium import chromium  # noqa: E402 - after the path is set

PASSWORD = "nine purple kettles"  # noqa: S105 - of an installation that ends with this program


def run() -> None:
    """The tutorial in a folder of its own, with other ports than the page says."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        said = examples.tutorial(home, after=f"{sys.executable} {__file__} http://127.0.0.1:8788")
    sys.stdout.write(said[said.index("docs/screenshots/") :])


def photograph(address: str) -> None:
    command = [sys.executable, "-m", "ticketbot", "users", "invite", "ada", "--role", "admin"]
    link = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    folder = ROOT / "docs" / "screenshots"
    with chromium() as browser:
        context = browser.new_context(base_url=address, viewport=SIZE, color_scheme="light")
        page = context.new_page()
        page.goto(link)
        for field in page.locator("input[type=password]").all():
            field.fill(PASSWORD)
        page.locator("form button").first.click()
        page.wait_for_selector("nav")
        page.goto("/")
        settle(page)
        shoot(page, folder / "tutorial-overview.png")
        page.goto("/label")
        page.wait_for_selector("#frame > img")
        settle(page)
        shoot(page, folder / "tutorial-label.png")
        context.close()


if __name__ == "__main__":
    photograph(sys.argv[1]) if len(sys.argv) > 1 else run()
