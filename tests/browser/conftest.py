import pytest

from tests.support.chromium import chromium
from tests.support.showcase import running


@pytest.fixture(scope="session")
def chrome():
    with chromium() as browser:
        yield browser


@pytest.fixture
def served(tmp_path):
    """(site, address) with 40 pictures to label."""
    with running(tmp_path, 40, blind_share=0.2) as found:
        yield found


@pytest.fixture
def open_page(chrome, served):
    """open_page() -> a page in its own browser profile; an error in a script or a refused one fails the test."""
    contexts, problems = [], []

    def new():
        context = chrome.new_context(base_url=served[1], viewport={"width": 1280, "height": 720})
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
        return page

    yield new
    for context in contexts:
        context.close()
    assert problems == []
