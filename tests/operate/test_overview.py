import re

import pytest
from sqlalchemy import event, insert

from tests.support.gallery import NOW, champion, jpeg, predicted, staged
from tests.support.site import Site
from ticketbot.db import connect
from ticketbot.db.models import (
    Answer,
    Base,
    EndpointState,
    File,
    Label,
    LabelEvent,
    Model,
    Picture,
    Prediction,
    Source,
    Switch,
    Training,
)
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
        found = overview.look(session, site.settings, NOW, overview.count(site.db, site.settings, lambda: NOW))
    assert found["today"] == {"reports": 2, "errors": 1}
    assert dict(found["all"]) == {"reports": 3, "errors": 1}
    assert {queue.name: queue.count for queue in found["queues"] if queue.count} == {
        "to deliver": 1,
        "held": 1,
        "dead": 1,
    }
    assert found["labels"]["new"] == 1
    assert [count for _at, count in found["counted"].days][-6:] == [1, 0, 0, 0, 0, 3]
    assert found["endpoints"][0]["today"] == 1
    text = site.sign_in("vera", "viewer").get("/").text
    assert "91.0 %" in text and "87.0 % to 94.0 %" in text
    assert "could not be delivered" in text


def said_blindly(db, sha256, category, *, at=NOW, blind=True):
    with db.write() as session:
        event = LabelEvent(key=f"key-{sha256}", sha256=sha256, new=category, who="rita", at=at, how="page")
        session.add(event)
        session.flush()
        session.add(Label(sha256=sha256, category=category, version=event.id, who="rita", at=at, blind=blind))


def test_the_weeks_audit_counts_blind_words_of_this_week_only(site):
    model = champion(site.db)
    for number in range(12):
        picture = staged(site.db, site.settings, jpeg(f"a{number}"))
        predicted(site.db, picture, model, "reports", unsure=number == 11)
        said_blindly(site.db, picture, "reports" if number > 0 else "errors")
    for number, (at, blind) in enumerate([(NOW - 8 * 86400, True), (NOW, False)]):
        picture = staged(site.db, site.settings, jpeg(f"b{number}"))
        predicted(site.db, picture, model, "errors")
        said_blindly(site.db, picture, "reports", at=at, blind=blind)
    with site.db.read() as session:
        found = overview.audited(session, model, NOW)
        assert overview.audited(session, "another", NOW) is None
    assert (found.total, found.answered, found.right) == (12, 11, 10)
    assert (round(found.low, 3), round(found.high, 3)) == (0.587, 0.998)  # Clopper-Pearson, 10 of 11
    site.clock.now = NOW
    text = site.sign_in("vera", "viewer").get("/").text
    assert "90.9 %" in text and "It was unsure about 1 more." in text


def test_the_disk_is_measured_where_the_data_lies(site, monkeypatch):
    found = overview.disk(site.settings.data_dir.parent)
    assert 0 < found["free"] < found["total"]
    assert overview.disk(site.settings.data_dir / "not" / "there") is None
    assert "nearly full" not in site.sign_in("vera", "viewer").get("/").text or found["short"]
    monkeypatch.setattr(overview, "SHORT_OF_DISK", 1.1)
    assert "nearly full" in site.sign_in("vera", "viewer").get("/").text


def test_no_figure_gets_slower_with_the_total(tmp_path, settings_with):
    """Counted in steps of SQLite's machine: what the page reads besides the tally."""
    db = connect(f"sqlite:///{tmp_path / 'many.db'}")
    Base.metadata.create_all(db.engine)
    model = champion(db)
    counts = []
    for n in (200, 2000):
        with db.write() as session:
            for table in (Answer, Label, LabelEvent, Prediction, Picture):
                session.query(table).delete()
            own = {"size_bytes": 1, "staged_at": NOW, "state": "staged", "wanted": True, "model_id": model}
            session.execute(insert(Picture), [{"sha256": f"{i:064}", **own} for i in range(n)])
            said = {"model_id": model, "state": "done", "category": "reports", "created_at": NOW}
            session.execute(insert(Prediction), [{"sha256": f"{i:064}", **said} for i in range(n)])
            word = {"new": "reports", "who": "rita", "at": NOW - 9e6, "how": "page"}
            session.execute(
                insert(LabelEvent), [{"id": i + 1, "key": str(i), "sha256": f"{i:064}", **word} for i in range(n)]
            )
            label = {"category": "reports", "who": "rita", "at": NOW, "blind": True}
            session.execute(insert(Label), [{"sha256": f"{i:064}", "version": i + 1, **label} for i in range(n)])
            about = {"endpoint": "desk", "seq": 1, "type": "t", "body": b"", "due_at": NOW, "created_at": NOW - 9e6}
            states = ("delivered", "dead", "held", "pending")
            session.execute(
                insert(Answer),
                [
                    {"id": f"m{i:06}", "ticket": str(i), **about, "delivered_at": NOW, "state": states[i % 4]}
                    for i in range(n)
                ],
            )
        settings = settings_with({"endpoints.desk.url": "https://desk.example/in"})
        counted = overview.count(db, settings, lambda: NOW)
        with db.read() as session:
            raw = session.connection().connection.driver_connection
            taken = [0]
            raw.set_progress_handler(lambda taken=taken: taken.__setitem__(0, taken[0] + 1) or 0, 10)
            overview.look(session, settings, NOW, counted)
            raw.set_progress_handler(None, 0)
        counts.append(taken[0] * 10)
    db.close()
    assert counts[1] < 1.3 * counts[0] + 100


def test_the_page_reads_no_table_that_grows(db, settings_with):
    """On both databases: what it shows of these tables is counted beside it."""
    settings = settings_with({"endpoints.desk.url": "https://desk.example/in", "sources.erp.root": "/srv/erp"})
    counted, said = overview.count(db, settings, lambda: NOW), []
    with db.read() as session:
        event.listen(session.get_bind(), "before_cursor_execute", lambda _c, _k, query, *_: said.append(query))
        overview.look(session, settings, NOW, counted)
    tables = {word for query in said for word in re.findall(r"(?:FROM|JOIN) (\w+)", query)}
    assert {"model", "training", "endpoint_state"} <= tables
    assert not tables & {"picture", "prediction", "file", "ticket", "file_ticket", "answer", "attempt", "said"}


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
