"""The bookmarklet of docs/, pressed in a real browser on a page of results."""

import io
from pathlib import Path

import pytest

from tests.support.chromium import chromium
from tests.support.site_of_files import serving
from tests.trainer.conftest import draw
from trainer.data import urls
from trainer.progress import Progress

PAGE = Path(__file__).parents[2] / "docs" / "bookmarklet.html"
GALLERY = b"""<!doctype html><title>results</title>
<a href="/full/1.jpg?w=9"><img src="/thumb/1.jpg"></a>
<a href="/details/2"><img src="/thumb/2.jpg" srcset="/thumb/2.jpg 100w, /full/2.jpg 900w"></a>
<img data-src="/full/3.jpg" src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==" width="90">
<img src="/full/4.jpg"><img src="/full/4.jpg"><img src="/icon.jpg">
"""


def jpeg(number, px=100):
    stream = io.BytesIO()
    draw("dots", number).resize((px, px)).save(stream, "JPEG")
    return 200, "image/jpeg", stream.getvalue()


@pytest.fixture
def gallery():
    pages = {"/": (200, "text/html", GALLERY), "/icon.jpg": jpeg(0, px=16), "/full/1.jpg?w=9": jpeg(1)}
    pages |= {f"/{kind}/{number}.jpg": jpeg(number) for kind in ("thumb", "full") for number in range(1, 5)}
    with serving(pages) as site:
        yield site


@pytest.fixture
def press(gallery):
    """press(answer) -> (the download or None, what the page said)."""
    with chromium() as browser:
        context = browser.new_context(accept_downloads=True)
        page = context.new_page()
        page.goto(PAGE.as_uri())
        bookmark = page.get_attribute("#bookmarklet", "href")
        page.goto(gallery.url)

        def run(answer):
            said, downloads = [], []

            def asked(dialog):
                said.append(dialog.message)
                dialog.accept(answer) if len(said) == 1 else dialog.dismiss()

            page.on("dialog", asked)
            page.on("download", lambda one: downloads.append(one))
            page.evaluate("href => { location.href = href }", bookmark)
            for _ in range(100):
                if downloads or len(said) > 1:
                    break
                page.wait_for_timeout(100)
            return (downloads or [None])[0], said

        yield run
        context.close()


@pytest.mark.browser
def test_a_page_of_results_becomes_a_list_that_is_fetched(press, gallery, tmp_path):
    download, said = press("errors")
    assert download.suggested_filename == "urls_errors.csv" and said == ["4 pictures. Which class do they show?"]
    path = tmp_path / download.suggested_filename
    download.save_as(path)
    full = [f"{gallery.url}/full/{name}" for name in ("1.jpg?w=9", "2.jpg", "3.jpg", "4.jpg")]
    assert urls.addresses(path) == full
    found = urls.collect([path], tmp_path / "out", Progress(quiet=True), allow=("127.0.0.0/8",))
    assert [one.outcome for one in found["errors"]] == ["taken"] * 4


@pytest.mark.browser
def test_a_class_no_folder_could_have_saves_nothing(press):
    download, said = press("../errors")
    assert download is None and said[1:] == ["A class has 1 to 40 of A-Z a-z 0-9 _ -"]
