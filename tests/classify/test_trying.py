"""The Try page: the same answers and refusals as the API, and the reason for each."""

import html
import io
import re

import pytest

from tests.support.bundles import picture
from tests.support.shelf import jpeg, put_model
from tests.support.site import Site
from ticketbot.classify import api, trying
from ticketbot.classify.serving import Serving
from ticketbot.classify.why import why
from ticketbot.contracts.bundle import Threshold
from ticketbot.judge.decide import category_of

CLASSES = ("reports", "errors")


@pytest.fixture
def made(db, settings_with, decoders, pictures):
    """made(overrides, champion=…, tag_from=…) -> a site with the page, the API and a model."""

    def make(overrides=None, champion=True, tag_from=0.8):
        port = int(pictures.rsplit(":")[-1])
        allowed = {"classify.url_allow": [f"127.0.0.1:{port}"], "classify.url_ports": [80, 443, port]}
        settings = settings_with({**allowed, **(overrides or {})})
        if champion:
            put_model(db, settings, "m1", tag_from=tag_from)
        site = Site(db, settings, (api.blueprint, trying.blueprint))
        site.services.decoders = decoders
        site.services.classify = api.Answers(Serving(db, settings), settings)
        return site

    return make


def send(browser, data=None, name="a.jpg", **fields):
    file = {"file": (io.BytesIO(data), name)} if data is not None else {}
    if not browser.csrf:
        browser.get("/try")
    return browser.client.post(
        "/try",
        data={**fields, **file, "csrf_token": browser.csrf},
        content_type="multipart/form-data",
        headers={"X-Fragment": "1"},
    )


def plain(answer):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.text)))


def test_a_file_is_answered_as_by_the_api_with_the_reason(made):
    viewer = made().sign_in("vera", "viewer")
    data = jpeg(picture(0, px=96))
    answer = send(viewer, data)
    said = viewer.client.post("/classify", data=data, headers={"X-CSRFToken": viewer.csrf}).json["predictions"]
    shown = [name for name, _ in re.findall(r'row">(\w+)</th>.*?<td class="n">(.*?)</td>', answer.text, re.S)]
    assert shown == [name for name, _ in said]
    assert "would be tagged reports" in plain(answer)
    assert "From 80.0 % on, at least 95 % of what it calls reports is right: proven on 100 held-out pictures" in plain(
        answer
    )


def test_an_address_is_fetched_by_the_same_guard(made, pictures):
    viewer = made().sign_in("vera", "viewer")
    assert "would be tagged reports" in plain(send(viewer, url=f"{pictures}/red.jpg"))
    assert "not_an_image" in plain(send(viewer, url=f"{pictures}/text.jpg"))
    refused = plain(send(made({"classify.url_allow": []}, champion=False).sign_in("vera"), url=f"{pictures}/red.jpg"))
    assert "address_refused" in refused
    assert "scheme_refused" in plain(send(viewer, url="file:///etc/passwd"))


def test_nothing_proven_asks_a_person_and_says_so(made):
    answer = plain(send(made(tag_from=None).sign_in("vera", "viewer"), jpeg(picture(1, px=96))))
    assert "a person is asked errors" in answer and "No promise is proven for errors yet" in answer


def test_several_files_at_once_without_a_script(made):
    viewer = made().sign_in("vera", "viewer")
    files = [(io.BytesIO(jpeg(picture(number, px=96))), f"{number}.jpg") for number in range(2)]
    files += [(io.BytesIO(b"no picture"), "<b>.jpg"), (io.BytesIO(b""), "empty.jpg")]
    viewer.get("/try")
    answer = viewer.client.post(
        "/try",
        data={"file": files, "csrf_token": viewer.csrf},
        content_type="multipart/form-data",
        headers={"Accept": "text/html"},
    )
    assert "<h1>Try" in answer.text and answer.text.count("<article") == 4
    assert "&lt;b&gt;.jpg" in answer.text and "<b>.jpg" not in answer.text
    many = [(io.BytesIO(b"x"), f"{number}.jpg") for number in range(11)]
    again = viewer.client.post(
        "/try", data={"file": many, "csrf_token": viewer.csrf}, content_type="multipart/form-data"
    )
    assert again.status_code == 400


def test_who_may_not_and_what_is_too_large(made):
    site = made({"web.upload_max_mb": 1, "web.body_max_mb": 4})
    assert site.app.test_client().get("/try").status_code == 302
    viewer = site.sign_in("vera", "viewer")
    viewer.get("/try")
    large = viewer.client.post("/try", data=b"x" * 2**21, content_type="multipart/form-data; boundary=b")
    assert large.status_code == 413
    assert viewer.client.post("/try", data={"url": "http://a/b.jpg"}).status_code == 400  # no token of the form
    assert send(viewer).status_code == 400


def test_without_a_model_the_page_says_so(made):
    assert "No model serves yet" in made(champion=False).sign_in("vera", "viewer").get("/try").text


@pytest.mark.parametrize(
    ("p", "threshold", "unproven", "rule", "limit", "tagged"),
    [
        (0.95, Threshold(0.9, True, 59, 0, 0), "review", "promise", 0.9, True),
        (0.85, Threshold(0.9, True, 59, 0, 0), "review", "promise", 0.9, False),
        (0.85, Threshold(0.9, True, 59, 0, 0), "tag", "promise", 0.9, False),
        (0.99, Threshold(None, False, 20, 0, 39), "review", "nobody", None, False),
        (0.85, Threshold(None, False, 20, 0, 39), "tag", "fixed", 0.8, True),
        (0.75, None, "tag", "fixed", 0.8, False),
        (0.99, None, "review", "nobody", None, False),
    ],
)
def test_the_reason_is_the_rule_the_decision_was_made_by(p, threshold, unproven, rule, limit, tagged):
    decision = category_of([p, 1 - p], CLASSES, {"reports": threshold} if threshold else {}, unproven, 0.8)
    found = why(decision, threshold, unproven, 0.8)
    assert (found.rule, found.limit, found.category) == (rule, limit, "reports" if tagged else None)
    assert found.missing == (threshold.needed if threshold else 0)
