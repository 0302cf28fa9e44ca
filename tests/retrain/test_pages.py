"""The Models page: who sees, who acts, what a bundle from anywhere may show."""

import json

import pytest

from tests.support import shelf as make_rows
from tests.support import showmodels, showsuspects
from tests.support.shelf import put_model, states
from tests.support.site import Site
from ticketbot.db.models import Audit, Label, LabelEvent, Model, Switch, Training
from ticketbot.retrain import launch, pages, run, shelf, shown
from ticketbot.review import labels


@pytest.fixture
def site(db, settings_with):
    made = Site(db, settings_with({"retrain.min_per_category": 1}), (pages.blueprint,))
    made.clock.now = 1_000_000.0
    return made


def label_each(site, n=1):
    for number, name in enumerate(site.settings.categories):
        for seed in range(n):
            make_rows.label(site.db, make_rows.stage_colour(site.db, site.settings, number, seed=seed), name)


def test_without_a_model_the_page_says_what_to_do(site):
    shown_page = site.sign_in("vera", "viewer").get("/models").text
    assert "No model yet" in shown_page and "1 labels of each category" in shown_page


def test_figures_matrix_promises_and_curve_are_on_the_page(site):
    showmodels.put(site.db, site.settings, "m-1", champion=True, now=999_000.0)
    found = site.db.read().__enter__().get(Model, "m-1").manifest["metrics"]
    text = site.sign_in("vera", "viewer").get("/models").text
    assert f"{found['accuracy']:.1%}".replace("%", " %") in text
    assert f"{found['accuracy_low']:.1%}".replace("%", " %") in text
    assert f'right h9">{found["confusion"]["screens"]["screens"]}<' in text.replace("h8", "h9")
    assert text.count("<circle cx=") >= len(found["reliability"])
    assert "more held-out pictures that it names so" in text and "none; " in text


def test_a_viewer_sees_and_an_administrator_acts(site):
    put_model(site.db, site.settings, "m-1")
    put_model(site.db, site.settings, "m-2", champion=False)
    viewer, admin = site.sign_in("vera", "viewer"), site.sign_in("ada", "admin")
    for path in ("/models/train", "/models/m-2/promote", "/models/rollback"):
        assert viewer.post(path, {"reason": "why not"}).status_code == 403
    assert "Promote this model" not in viewer.get("/models?model=m-2").text
    assert "Promote this model" in admin.get("/models?model=m-2").text
    assert states(site.db) == {"m-1": "champion", "m-2": "challenger"}


def test_promote_and_roll_back_with_a_reason(site):
    put_model(site.db, site.settings, "m-1", now=1.0)
    put_model(site.db, site.settings, "m-2", champion=False)
    admin = site.sign_in("ada", "admin")
    assert admin.post("/models/m-2/promote", {"reason": " "}).status_code == 400
    assert admin.post("/models/m-2/promote", {"reason": "more labels"}).status_code == 302
    assert states(site.db) == {"m-1": "previous", "m-2": "champion"}
    assert "Roll back to m-1" in admin.get("/models").text
    assert admin.post("/models/rollback", {"reason": "it is worse"}).status_code == 302
    assert states(site.db) == {"m-1": "champion", "m-2": "refused"}
    with site.db.read() as session:
        assert {"model.promote", "model.rollback"} <= {row.what for row in session.query(Audit)}
    answer = admin.post("/models/rollback", {"reason": "once more"})
    assert (answer.status_code, "no earlier model" in answer.text) == (409, True)


def test_a_model_whose_files_are_gone_is_not_promoted(site):
    put_model(site.db, site.settings, "m-1", champion=False)
    folder = shelf.folder_of(site.settings, "m-1")
    folder.rename(folder.with_name("elsewhere"))
    answer = site.sign_in("ada", "admin").post("/models/m-1/promote", {"reason": "try"})
    assert answer.status_code == 409 and "no longer on disk" in answer.text
    assert site.sign_in("ada", "admin").post("/models/nothing/promote", {"reason": "try"}).status_code == 409


def test_retrain_now_is_a_wish_and_says_why_not(site):
    admin = site.sign_in("ada", "admin")
    refused = admin.post("/models/train")
    assert refused.status_code == 409 and "every category needs 1 labels" in refused.text
    label_each(site)
    assert admin.post("/models/train").status_code == 302
    with site.db.read() as session:
        assert session.get(Switch, run.WISH).who == "ada"
    assert admin.get("/models/state").json == {"asked": True, "training": None}
    assert " hidden>" not in admin.get("/models").text.split('id="live"')[1].split("</section>")[0]


def test_a_running_training_tells_stage_progress_and_log(site):
    label_each(site)
    with site.db.write() as session:
        progress = {"stage": "reading pictures", "done": 3, "total": 12}
        session.add(Training(state="running", cause="labels", started_at=999_990.0, progress=progress))
    folder = run.folder_of(site.settings, 1)
    folder.mkdir(parents=True)
    (folder / launch.LOG).write_text("first line\n<script>alert(1)</script>\n")
    viewer = site.sign_in("vera", "viewer")
    told = viewer.get("/models/state").json["training"]
    log = told.pop("log")
    assert told == {
        "id": 1, "state": "running", "stage": "reading pictures", "done": 3.0, "total": 12.0, "seconds": 10.0,
    }  # fmt: skip
    assert log.startswith("first line")
    put_model(site.db, site.settings, "m-1")
    text = viewer.get("/models").text
    assert "first line" in text and "<script>alert" not in text


def test_what_was_said_since_the_model(site):
    put_model(site.db, site.settings, "m-1")
    label_each(site)
    with site.db.write() as session:
        until = session.query(LabelEvent).count()
        row = Training(state="succeeded", cause="labels", started_at=1.0, labels_until=until, model_id="m-1")
        session.add(row)
    with site.db.read() as session:
        hashes = [event.sha256 for event in session.query(LabelEvent).order_by(LabelEvent.id)]
    more = make_rows.stage_colour(site.db, site.settings, 0, seed=77)
    words = [(hashes[0], "errors"), (hashes[1], None), (more, "reports"), (hashes[2], "skip"), (hashes[3], "keep")]
    for number, (sha256, word) in enumerate(words):
        with site.db.write() as session:
            labels.record(session, sha256=sha256, new=word, who="rita", at=2.0, how="page", key=f"word-{number}")
    assert pages.changes(site.db, until) == {"new": 1, "taken": 1, "moved": [(("reports", "errors"), 1)]}
    text = site.sign_in("vera", "viewer").get("/models").text
    assert "1 new labels, 1 taken away" in text and "reports → errors: 1" in text


def test_suspects_found_are_counted(site):
    put_model(site.db, site.settings, "m-1")
    viewer = site.sign_in("vera", "viewer")
    assert "not looked at for wrong ones yet" in viewer.get("/models").text
    label_each(site, 2)
    with site.db.read() as session:
        first, second, third, *_ = [row.sha256 for row in session.query(Label).order_by(Label.sha256)]
        names = {row.sha256: row.category for row in session.query(Label)}
    other = {"reports": "errors"}
    rows = [(first, other.get(names[first], "reports"), 0.1, 0, False), (second, names[second], 0.3, 1, False)]
    showsuspects.cleaning(site, [*rows, (third, names[third], 0.9, 2, False)])
    text = viewer.get("/models").text
    assert "Suspects found: 2" in text and "of 1,620 labels" in text and "0 have another label now" in text
    showsuspects.labelled(site, first, other.get(names[first], "reports"))
    assert "1 have another label now" in viewer.get("/models").text


def test_the_report_can_be_read_and_do_nothing(site):
    put_model(site.db, site.settings, "m-1")
    viewer = site.sign_in("vera", "viewer")
    answer = viewer.get("/models/m-1/report")
    assert answer.text == "<p>a test model</p>"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    for wrong in ("m-2", "..", "%2e%2e", "a%2fb"):
        assert viewer.get(f"/models/{wrong}/report").status_code == 404
    assert site.app.test_client().get("/models/m-1/report").status_code == 302


STRANGE = [None, "x", [], {}, -1, 1e400, float("nan"), True, {"a": None}, [[1]], "<b>", 10**400]


@pytest.mark.parametrize("strange", STRANGE, ids=repr)
def test_a_manifest_from_anywhere_never_breaks_the_page(strange):
    keys = ("metrics", "thresholds", "gate", "snapshot", "promise", "classes", "temperature", "took_s", "arch")
    inner = ("accuracy", "confusion", "per_class", "reliability", "notes", "compared", "errors")
    manifests = [dict.fromkeys(keys, strange), {key: dict.fromkeys(inner, strange) for key in keys}]
    manifests.append(
        {"classes": ["errors"], "metrics": {"confusion": {"errors": strange}, "per_class": {"errors": strange}}}
    )
    manifests.append({"metrics": {"reliability": [strange, {"confidence": strange, "accuracy": 1, "n": 2}]}})
    for manifest in manifests:
        row = Model(id="m", state="challenger", created_at=1.0, reason="", manifest=manifest)
        json.dumps([str(shown.details(row))])


def test_an_odd_manifest_is_shown_with_what_it_has(site):
    odd = {"classes": 3, "metrics": {"accuracy": "high", "confusion": [], "reliability": {}}, "gate": "<b>", "arch": []}
    with site.db.write() as session:
        session.add(Model(id="odd", state="challenger", created_at=1.0, reason="<i>brought</i>", manifest=odd))
    text = site.sign_in("vera", "viewer").get("/models").text
    assert "has no confusion matrix" in text and "<i>" not in text


def test_both_figures_of_one_holdout_have_intervals():
    mine, theirs = shown.compared({"compared": {"n": 100, "right": 90, "champion_right": 80}})
    assert (mine.value, theirs.value) == (0.9, 0.8)
    assert mine.low < 0.9 < mine.high and theirs.low < 0.8 < theirs.high
    assert shown.compared({"compared": {"n": 10, "right": 11, "champion_right": 1}}) is None


def test_reasons_causes_and_stages_are_said_in_the_page_s_language(site):
    admin = site.sign_in("ada", "admin")
    spanish = {"headers": {"Accept-Language": "es"}}
    page = admin.get("/models", **spanish).text
    assert "cada categoría necesita 1 etiquetas; faltan en: reports 0, errors 0" in page
    put_model(site.db, site.settings, "m-1")
    with site.db.write() as session:
        session.add(Training(state="failed", cause="labels", started_at=1.0, finished_at=2.0, message=""))
        session.add(Training(state="failed", cause="made elsewhere", started_at=3.0, finished_at=4.0, message=""))
        progress = {"stage": "ranking", "beat_at": site.clock.now}
        session.add(Training(state="running", cause="asked for by ada", started_at=5.0, progress=progress))
    page = admin.get("/models", **spanish).text
    assert "hay un entrenamiento o una limpieza en curso" in page
    assert ">etiquetas nuevas<" in page and ">pedido por ada<" in page and ">made elsewhere<" in page
    assert "ordenando las etiquetas" in page
    assert "a training or a cleaning is running" in admin.get("/models").text
