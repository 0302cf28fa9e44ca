import pytest

from tests.support.gallery import NOW, champion, jpeg, predicted, staged
from tests.support.site import Site
from ticketbot.db.models import Answer, EndpointState, File, Label, LabelEvent, Model, Source, Switch, Training
from ticketbot.operate import overview
from ticketbot.review import pages

CATEGORIES = ("reports", "errors")
EVIL = "<script>alert(1)</script>\u202e\"'&"


@pytest.mark.parametrize(
    ("predicted_counts", "labels", "total", "expected"),
    [
        ({}, [], 0, [("reports", 0), ("errors", 0)]),
        ({"reports": 3, "unsure": 2}, [], 5, [("reports", 3), ("errors", 0), ("unsure", 2)]),
        ({"reports": 3}, [("reports", True, "errors", 1)], 3, [("reports", 2), ("errors", 1)]),
        ({"unsure": 2}, [(None, True, "errors", 2)], 2, [("reports", 0), ("errors", 2)]),
        ({}, [(None, False, "junk", 1)], 4, [("reports", 0), ("errors", 0), ("junk", 1), ("not classified", 3)]),
        ({"reports": 1}, [("reports", True, "old-class", 1)], 1, [("reports", 0), ("errors", 0), ("old-class", 1)]),
    ],
)
def test_a_persons_word_counts_instead_of_the_models(predicted_counts, labels, total, expected):
    assert overview.added_up(predicted_counts, labels, total, CATEGORIES) == expected


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (None, "not called yet"),
        (EndpointState(name="d", paused_until=0.0, last_success_at=1.0), "working"),
        (EndpointState(name="d", paused_until=NOW + 5), "asked us to wait"),
        (EndpointState(name="d", paused_until=0.0, failing_since=NOW - 5), "failing"),
        (EndpointState(name="d", paused_until=0.0, opened_at=NOW), "failing, probing"),
        (EndpointState(name="d", paused_until=0.0, opened_at=NOW, disabled_at=NOW), "switched off"),
    ],
)
def test_the_worst_about_an_endpoint_is_what_is_said(state, word):
    assert overview.health(state, NOW)[1] == word


@pytest.fixture
def site(db, settings_with):
    rules = {
        "sources.erp.root": "/srv/erp",
        "endpoints.desk.url": "https://desk.example/in?a=<b>",
        "general.categories": ["reports", "errors"],
    }
    return Site(db, settings_with(rules), (overview.blueprint, pages.blueprint))


def test_an_empty_house_says_what_to_do(db, settings_with):
    site = Site(db, settings_with(), (overview.blueprint,))
    text = site.sign_in("vera", "viewer").get("/").text
    for said in ("No source is configured", "No endpoint is configured", "No model serves yet", "None yet."):
        assert said in text
    assert "missing: reports 20, errors 20" in " ".join(text.split())


def test_figures_are_counted_from_the_rows(site):
    model = champion(site.db, metrics={"accuracy": 0.91, "accuracy_low": 0.87, "accuracy_high": 0.94, "n": 300})
    today = [staged(site.db, site.settings, jpeg(str(i)), at=NOW) for i in range(3)]
    old = staged(site.db, site.settings, jpeg("old"), at=NOW - 5 * 86400)
    for picture in (*today, old):
        predicted(site.db, picture, model, "reports")
    with site.db.write() as session:
        event = LabelEvent(key="k" * 8, sha256=today[0], new="errors", who="rita", at=NOW, how="page")
        session.add(event)
        session.flush()
        session.add(Label(sha256=today[0], category="errors", version=event.id, who="rita", at=NOW))
        for number, state in enumerate(("delivered", "pending", "dead", "held")):
            what = {"endpoint": "desk", "ticket": str(number), "seq": 1, "type": "t", "body": b"", "due_at": NOW}
            session.add(Answer(id=f"m{number}", state=state, created_at=NOW - 60, delivered_at=NOW, **what))
    with site.db.read() as session:
        found = overview.look(session, site.settings, NOW)
    assert found["today"] == {"reports": 2, "errors": 1}
    assert dict(found["all"]) == {"reports": 3, "errors": 1}
    assert {queue.name: queue.count for queue in found["queues"] if queue.count} == {
        "to deliver": 1,
        "held": 1,
        "dead": 1,
    }
    assert found["labels"]["new"] == 1
    assert found["endpoints"][0]["today"] == 1
    text = site.sign_in("vera", "viewer").get("/").text
    assert "91.0 %" in text and "87.0 % to 94.0 %" in text
    assert "could not be delivered" in text


def test_a_model_without_figures_and_a_strange_progress_do_not_break_the_page(site):
    with site.db.write() as session:
        session.add(Model(id="m", state="champion", created_at=NOW, manifest={}))
        session.add(Training(state="running", cause="command", started_at=NOW, progress={"stage": 3, "total": "x"}))
    with site.db.write() as session:
        session.add(Training(state="failed", cause="labels", started_at=NOW, message=EVIL * 20))
    assert site.sign_in("vera", "viewer").get("/").status_code == 200


def test_hostile_names_are_shown_as_text(site):
    champion(site.db, "m", metrics={"accuracy": 0.9, "on": EVIL})
    with site.db.write() as session:
        source = Source(name="erp", incomplete=EVIL, scanned_at=NOW)
        session.add(source)
        session.flush()
        times = {"first_seen_at": NOW, "observed_at": NOW}
        session.add(File(source_id=source.id, path=b"a\xff\n<b>", state="refused", reason="<i>x</i>", **times))
        session.add(Switch(name="alert.desk.refused", value=EVIL, who="deliver", at=NOW))
        session.add(Training(state="failed", cause=EVIL, started_at=NOW, message=EVIL))
        session.query(Model).one().reason = EVIL
    text = site.sign_in("vera", "viewer").get("/").text
    assert "<script>alert" not in text
    assert "<i>x" not in text and "a=<b>" not in text
    assert "\u202e" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_a_viewer_sees_no_way_to_what_they_may_not_do(site):
    text = site.sign_in("vera", "viewer").get("/").text
    assert 'href="/label"' not in text and 'href="/setup"' not in text
    assert 'href="/label"' in site.sign_in("rita").get("/").text
