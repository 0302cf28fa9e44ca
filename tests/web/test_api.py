"""/api/v1: is what it does what its document says, who may, and does walking by cursor see everything once?

The document is held against the answers: whatever a test here asks, the answer must fit its schema.
"""

import copy
import json
import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tests.support.bundles import CLASSES
from tests.support.gallery import jpeg, predicted, staged
from tests.support.outbox import put_answers
from tests.support.shelf import label, put_model
from tests.support.site import Site
from ticketbot import apis
from ticketbot.db.models import (
    Attempt,
    Cleaning,
    EndpointState,
    File,
    FileTicket,
    Source,
    Suspect,
    Switch,
    Ticket,
    Training,
)
from ticketbot.pages import BLUEPRINTS
from ticketbot.retrain import run, shelf
from ticketbot.web.access import need_of

DOCUMENT = json.loads(json.dumps(apis.document()))
RULES = {
    "general.categories": list(CLASSES),
    "endpoints.desk.url": "https://desk.example/in",
    "endpoints.desk.mode": "live",
    "sources.erp.root": "/srv/erp",
    "sources.erp.endpoint": "desk",
    "retrain.min_per_category": 2,
}


class Caller:
    """A program with a token; every answer is held against the document."""

    def __init__(self, site, *scopes):
        self.client = site.app.test_client()
        self.headers = {"Authorization": f"Bearer {site.token(*scopes)}"} if scopes else {}

    def get(self, path, status=200, **query):
        return self._checked("get", path, status, query_string=query)

    def post(self, path, body=None, status=200):
        return self._checked("post", path, status, **({} if body is None else {"json": body}))

    def delete(self, path, status=204):
        return self._checked("delete", path, status)

    def _checked(self, method, path, status, **more):
        answer = self.client.open(f"/api/v1{path}", method=method.upper(), headers=self.headers, **more)
        assert answer.status_code == status, answer.text
        described = operation_of(method, f"/api/v1{path}")["responses"]
        assert str(status) in described, f"{status} of {method} {path} is not in the document"
        content = described[str(status)].get("content", {})
        if not content:
            assert answer.data == b""
            return None
        schema = {**copy.deepcopy(content[answer.mimetype]["schema"]), "components": DOCUMENT["components"]}
        said = answer.json if answer.is_json else answer.text
        answer.close()  # a report is a file that is sent
        Draft202012Validator(schema).validate(said)
        return said

    def everything(self, path, **query):
        """All items of a list, two a page."""
        found, cursor = [], {}
        while True:
            page = self.get(path, limit=2, **query, **cursor)
            assert len(page["items"]) <= 2
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}


def operation_of(method, path):
    exact = DOCUMENT["paths"].get(path, {}).get(method)
    if exact:
        return exact
    for pattern, item in DOCUMENT["paths"].items():
        if method in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
            return item[method]
    raise AssertionError(f"{method} {path} is not in the document")


@pytest.fixture
def site(db, settings_with):
    return Site(db, settings_with(RULES), BLUEPRINTS)


@pytest.fixture
def reader(site):
    return Caller(site, "read")


@pytest.fixture
def admin(site):
    return Caller(site, "read", "label", "admin")


def put_pictures(site, n=5):
    put_model(site.db, site.settings, "m1")
    hashes = [staged(site.db, site.settings, jpeg(str(number)), at=1000.0 + number // 2) for number in range(n)]
    for number, sha256 in enumerate(hashes):
        predicted(site.db, sha256, "m1", CLASSES[number % 2], unsure=number == 4)
    return hashes


def test_the_document_is_openapi_3_1():
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_operation_has_a_name_of_its_own_and_a_summary():
    operations = [one for item in DOCUMENT["paths"].values() for one in item.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names) > 35
    assert all(one["summary"] and one["tags"] for one in operations)


def test_every_call_may_be_told_to_come_back_later_and_when():
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            later = operation["responses"].get("503")
            assert path == "/healthz" or "Retry-After" in later["headers"], path


def test_the_document_is_served_and_the_page_shows_every_call(site):
    assert site.app.test_client().get("/api/v1/openapi.json").json == DOCUMENT
    page = site.sign_in("vera", "viewer").get("/api/v1/")
    assert page.status_code == 200
    for path in DOCUMENT["paths"]:
        assert f"<code>{path}</code>" in page.text
    assert "http://" not in page.text and "https://" not in page.text, "nothing is loaded from elsewhere"
    assert 'href="/api/v1/"' in site.sign_in("ada", "admin").get("/setup").text, "the Set-up page leads to it"


def test_every_call_below_api_v1_is_for_programs_and_in_the_document(site):
    rules = [rule for rule in site.app.url_map.iter_rules() if rule.rule.startswith("/api/v1/")]
    assert len(rules) > 30
    with site.app.test_request_context():
        for rule in rules:
            if rule.endpoint in ("api.read_page", "api.show_document"):
                continue
            assert need_of(rule.endpoint).api, rule.rule
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            assert {method.lower() for method in rule.methods - {"HEAD", "OPTIONS"}} <= set(DOCUMENT["paths"][path])


@pytest.mark.parametrize("path", [path for path in DOCUMENT["paths"] if path.startswith("/api/v1/")])
def test_nobody_gets_in_without_a_token_or_with_too_small_a_one(site, path):
    for method in DOCUMENT["paths"][path]:
        real = re.sub(r"\{event_id\}", "1", re.sub(r"\{(?!event_id)\w+\}", "x", path)).removeprefix("/api/v1")
        answer = Caller(site)._checked(method, real, 401)
        assert answer["code"] == "unauthorized"
        answer = Caller(site, "classify")._checked(method, real, 403)
        assert answer["code"] == "forbidden"


@pytest.mark.parametrize(
    ("path", "prepare"),
    [
        ("/pictures", put_pictures),
        ("/files", put_pictures),
        ("/labels", lambda site: [label(site.db, sha256, CLASSES[0]) for sha256 in put_pictures(site)]),
        ("/label-events", lambda site: [label(site.db, sha256, CLASSES[0]) for sha256 in put_pictures(site)]),
        ("/answers", lambda site: put_answers(site.db, [("desk", f"T-{n}", 1) for n in range(5)])),
        ("/tickets", lambda site: put_rows(site, [Ticket(endpoint="desk", ticket=f"T-{n}", seq=0) for n in range(5)])),
        (
            "/trainings",
            lambda site: put_rows(site, [Training(state="failed", cause="x", started_at=n) for n in range(5)]),
        ),
    ],
)
def test_walking_by_cursor_sees_everything_once(site, reader, path, prepare):
    prepare(site)
    found = reader.everything(path)
    assert len(found) == 5
    assert len({json.dumps(one, sort_keys=True) for one in found}) == 5
    assert reader.get(path)["items"] == found


def put_rows(site, rows):
    with site.db.write() as session:
        session.add_all(rows)


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/pictures", {"limit": "0"}, "limit"),
        ("/pictures", {"limit": "many"}, "limit"),
        ("/pictures", {"labels": "x"}, "labels"),
        ("/pictures", {"cursor": "zzz"}, "cursor"),
        ("/pictures", {"cursor": "WzFd"}, "cursor"),
        ("/answers", {"state": "lost"}, "state"),
        ("/labels", {"cursor": "W251bGxd"}, "cursor"),
        ("/me", {"x": "1"}, "takes no query"),
    ],
)
def test_a_wrong_query_names_what_is_wrong(reader, path, query, said):
    answer = reader.get(path, status=400, **query)
    assert answer["code"] == "bad_request" and said in answer["detail"]


def test_pictures_are_found_by_what_they_are(site, reader):
    hashes = put_pictures(site)
    label(site.db, hashes[0], CLASSES[2])
    one = reader.get("/pictures", label=CLASSES[2])["items"]
    assert [picture["sha256"] for picture in one] == [hashes[0]]
    assert len(reader.get("/pictures", label="none")["items"]) == 4
    assert [picture["sha256"] for picture in reader.get("/pictures", predicted="unsure")["items"]] == [hashes[4]]
    assert reader.get("/pictures", user="nobody")["items"] == []
    assert len(reader.get("/pictures", since=1001)["items"]) == 3


def test_a_picture_tells_everything_about_itself(site, reader):
    (sha256, *_) = put_pictures(site)
    with site.db.write() as session:
        file = session.query(File).filter_by(sha256=sha256).one()
        session.add(FileTicket(file_id=file.id, ticket="T-1", endpoint="desk", resolved_at=1.0))
    label(site.db, sha256, CLASSES[3])
    found = reader.get(f"/pictures/{sha256}")
    assert found["label"] == CLASSES[3] and found["files"][0]["tickets"] == ["T-1"]
    assert found["predictions"][0]["model"] == "m1" and found["events"][0]["new"] == CLASSES[3]
    assert found["version"] == found["events"][0]["id"]
    reader.get(f"/pictures/{'0' * 64}", status=404)
    reader.get("/pictures/..", status=404)


def test_a_label_is_said_once_and_taken_back(site, admin):
    told = []
    site.services.announce = lambda session, sha256, now: told.append(sha256)
    (sha256, *_) = put_pictures(site)
    word = {"category": CLASSES[1], "key": "my-key-0001", "version": 0}
    first = admin.post(f"/pictures/{sha256}/label", word)
    assert admin.post(f"/pictures/{sha256}/label", word) == first
    assert told == [sha256]
    conflict = admin.post(f"/pictures/{sha256}/label", {**word, "key": "my-key-0002"}, status=409)
    assert conflict["code"] == "conflict"
    event = admin.get("/label-events", sha256=sha256)["items"][0]
    assert event["who"] == "token:a program"
    assert admin.post(f"/label-events/{event['id']}/undo", {"key": "my-key-0003"})["category"] is None
    admin.post("/label-events/999999/undo", {"key": "my-key-0004"}, status=404)
    admin.post(f"/pictures/{sha256}/label", {"category": "nonsense", "key": "my-key-0005"}, status=400)
    admin.post(f"/pictures/{'0' * 64}/label", {"category": CLASSES[1], "key": "my-key-0006"}, status=404)


def test_somebody_elses_word_is_for_administrators(site, admin):
    (sha256, *_) = put_pictures(site)
    event = label(site.db, sha256, CLASSES[0])
    Caller(site, "label").post(f"/label-events/{event}/undo", {"key": "my-key-0001"}, status=403)
    admin.post(f"/label-events/{event}/undo", {"key": "my-key-0002"})


def test_dead_answers_are_sent_again_once(site, admin):
    ids = put_answers(site.db, [("desk", "T-1", 1), ("desk", "T-2", 1)], state="dead")
    with site.db.write() as session:
        session.add(Attempt(answer_id=ids[0], number=1, at=1.0, took_ms=5, status=500))
    assert len(admin.get("/answers", state="dead")["items"]) == 2
    wish = {"key": "redeliver-001", "ids": [ids[0]]}
    assert admin.post("/answers/redeliver", wish) == {"count": 1}
    assert admin.post("/answers/redeliver", wish) == {"count": 0}
    found = admin.get(f"/answers/{ids[0]}")
    assert (found["state"], found["tries"][0]["status"], found["body"]["data"]["ticket"]) == ("pending", 500, "T-1")
    assert admin.post("/answers/redeliver", {"key": "redeliver-002", "since": 0}) == {"count": 1}
    admin.post("/answers/redeliver", {"key": "redeliver-003"}, status=400)
    admin.get("/answers/msg_none", status=404)


def test_endpoints_are_paused_enabled_released_and_get_new_secrets(site, admin):
    put_answers(site.db, [("desk", "T-1", 1)], state="held")
    put_rows(site, [EndpointState(name="desk", disabled_at=1.0, disabled_why="410", recent=[], secrets=[])])
    assert admin.get("/endpoints")["items"][0]["disabled"] == "410"
    admin.post("/endpoints/desk/enable", status=204)
    assert admin.post("/endpoints/desk/release") == {"released": 1, "cancelled": 0}
    admin.post("/endpoints/desk/pause", status=204)
    admin.post("/deliveries/pause", status=204)
    found = admin.get("/endpoints")
    assert found["paused"] and found["items"][0]["paused"] and found["items"][0]["answers"] == {"pending": 1}
    admin.post("/endpoints/desk/resume", status=204)
    admin.post("/deliveries/resume", status=204)
    assert not admin.get("/endpoints")["paused"]
    assert admin.post("/endpoints/desk/secret")["secret"].startswith("whsec_")
    for deed in ("enable", "release", "pause", "resume", "secret"):
        admin.post(f"/endpoints/nobody/{deed}", status=404)


def test_a_model_is_promoted_and_rolled_back_with_a_reason(site, admin):
    put_model(site.db, site.settings, "m1")
    put_model(site.db, site.settings, "m2", champion=False)
    assert admin.post("/models/m2/promote", {"reason": "better"})["state"] == "champion"
    assert admin.post("/models/rollback", {"reason": "worse"})["id"] == "m1"
    states = {one["id"]: one["state"] for one in admin.get("/models")["items"]}
    assert states == {"m1": "champion", "m2": "refused"}
    assert admin.get("/models/m1")["manifest"]["classes"] == list(CLASSES)
    admin.post("/models/m3/promote", {"reason": "x"}, status=404)
    admin.post("/models/m2/promote", {"reason": ""}, status=400)
    admin.post("/models/rollback", {"reason": "none left"}, status=409)


def test_a_training_is_asked_for_once_and_only_when_it_can_be(site, admin):
    answer = admin.post("/trainings", status=409)
    assert answer["code"] == "conflict"
    for number, sha256 in enumerate(put_pictures(site, 8)):
        label(site.db, sha256, CLASSES[number % 4])
    assert admin.post("/trainings", status=202)["due"]
    assert admin.post("/trainings", status=202)["due"]
    assert run.wish(site.db, run.WISH) == "token:a program"
    assert run.wish(site.db, run.WISH) is None


def test_people_and_programs_are_let_in_and_out(site, admin):
    assert "/invite/" in admin.post("/users", {"name": "rita", "role": "admin"}, status=201)["link"]
    assert admin.get("/users")["items"][0]["state"] == "invited"
    admin.post("/users", {"name": "rita", "role": "queen"}, status=400)
    admin.post("/users/nobody/disable", status=404)
    site.person("ann", "reviewer")
    admin.post("/users/ann/disable", status=204)
    token = admin.post("/tokens", {"name": "crm", "scopes": ["read"], "days": 3}, status=201)["token"]
    number = token.split("_")[1]
    assert number in {one["id"] for one in admin.get("/tokens")["items"]}
    admin.delete(f"/tokens/{number}")
    admin.delete(f"/tokens/{number}", status=404)


def test_people_change_roles_and_it_is_written_down(site, admin):
    site.person("ann", "reviewer")
    admin.post("/users/ann/role", {"role": "admin"}, status=204)
    admin.post("/users/ann/disable", status=400)
    site.person("bea", "admin")
    admin.post("/users/ann/sign-out", status=204)
    admin.post("/users/ann/disable", status=204)
    assert {one["name"]: one["state"] for one in admin.get("/users")["items"]} == {"ann": "disabled", "bea": "active"}
    admin.post("/users/ann/enable", status=204)
    admin.post("/users/nobody/enable", status=404)
    said = [(one["what"], one["detail"]["name"]) for one in admin.everything("/audit")]
    assert said == [(f"account {deed}", "ann") for deed in ("enable", "disable", "sign-out", "role")]
    assert {one["who"] for one in admin.get("/audit", who="token:a program")["items"]} == {"token:a program"}
    Caller(site, "read").get("/audit", status=403)


def test_labels_from_elsewhere_come_in_once_and_all_go_out(site, admin):
    hashes = put_pictures(site)
    words = [{"sha256": sha256, "category": CLASSES[number % 4]} for number, sha256 in enumerate(hashes)]
    unknown = {"sha256": "0" * 64, "category": CLASSES[0]}
    wrong = {"sha256": hashes[0], "category": "nonsense"}
    first = admin.post("/labels", {"labels": [*words, unknown, wrong]})
    assert first["labelled"] == 5 and {one["sha256"] for one in first["refused"]} == {"0" * 64, hashes[0]}
    assert admin.post("/labels", {"labels": words}) == {"labelled": 0, "unchanged": 5, "refused": []}
    assert {one["sha256"]: one["category"] for one in admin.everything("/labels")} == {
        one["sha256"]: one["category"] for one in words
    }
    two = [{"sha256": hashes[0], "category": CLASSES[1]}, {"sha256": hashes[0], "category": CLASSES[2]}]
    assert "two categories" in admin.post("/labels", {"labels": two})["refused"][0]["why"]
    Caller(site, "read").post("/labels", {"labels": words}, status=403)


def test_tickets_are_found_as_on_their_page(site, reader):
    put_answers(site.db, [("desk", "T-1", 1), ("desk", "T-2", 1)], state="dead")
    with site.db.write() as session:
        for number in (1, 2):
            said = {"category": CLASSES[number], "by": "m1", "answered_at": 1.0}
            session.add(Ticket(endpoint="desk", ticket=f"T-{number}", seq=1, **said))
    assert [one["ticket"] for one in reader.get("/search", ticket="T-1")["items"]] == ["T-1"]
    assert [one["ticket"] for one in reader.get("/search", category=CLASSES[2])["items"]] == ["T-2"]
    assert {one["state"] for one in reader.get("/search", state="dead")["items"]} == {"dead"}
    assert reader.get("/search", user="nobody")["items"] == []
    reader.get("/search", state="nonsense", status=400)
    reader.get("/search", cursor="nonsense", status=400)


def test_labels_that_may_be_wrong_come_worst_first(site, reader):
    hashes = put_pictures(site)
    assert reader.get("/suspects") == {"items": [], "next": None}
    with site.db.write() as session:
        for number, state in ((1, "succeeded"), (2, "failed")):
            session.add(Cleaning(id=number, state=state, cause="ada", started_at=1.0, finished_at=2.0))
        session.flush()
        for rank, sha256 in enumerate(hashes, 1):
            about = {"label": CLASSES[0], "suggested": CLASSES[1], "p_label": 0.1, "cluster": rank, "conflict": False}
            session.add(Suspect(cleaning_id=1, rank=rank, sha256=sha256, **about))
    found = reader.everything("/suspects")
    assert [one["rank"] for one in found] == [1, 2, 3, 4, 5]
    assert [one["sha256"] for one in found] == hashes


def test_a_suspect_is_kept_or_called_something_else_and_the_files_say_so(site, admin):
    hashes = put_pictures(site)
    for sha256 in hashes:
        label(site.db, sha256, CLASSES[0])
    with site.db.write() as session:
        session.add(Cleaning(id=1, state="succeeded", cause="ada", started_at=1.0, finished_at=2.0))
        session.flush()
        for rank, sha256 in enumerate(hashes, 1):
            about = {"label": CLASSES[0], "suggested": CLASSES[1], "p_label": 0.1, "cluster": rank, "conflict": False}
            session.add(Suspect(cleaning_id=1, rank=rank, sha256=sha256, **about))
    kept, other, junk, alike, _ = hashes
    first = {"category": "keep", "key": "decide-0001"}
    assert admin.post(f"/suspects/{kept}/decision", first) == admin.post(f"/suspects/{kept}/decision", first)
    admin.post(f"/suspects/{other}/decision", {"category": CLASSES[1], "key": "decide-0002", "alike": [alike]})
    admin.post(f"/suspects/{junk}/decision", {"category": "junk", "key": "decide-0003"})
    admin.post(f"/suspects/{junk}/decision", {"category": "nonsense", "key": "decide-0004"}, status=400)
    admin.post(f"/suspects/{'0' * 64}/decision", {"category": "keep", "key": "decide-0005"}, status=404)
    stale = {"category": CLASSES[2], "key": "decide-0006", "version": 0}
    admin.post(f"/suspects/{other}/decision", stale, status=409)
    left = dict(line.split(",") for line in admin.get("/cleaned.csv").split()[1:])
    assert (left[kept], left[other], left[alike]) == (CLASSES[0], CLASSES[1], CLASSES[1]) and junk not in left
    decided = [line.split(",")[:2] for line in admin.get("/decisions.csv").split("\r\n")[1:-1]]
    assert [decided[0], decided[-1]] == [[kept, "keep"], [junk, "delete"]] and len(decided) == 4
    for call in ("/cleaned.csv", "/decisions.csv"):
        Caller(site, "read").get(call, status=403)


def test_a_search_for_wrong_labels_is_asked_for_once_it_can_find_something(site, admin):
    told = admin.post("/cleanings", status=409)
    assert told["code"] == "conflict" and told["detail"]
    with site.db.write() as session:
        session.add(Cleaning(id=1, state="failed", cause="ada", started_at=1.0, finished_at=2.0, message="no"))
    assert [one["message"] for one in admin.everything("/cleanings")] == ["no"]
    Caller(site, "read").post("/cleanings", status=403)


def test_a_models_report_is_given_out_as_it_is(site, reader):
    put_pictures(site)
    folder = shelf.folder_of(site.settings, "m1")
    (folder / "report.html").write_text("<h1>m1</h1>")
    assert reader.get("/models/m1/report") == "<h1>m1</h1>"
    reader.get("/models/none/report", status=404)


def test_classes_are_those_of_settings_labels_and_model(site, reader):
    label(site.db, put_pictures(site)[0], CLASSES[1])
    found = {one["name"]: one for one in reader.get("/classes")["items"]}
    assert list(found) == list(CLASSES) and all(one["in_model"] for one in found.values())
    assert (found[CLASSES[1]]["labels"], found[CLASSES[1]]["missing"]) == (1, 1)


def test_an_endpoint_is_tried_and_its_alert_dismissed(site, admin):
    put_rows(site, [Switch(name="alert.desk.dead", value="given up", who="deliver", at=1.0)])
    found = admin.post("/endpoints/desk/test")["items"]
    assert {one["level"] for one in found} >= {"fault"} and all(one["check"] == "endpoint desk" for one in found)
    admin.post("/endpoints/nobody/test", status=404)
    admin.post("/endpoints/desk/dismiss", {"code": "dead"}, status=204)
    assert admin.get("/status")["alerts"] == []


def test_a_users_data_is_counted_first_and_erased_when_that_is_said(site, admin):
    put_pictures(site)
    with site.db.write() as session:
        session.query(File).update({"user": "7"})
    assert admin.post("/erase", {"user": "7"})["files"] == 5
    assert len(admin.get("/pictures")["items"]) == 5, "it was only counted"
    assert admin.post("/erase", {"user": "7", "dry_run": False})["pictures"] == 5
    assert admin.get("/pictures")["items"] == [] and admin.get("/files")["items"] == []
    admin.post("/erase", {}, status=400)
    admin.post("/erase", {"user": "7", "older_than_days": 3}, status=400)
    admin.post("/erase", {"user": "7", "source": "nowhere"}, status=404)
    Caller(site, "read", "label").post("/erase", {"user": "7"}, status=403)


def test_how_it_stands_and_what_happened(site, reader):
    (sha256, *_) = put_pictures(site)
    put_rows(site, [Switch(name="alert.desk.dead", value="given up", who="deliver", at=1.0)])
    with site.db.write() as session:
        session.query(Source).one().incomplete = "Stale file handle"
    status = reader.get("/status")
    assert status["model"] == "m1" and status["alerts"][0]["code"] == "dead" and "Stale" in status["stuck"][0]
    assert reader.get("/sources")["items"][0]["incomplete"] == "Stale file handle"
    story = reader.get("/trace", what=sha256)["items"][0]
    assert any("m1 predicted" in step["said"] for step in story["steps"])
    reader.get("/trace", what="T-404", status=404)
    reader.get("/trace", what="a\nb", status=400)
    reader.get("/trace", status=400)


def test_me_says_who_calls_and_how_it_arrived(site, reader):
    found = reader.get("/me")
    assert (found["name"], found["scopes"], found["seen"]["forwarded"]) == ("token:a program", ["read"], 0)


def test_a_browser_that_is_signed_in_may_read_and_must_prove_that_it_writes(site):
    browser = site.sign_in("ada", "admin")
    assert browser.get("/api/v1/users").status_code == 200
    assert browser.client.post("/api/v1/users", json={"name": "eve"}).status_code == 400
    assert browser.send("/api/v1/users", {"name": "eve"}).status_code == 201
