"""The HTTP API: answers and refusals, over a real socket where one is fetched from."""

import hashlib
import io
import json
import logging
import threading
import time

import pytest

from tests.support.bundles import picture
from tests.support.shelf import jpeg, put_model
from tests.support.site import Site
from ticketbot import logs
from ticketbot.classify import api
from ticketbot.classify.serving import Serving


@pytest.fixture
def made(db, settings_with, decoders, pictures):
    """made(overrides, champion=…) -> a client of the app with a model in service."""

    def make(overrides=None, champion=True):
        port = int(pictures.rsplit(":")[-1])
        allowed = {"classify.url_allow": [f"127.0.0.1:{port}"], "classify.url_ports": [80, 443, port]}
        settings = settings_with({**allowed, **(overrides or {})})
        if champion:
            put_model(db, settings, "m1", tag_from=0.8)
        site = Site(db, settings, (api.blueprint,))
        site.services.decoders = decoders
        site.services.classify = api.Answers(Serving(db, settings), settings)
        return Client(site)

    return make


class Client:
    def __init__(self, site):
        self.site = site
        self.http = site.app.test_client()
        self.headers = {"Authorization": f"Bearer {site.token('classify')}"}

    def get(self, query="", **more):
        return self.http.get(f"/classify-url{query}", **{"headers": self.headers, **more})

    def post(self, path, **more):
        return self.http.post(path, **{"headers": self.headers, **more})


def code(answer):
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    return answer.status_code, answer.json["code"]


def test_a_picture_behind_an_address_is_classified(made, pictures):
    answer = made().get("", query_string={"url": f"{pictures}/red.jpg"})
    assert answer.status_code == 200
    assert set(answer.json) == {"predictions", "model", "category", "unsure", "picture", "why"}
    assert (answer.json["model"], answer.json["category"], answer.json["unsure"]) == ("m1", "reports", False)
    name, probability = answer.json["predictions"][0]
    assert (name, len(answer.json["predictions"])) == ("reports", 4)
    assert 0.9 < probability <= 1


def test_the_address_may_be_posted(made, pictures):
    answer = made().post("/classify-url", json={"url": f"{pictures}/red.jpg"})
    assert (answer.status_code, answer.json["category"]) == (200, "reports")


def test_a_picture_may_be_posted_as_it_is_or_in_a_form(made):
    client = made()
    raw = client.post("/classify", data=jpeg(picture(2, px=96)), content_type="image/jpeg")
    assert (raw.status_code, raw.json["category"]) == (200, "screens")
    form = client.post("/classify", data={"file": (io.BytesIO(jpeg(picture(1, px=96))), "a.jpg")})
    assert (form.status_code, form.json["category"]) == (200, "errors")


def test_what_is_not_proven_is_unsure(made, settings_with, db):
    client = made(champion=False)
    put_model(db, client.site.settings, "m1")
    answer = client.post("/classify", data=jpeg(picture(2, px=96)), content_type="image/jpeg")
    assert (answer.json["category"], answer.json["unsure"]) == (None, True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (400, "url_missing")),
        ("?url=", (400, "url_missing")),
        ("?url=http://a.example/&url=http://b.example/", (400, "url_repeated")),
        ("?url=ftp://a.example/a.jpg", (400, "scheme_refused")),
        ("?url=http://127.0.0.1/a.jpg", (400, "address_refused")),
        ("?url=http://[::1]/a.jpg", (400, "address_refused")),
        ("?url=http://user:pw@a.example/", (400, "userinfo_refused")),
        ("?url=PICTURES/nothing.jpg", (502, "upstream_status")),
        ("?url=PICTURES/text.jpg", (422, "not_an_image")),
    ],
)
def test_a_refusal_has_its_code(made, pictures, query, expected):
    assert code(made().get(query.replace("PICTURES", pictures))) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "url_missing")),
        ({"url": ""}, (400, "url_missing")),
        ({"url": 3}, (400, "url_malformed")),
        ({"url": ["http://a.example"]}, (400, "url_malformed")),
        (["http://a.example"], (400, "bad_request")),
        (None, (400, "bad_request")),
    ],
)
def test_a_posted_address_is_refused_alike(made, body, expected):
    assert code(made().post("/classify-url", data=json.dumps(body), content_type="application/json")) == expected


def test_uploads_that_are_no_picture_are_refused(made):
    client = made()
    assert code(client.post("/classify")) == (422, "not_an_image")
    assert code(client.post("/classify", data=b"hello")) == (422, "not_an_image")
    assert code(client.post("/classify", data={"x": "y"}, content_type="multipart/form-data")) == (400, "bad_request")
    two = [(io.BytesIO(b"a"), "a.jpg"), (io.BytesIO(b"b"), "b.jpg")]
    assert code(client.post("/classify", data={"file": two})) == (400, "bad_request")
    large = jpeg(picture(0, px=96)) + bytes(26 * 2**20)
    assert code(client.post("/classify", data=large, content_type="image/jpeg")) == (413, "payload_too_large")


def test_a_token_is_needed_unless_a_setting_says_otherwise(made, pictures):
    client = made()
    assert code(client.get(f"?url={pictures}/red.jpg", headers={})) == (401, "unauthorized")
    reader = {"Authorization": f"Bearer {client.site.token('read')}"}
    assert code(client.get(f"?url={pictures}/red.jpg", headers=reader)) == (403, "forbidden")
    free = made({"classify.token_required": False}, champion=False)
    assert free.get(f"?url={pictures}/red.jpg", headers={}).status_code == 200


def test_a_signed_in_browser_may_type_the_address(made, pictures):
    browser = made().site.sign_in("rita")
    assert browser.get(f"/classify-url?url={pictures}/red.jpg").json["category"] == "reports"


def test_without_a_model_it_says_so(made):
    answer = made(champion=False).post("/classify", data=jpeg(picture(0, px=96)))
    assert code(answer) == (503, "no_model")
    assert int(answer.headers["Retry-After"]) > 0


def test_too_many_requests_are_told_when_to_come_back(made):
    client = made({"classify.rate_per_minute": 3})
    answers = [client.get() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_when_all_places_are_taken_it_says_busy(made):
    client = made({"classify.http_slots": 1, "classify.queue_s": 0.1})
    with client.site.services.classify.slots.take():
        answer = client.post("/classify", data=jpeg(picture(0, px=96)))
    assert code(answer) == (503, "busy")
    assert (answer.headers["Retry-After"], answer.json["retryable"]) == ("1", True)
    assert client.post("/classify", data=jpeg(picture(0, px=96))).status_code == 200


def test_places_are_never_more_than_there_are():
    slots, now, most = api.Slots(2, 10), [], []

    def one():
        with slots.take():
            now.append(1)
            most.append(len(now))
            time.sleep(0.01)
            now.pop()

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (12, 2)


def test_every_line_of_a_requests_log_names_the_request_and_the_picture(made, caplog):
    client, data = made(), jpeg(picture(0, px=96))
    lines, handler = [], logging.StreamHandler(io.StringIO())
    handler.setFormatter(logs.JsonLines())
    handler.emit = lambda record: lines.append(json.loads(handler.format(record)))
    caplog.set_level(logging.INFO)
    logging.getLogger().addHandler(handler)
    try:
        headers = {**client.headers, "X-Request-Id": "request-0001"}
        said = client.http.post("/classify", data=data, headers=headers).json
        client.http.post("/classify", data=b"no picture", headers=headers)
        client.http.get("/healthz")
    finally:
        logging.getLogger().removeHandler(handler)
    sha256 = hashlib.sha256(data).hexdigest()
    assert said["picture"] == sha256
    assert said["why"] == {"rule": "promise", "limit": 0.8, **{name: said["why"][name] for name in COUNTS}}
    mine = [line for line in lines if line.get("picture") == sha256]
    assert {line["request_id"] for line in mine} == {"request-0001"}
    assert any(line.get("category") == said["category"] for line in mine), "what was answered"
    assert any(line.get("status") == 200 for line in mine), "the request's own line"
    other = hashlib.sha256(b"no picture").hexdigest()
    assert [line["status"] for line in lines if line.get("picture") == other and "status" in line] == [422]


COUNTS = ("accepted", "errors", "missing")
