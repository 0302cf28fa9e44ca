"""Debian's chromium, driven by Playwright."""

from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import missing

PROGRAM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


# Playwright allows one of its kind a process, and a fixture may hold it while another test wants a browser too.
_open = []


@contextmanager
def chromium():
    """A running browser, the same for all who ask; the test is skipped (fails in CI) where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed (pip install ticketbot[dev])")
    if not PROGRAM.exists():
        missing("chromium is not installed (apt-get install chromium)")
    if _open:
        yield _open[0]
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(PROGRAM), args=ARGUMENTS)
        _open.append(browser)
        try:
            yield browser
        finally:
            _open.clear()
            browser.close()
