"""Requests made from our own OpenAPI document, and requests that break it: no 5xx, and every answer as it says."""

import copy
import functools
import json
import os
import re
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.support import pictures
from tests.support.gallery import jpeg, staged
from tests.support.settings import make_settings
from tests.support.shelf import put_model
from tests.support.site import Site
from ticketbot import apis
from ticketbot.classify.api import Answers
from ticketbot.classify.serving import Serving
from ticketbot.db import connect
from ticketbot.db.models import Base
from ticketbot.imaging.decode import DecoderPool
from ticketbot.net import fetch
from ticketbot.pages import BLUEPRINTS

# All operations together; the night takes FUZZ_CASES=10000.
CASES = int(os.environ.get("FUZZ_CASES", "500"))
DOCUMENT = apis.document()
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]
WORDS = ("", "' OR 1=1 --", "<script>", "../../etc/passwd", "\x00", "\ud800", "%00", "ünï", "9" * 30, "-1", "1e999")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    found = make_settings(folder, {"classify.rate_per_minute": 1_000_000, "classify.fetch_timeout_s": 1})
    db = connect(f"sqlite:///{folder / 'ticketbot.db'}")
    Base.metadata.create_all(db.engine)
    put_model(db, found)
    with DecoderPool(1) as decoders, pytest.MonkeyPatch.context() as patch:
        # Names lead to this machine, which is refused: nothing is called, and no real name is looked up.
        patch.setattr(fetch, "get", functools.partial(fetch.get, resolve=lambda host, port: ["127.0.0.1"]))
        made = Site(db, found, BLUEPRINTS)
        made.services.decoders = decoders
        made.services.classify = Answers(Serving(db, found), found)
        made.hashes = [staged(db, found, jpeg(str(number))) for number in range(5)]
        made.bearer = f"Bearer {made.token('classify', 'read', 'label')}"
        yield made
    db.close()


# --- values -------------------------------------------------------------------------------------------------------


def texts():
    return st.one_of(st.sampled_from(WORDS), st.text(max_size=40))


def readable(text):
    """What a form or an address can carry."""
    return text.encode("utf-8", "replace").decode()


def named(schema):
    """The schema itself, where there is a reference to one of the components."""
    return DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def anything():
    """Any JSON value."""
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts())
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3))


def fitting(schema, hashes):
    """A value as the schema wants it; a sha256 is mostly one that is there."""
    if "$ref" in schema:
        return fitting(named(schema), hashes)
    if "anyOf" in schema:
        return st.one_of([fitting(one, hashes) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "pattern" in schema:
        regular = st.from_regex(schema["pattern"].replace("$", r"\Z"), fullmatch=True)
        return regular | st.sampled_from(hashes) if "{64}" in schema["pattern"] else regular
    if schema.get("type") == "object":
        return objects(schema, hashes)
    if schema.get("type") == "array":
        return st.lists(fitting(schema["items"], hashes), max_size=5)
    if schema.get("type") == "integer":
        return st.integers(schema.get("minimum", -(2**70)), schema.get("maximum", 2**70))
    if schema.get("type") == "number":
        return st.floats(schema.get("minimum"), schema.get("maximum"))
    if schema.get("type") in ("boolean", "null"):
        return st.booleans() if schema["type"] == "boolean" else st.none()
    return texts() | st.sampled_from(["errors", "junk", "skip", "http://good.example/a.jpg", "http://127.0.0.1/"])


def objects(schema, hashes):
    values = {name: fitting(one, hashes) for name, one in schema.get("properties", {}).items()}
    if not values:
        return st.dictionaries(texts(), texts(), max_size=3)
    needed = {name: values[name] for name in schema.get("required", ())}
    return st.fixed_dictionaries(needed, optional={name: one for name, one in values.items() if name not in needed})


@st.composite
def broken(draw, schema, hashes):
    """An object with one member too few, too many or of another kind; or something that is no object."""
    value = draw(objects(schema, hashes))
    how = draw(st.integers(0, 3))
    name = draw(st.sampled_from(sorted(schema.get("properties") or ["keys"])))
    if how == 0:
        value.pop(name, None)
    elif how == 1:
        value[name] = draw(anything())
    elif how == 2:
        value[draw(texts())] = draw(anything())
    else:
        return draw(anything())
    return value


def bodies():
    """Bytes that are pictures, nearly pictures, or nothing of the kind."""
    whole = st.sampled_from([pictures.make(name) for name in ("ok_rgb.jpg", "mode_P.png", "ok_1x1.jpg", "html.jpg")])
    cut = st.builds(lambda data, at: data[: at % (len(data) + 1)], whole, st.integers(0, 10_000))
    return whole | cut | st.binary(max_size=200)


# --- requests and answers ----------------------------------------------------------------------------------------


def send(data, site, method, path):
    """One request for this operation. -> the answer"""
    operation = DOCUMENT["paths"][path][method]
    wrong_auth = st.sampled_from(["", "Bearer tb_x", "Basic YTpi", "Bearer " + "x" * 5000])
    token = data.draw(st.one_of(st.just(site.bearer), st.just(site.bearer), wrong_auth))
    more = {"headers": {"Authorization": token} if token else {}}
    target, query = path, {}
    for one in operation.get("parameters", ()):
        value = readable(str(data.draw(fitting(one["schema"], site.hashes) | texts())))
        if one["in"] == "path":
            target = target.replace(f"{{{one['name']}}}", quote(value or "-", safe=""))
        elif one["required"] or data.draw(st.booleans()):
            query[data.draw(st.sampled_from([one["name"]] * 4 + [one["name"].upper(), "token"]))] = value
    more["query_string"] = query
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        schema = named(content["application/json"]["schema"])
        value = data.draw(objects(schema, site.hashes) | broken(schema, site.hashes))
        more["data"] = json.dumps(value).encode()
        more["content_type"] = data.draw(st.sampled_from(["application/json"] * 4 + ["text/plain", "x", ""]))
    elif "application/x-www-form-urlencoded" in content:
        more["data"] = data.draw(st.dictionaries(texts().map(readable), texts().map(readable), max_size=3))
    elif content:
        more["data"] = data.draw(bodies())
        more["content_type"] = data.draw(st.sampled_from(["application/octet-stream", "multipart/form-data", "a/b"]))
    return site.app.test_client().open(target, method=method.upper(), **more)


def resolved(schema):
    """The schema with the document's own components, so that references lead somewhere."""
    return {**copy.deepcopy(schema), "components": DOCUMENT["components"]}


def check(answer, method, path):
    responses = DOCUMENT["paths"][path][method]["responses"]
    assert answer.status_code < 500 or path == "/readyz", answer.text
    assert "Traceback" not in answer.text
    assert str(answer.status_code) in responses, (answer.status_code, answer.text)
    if "content" not in responses[str(answer.status_code)]:
        assert answer.data == b""
        return
    content = responses[str(answer.status_code)]["content"]
    assert answer.mimetype in content
    if answer.is_json:
        Draft202012Validator(resolved(content[answer.mimetype]["schema"])).validate(answer.json)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_is_our_error_and_every_answer_is_as_documented(site, method, path):
    @settings(
        max_examples=CASES // len(OPERATIONS) + 1,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.data())
    def fuzz(data):
        check(send(data, site, method, path), method, path)

    fuzz()


def test_the_document_is_served_and_names_only_what_is_there(site):
    answer = site.app.test_client().get("/openapi.json")
    assert answer.json == json.loads(json.dumps(DOCUMENT))
    assert site.app.test_client().get("/api/v1/openapi.json").json == answer.json
    rules = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in site.app.url_map.iter_rules()
        for method in rule.methods
    }
    assert set(OPERATIONS) <= rules


def test_every_call_that_programs_make_is_in_the_document(site):
    """Views that answer programs (`api=True`), and every POST below /label."""
    views = site.app.view_functions
    called = {
        rule.rule
        for rule in site.app.url_map.iter_rules()
        if getattr(views[rule.endpoint], "need", None)
        and (views[rule.endpoint].need.api or (rule.rule.startswith("/label") and "POST" in rule.methods))
    }
    assert {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path) for path in called} <= set(apis.document()["paths"])


def test_a_picture_and_a_label_go_the_good_way_too(site):
    headers = {"Authorization": site.bearer}
    client = site.app.test_client()
    answer = client.post("/classify", data=pictures.make("ok_rgb.jpg"), headers=headers)
    assert answer.status_code == 200
    check(answer, "post", "/classify")
    word = {"sha256": site.hashes[0], "category": "errors", "key": "good-key-0001"}
    answer = client.post("/label", json=word, headers=headers)
    assert answer.status_code == 200
    check(answer, "post", "/label")
