import pytest

from tests.support.chromium import chromium
from tests.support.showcase import running


def watch(page, problems):
    """Note what a page of ours must never have: a script that fails, something its policy refuses."""
    page.add_init_script(
        "addEventListener('securitypolicyviolation',"
        " (event) => console.error('Content Security Policy', event.violatedDirective, event.blockedURI))"
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)


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
def open_page_of(chrome):
    """open_page_of(address) -> a page in its own browser profile; a script that fails or is refused fails the test."""
    contexts, problems = [], []

    def new(address):
        context = chrome.new_context(base_url=address, viewport={"width": 1280, "height": 720})
        context.set_default_timeout(20_000)
        contexts.append(context)
        context.on("page", lambda page: watch(page, problems))
        return context.new_page()

    yield new
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def open_page(open_page_of, served):
    """open_page() -> a page on the site of `served`."""
    return lambda: open_page_of(served[1])
