"""Does Prometheus read what we show, are the figures right, and do rules and dashboard name only what there is?"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.bundles import CLASSES, picture
from tests.support.gallery import champion, jpeg, predicted, staged
from tests.support.needs import missing
from tests.support.outbox import put_answers
from tests.support.receiver import Receiver
from tests.support.service import Service, eventually
from tests.support.shelf import jpeg as colour_jpeg
from tests.support.shelf import label, put_model
from tests.support.site import Site
from tests.support.world import World
from ticketbot import measures
from ticketbot.db import connect
from ticketbot.db.models import EndpointState, Lease, Source, Switch
from ticketbot.deliver.sign import new_secret
from ticketbot.operate import backup, metrics, overview

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
NAME = re.compile(r"ticketbot_[a-z0-9_]+")


def parsed(text):
    """{(sample name, labels as a sorted tuple): value}, by Prometheus's own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found, name, **labels):
    return found[name, tuple(sorted(labels.items()))]


@pytest.fixture
def site(db, settings_with):
    rules = {"endpoints.desk.url": "https://desk.example/in", "general.categories": list(CLASSES)}
    return Site(db, settings_with(rules), (overview.blueprint, metrics.blueprint))


def scrape(site):
    answer = site.app.test_client().get("/metrics", headers={"Authorization": f"Bearer {site.token('read')}"})
    assert answer.status_code == 200 and answer.content_type == metrics.CONTENT_TYPE
    return parsed(answer.text)


def test_what_waits_is_counted_with_its_age(site, db):
    put_answers(db, [("desk", "T-1", 1), ("desk", "T-1", 2)], now=site.clock.now - 50)
    put_answers(db, [("desk", "T-2", 1)], state="dead")
    found = scrape(site)
    assert of(found, "ticketbot_queue_items", queue="to_deliver") == 2
    assert of(found, "ticketbot_queue_oldest_age_seconds", queue="to_deliver") == 50
    assert of(found, "ticketbot_queue_oldest_age_seconds", queue="settling") == 0
    assert of(found, "ticketbot_answers", endpoint="desk", state="dead") == 1
    assert of(found, "ticketbot_stuck") == 1


def test_an_endpoint_that_is_down_and_what_it_says(site, db):
    with db.write() as session:
        state = EndpointState(name="desk", opened_at=1.0, clock_skew_s=-70.0, recent=[], secrets=[])
        session.add_all([state, Switch(name="alert.desk.clock_skew", value="x", who="deliver", at=1.0)])
        session.add(Source(name="erp", scanned_at=5.0, incomplete="Stale file handle"))
        session.add(Lease(name="leader", holder="h", until=site.clock.now + 5, token=1))
    found = scrape(site)
    assert of(found, "ticketbot_endpoint_up", endpoint="desk") == 0
    assert of(found, "ticketbot_endpoint_clock_skew_seconds", endpoint="desk") == -70
    assert of(found, "ticketbot_alert", endpoint="desk", code="clock_skew") == 1
    assert of(found, "ticketbot_source_incomplete", source="erp") == 1
    assert of(found, "ticketbot_leader") == 1
    site.clock.now += 10
    assert of(scrape(site), "ticketbot_leader") == 0


def test_the_audit_sample_counts_blind_labels_against_the_champion(site, db):
    model = champion(db, arch="colour", metrics={"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95})
    truth = [("right", CLASSES[0], False), ("wrong", CLASSES[1], False), ("unsure", CLASSES[0], True)]
    for name, said, unsure in truth:
        sha256 = staged(db, site.settings, jpeg(name))
        predicted(db, sha256, model, said, unsure=unsure)
        label(db, sha256, CLASSES[0], blind=True)
    seen = staged(db, site.settings, jpeg("not blind"))
    predicted(db, seen, model, CLASSES[1])
    label(db, seen, CLASSES[0])
    found = scrape(site)
    counts = [of(found, f"ticketbot_audit_{name}") for name in ("pictures", "answered", "correct")]
    assert counts == [3, 2, 1]
    assert of(found, "ticketbot_model_info", model=model, arch="colour") == 1
    assert of(found, "ticketbot_model_accuracy", bound="low") == 0.8
    assert of(found, "ticketbot_labels", category=CLASSES[0]) == 4


def test_the_last_backup_is_a_figure(site, db):
    name = "ticketbot_backup_last_timestamp_seconds"
    assert name not in [sample for sample, _ in scrape(site)]
    backup.note(db, Path("/backup/x"), "ann", 1234.0)
    assert of(scrape(site), name) == 1234


def test_nobody_without_a_token_sees_it(site):
    assert site.app.test_client().get("/metrics").status_code == 401


def test_a_histogram_is_cumulative_and_names_are_escaped(tmp_path, monkeypatch):
    monkeypatch.setattr(measures, "_values", {})
    for seconds in (0.001, 0.03, 0.03, 99.0):
        measures.observe("ticketbot_predict_duration_seconds", seconds, 'a"\\\n')
    found = parsed(metrics.rendered([], measures._values))
    buckets = {dict(labels)["le"]: value for (name, labels), value in found.items() if name.endswith("_bucket")}
    assert (buckets["0.005"], buckets["0.025"], buckets["0.05"], buckets["+Inf"]) == (1, 1, 3, 4)
    assert of(found, "ticketbot_predict_duration_seconds_count", way='a"\\\n') == 4
    assert of(found, "ticketbot_predict_duration_seconds_sum", way='a"\\\n') == pytest.approx(99.061)


def test_counts_of_several_processes_add_up_and_outlive_a_restart(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ticketbot import measures\n"
        "measures.keep(Path(sys.argv[1]), 'worker')\n"
        "measures.count('ticketbot_delivery_attempts_total', 'desk', 'delivered', n=3)\n"
        "measures.flush(); print('up', flush=True); sys.stdin.read()\n"
    )

    def start():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], **pipes)
        assert process.stdout.readline() == "up\n"
        return process

    def total():
        return measures.read(tmp_path)["ticketbot_delivery_attempts_total", ("desk", "delivered")]

    both = [start(), start()]
    assert total() == [6]
    both[0].kill()
    both[0].communicate()
    third = start()
    assert total() == [9]
    for process in (both[1], third):
        process.communicate("")


def test_a_torn_or_foreign_file_of_counts_is_nothing(tmp_path):
    folder = tmp_path / "measures"
    folder.mkdir()
    (folder / "web-1.json").write_text("{torn")
    (folder / "web-2.json").write_text(
        '[["ticketbot_unknown_total", [], [1]], ["ticketbot_http_requests_total", ["GET"], [1, 2]]]'
    )
    assert measures.read(tmp_path) == {}


def test_every_name_follows_the_conventions():
    for name in metrics.METRICS:
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_ms")), name
    assert all(name.endswith("_total") for name in measures.COUNTERS)
    assert all(name.endswith("_seconds") for name in measures.HISTOGRAMS)
    assert all(NAME.fullmatch(name) for name in [*metrics.METRICS, *measures.COUNTERS, *measures.HISTOGRAMS])


def known():
    series = {f"{name}_{end}" for name in measures.HISTOGRAMS for end in ("bucket", "sum", "count")}
    return {*metrics.METRICS, *measures.COUNTERS, *series}


def test_the_alert_rules_name_only_figures_that_there_are():
    rules = yaml.safe_load((DEPLOY / "prometheus" / "ticketbot.rules.yml").read_text())["groups"][0]["rules"]
    assert len(rules) > 10
    for rule in rules:
        assert set(NAME.findall(rule["expr"])) <= known(), rule["alert"]
        assert rule["annotations"]["summary"] and rule["annotations"]["do"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_promtool_takes_the_rules():
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "check", "rules", str(DEPLOY / "prometheus" / "ticketbot.rules.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_dashboard_names_only_figures_that_there_are():
    board = json.loads((DEPLOY / "grafana" / "ticketbot.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) >= 15
    assert {name for one in expressions for name in NAME.findall(one)} <= known()
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)


def test_a_picture_through_the_running_service_is_counted_and_logged_by_its_ids(tmp_path):
    """Scan, model, delivery in the worker; the request in the web process: all of it in one /metrics."""
    with Receiver(secrets=[secret := new_secret()]) as desk:
        world = World(tmp_path, desk.url, secret)
        world.once()
        db = connect(world.settings.database_url)
        put_model(db, world.settings)
        db.close()
        token = world.run("tokens", "create", "prometheus", "--scope", "read").stdout.strip()
        fast = {f"TICKETBOT_SCHEDULE__{name}_S": "0.3" for name in ("POLL", "CLASSIFY", "DELIVER")}
        with Service(world, **fast) as service:
            service.wait_ready()
            world.add("7", "a.jpg", colour_jpeg(picture(2, px=96)), "T-1")
            eventually(lambda: "ticket.answered" in [one.json["type"] for one in desk.requests])
            headers = {"Authorization": f"Bearer {token}", "X-Request-Id": "scrape-0001"}

            def delivered():
                found = parsed(service.get("/metrics", headers=headers).text)
                key = ("ticketbot_delivery_attempts_total", (("endpoint", "desk"), ("outcome", "delivered")))
                return found if found.get(key, 0) >= 2 else None

            found = eventually(delivered)
            assert of(found, "ticketbot_pictures_classified_total", category=CLASSES[2]) == 1
            assert of(found, "ticketbot_predict_duration_seconds_count", way="bulk") == 1
            assert of(found, "ticketbot_scan_duration_seconds_count", source="erp") >= 1
            assert of(found, "ticketbot_leader") == 1
            service.get("/classify", headers={"X-Request-Id": "wrong-method-1"})
            assert service.stop() == 0
        events = service.events()
    sha256 = desk.requests[0].json["data"]["pictures"][0]["sha256"]
    story = [event["event"] for event in events if event.get("picture") == sha256]
    assert "classified" in story and "answer written down" in story
    answers = {event["answer"] for event in events if event.get("picture") == sha256 and "answer" in event}
    sent = [event for event in events if event.get("answer") in answers and "attempt" in event["event"]]
    assert {event["ticket"] for event in sent} == {"T-1"}
    assert any(event.get("request_id") == "wrong-method-1" for event in events)
