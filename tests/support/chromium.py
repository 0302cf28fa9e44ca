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


@contextmanager
def chromium():
    """A running browser; the test is skipped (fails in CI) where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed (pip install ticketbot[dev])")
    if not PROGRAM.exists():
        missing("chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(PROGRAM), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
