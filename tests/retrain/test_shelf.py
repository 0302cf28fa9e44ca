"""The shelf of models: whole or not at all, one in service, the way back."""

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.bundles import CLASSES, make_bundle
from tests.support.shelf import put_model, states
from ticketbot.contracts import bundle
from ticketbot.db.models import Audit, Model
from ticketbot.errors import BundleRefused, Conflict, UsageError
from ticketbot.judge import golden, trust
from ticketbot.judge.engine import Engine
from ticketbot.retrain import shelf

ROOT = Path(__file__).resolve().parents[2]
SECRET = bytes(range(32))


@pytest.fixture
def settings(settings_with):
    return settings_with()


def promote(db, settings, model_id, now=1.0):
    shelf.promote(db, settings, model_id, who="ann", reason="it is good", now=now)


def register(db, settings, model_id, **changes):
    """As an import does it, with all checks."""
    make_bundle(settings.data_dir / "made" / model_id, model_id=model_id, **changes)
    shelf.register(db, settings, settings.data_dir / "made" / model_id)


def put(db, settings, *ids, **changes):
    for model_id in ids:
        put_model(db, settings, model_id, champion=False, **changes)


def test_a_bundle_comes_onto_the_shelf_as_a_challenger(db, settings):
    register(db, settings, "m1")
    assert states(db) == {"m1": "challenger"}
    assert bundle.read(shelf.folder_of(settings, "m1")).model_id == "m1"


def test_the_same_bundle_twice_is_one_and_another_of_that_name_is_a_conflict(db, settings):
    register(db, settings, "m1")
    register(db, settings, "m1")
    with pytest.raises(Conflict):
        register(db, settings, "m1", shift=1)


@pytest.mark.parametrize("extra", ["export.pkl", ".hidden", "readme.txt"])
def test_a_file_that_the_manifest_does_not_list_is_not_brought_along(db, settings, extra):
    made = settings.data_dir / "made" / "m1"
    make_bundle(made, model_id="m1")
    (made / extra).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(BundleRefused, match="not in its manifest"):
        shelf.register(db, settings, made)
    assert states(db) == {} and not shelf.folder_of(settings, "m1").exists()
    (made / extra).unlink()
    shelf.register(db, settings, made)
    assert states(db) == {"m1": "challenger"}


def test_a_row_lost_to_a_kill_is_made_up_for(db, settings):
    register(db, settings, "m1")
    with db.write() as session:
        session.query(Model).delete()
    register(db, settings, "m1")
    assert states(db) == {"m1": "challenger"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": (*CLASSES[:3], "letters")},
        {"golden": False},
        {"rule": "nan"},
        {"graph": b"rubbish"},
    ],
    ids=str,
)
def test_a_bundle_that_must_not_be_served_leaves_nothing_behind(db, settings, wrong):
    with pytest.raises(BundleRefused):
        register(db, settings, "bad", **wrong)
    assert states(db) == {}
    assert not list((settings.data_dir / "models").iterdir())


def test_promotion_moves_the_old_one_back(db, settings):
    put(db, settings, "m1", "m2", "m3")
    for now, model_id in enumerate(["m1", "m2", "m3"]):
        promote(db, settings, model_id, now=float(now))
    assert states(db) == {"m1": "retired", "m2": "previous", "m3": "champion"}
    assert shelf.champion(db).reason == "ann: it is good"
    with db.read() as session:
        assert session.query(Audit).count() == 3


def test_promoting_the_champion_again_changes_nothing(db, settings):
    put(db, settings, "m1")
    promote(db, settings, "m1")
    promote(db, settings, "m1", now=2.0)
    assert shelf.champion(db).promoted_at == 1.0


def test_rollback_goes_back_as_far_as_there_are_bundles(db, settings):
    put(db, settings, "m1", "m2", "m3")
    for now, model_id in enumerate(["m1", "m2", "m3"]):
        promote(db, settings, model_id, now=float(now))
    back = [shelf.rollback(db, settings, who="ann", reason="it is bad", now=9.0) for _ in range(2)]
    assert back == ["m2", "m1"]
    assert states(db) == {"m1": "champion", "m2": "refused", "m3": "refused"}
    with pytest.raises(UsageError, match="no earlier model"):
        shelf.rollback(db, settings, who="ann", reason="again", now=10.0)


@pytest.mark.parametrize("model_id", ["unknown", "../etc", ""])
def test_an_unknown_model_is_not_promoted(db, settings, model_id):
    with pytest.raises(UsageError):
        promote(db, settings, model_id)


def test_a_bundle_changed_on_the_shelf_is_not_promoted(db, settings):
    put(db, settings, "m1")
    with open(shelf.folder_of(settings, "m1") / "model.onnx", "ab") as file:
        file.write(b"x")
    with pytest.raises(BundleRefused, match="sha256"):
        promote(db, settings, "m1")


def test_a_bundle_gone_from_disk_is_not_promoted(db, settings):
    put(db, settings, "m1")
    shutil.rmtree(shelf.folder_of(settings, "m1"))
    with pytest.raises(UsageError, match="no longer on disk"):
        promote(db, settings, "m1")


def test_with_trusted_keys_only_signed_bundles_come_in(db, settings_with):
    settings = settings_with({"model.trusted_keys": [trust.public_key(SECRET)]})
    with pytest.raises(BundleRefused, match="not signed"):
        register(db, settings, "m1")
    made = settings.data_dir / "made" / "m1"
    trust.sign(made, SECRET)
    assert shelf.bring(db, settings, made, promoted=True, who="ann", now=1.0) == "m1"
    assert states(db) == {"m1": "champion"}


def test_two_promotions_at_once_leave_one_champion(db, settings):
    ids = [f"m{number}" for number in range(3)]
    put(db, settings, *ids)
    errors = []

    def one(model_id):
        try:
            promote(db, settings, model_id)
        except Conflict as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(model_id,)) for model_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(states(db).values())
    assert found.count("champion") == 1
    assert len(errors) < 3


def test_old_bundles_leave_the_disk_and_never_the_served_ones(db, settings_with):
    settings = settings_with({"model.keep": 1})
    for number in range(5):
        put(db, settings, f"m{number}", created_at=float(number))
    promote(db, settings, "m0", now=1.0)
    promote(db, settings, "m1", now=2.0)
    assert sorted(shelf.tidy(db, settings)) == ["m2", "m3"]
    assert sorted(path.name for path in (settings.data_dir / "models").iterdir()) == ["m0", "m1", "m4"]
    assert shelf.tidy(db, settings) == []


PUBLISHER = """
import sys
from pathlib import Path
from tests.support.bundles import make_bundle
from tests.support.settings import make_settings
from ticketbot.db import connect
from ticketbot.retrain import shelf

settings, db = make_settings(Path(sys.argv[2])), connect(sys.argv[1])
made = settings.data_dir / "made" / sys.argv[3]
make_bundle(made, model_id=sys.argv[3])
print("made", flush=True)
shelf.bring(db, settings, made, promoted=True, who="ann", now=float(sys.argv[3][1:]))
print("served", flush=True)
"""


def test_a_kill_while_publishing_leaves_the_old_model_or_the_new_one(db, db_url, settings, tmp_path):
    put(db, settings, "m0")
    promote(db, settings, "m0", now=0.0)
    for number in range(1, 6):
        words = [sys.executable, "-c", PUBLISHER, db_url, str(tmp_path), f"m{number}"]
        child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(0.15 * number)
        child.kill()
        child.wait()
        child.stdout.close()
        (served,) = [model_id for model_id, state in states(db).items() if state == "champion"]
        golden.check(Engine(shelf.folder_of(settings, served)))
        for model_id in states(db):
            bundle.read(shelf.folder_of(settings, model_id))


# --- after a training: what the gate said, and what is done --------------------------------------------------------


def consider(db, settings, model_id, **gate):
    manifest = make_bundle(settings.data_dir / "made" / model_id, model_id=model_id, gate={"reason": "because", **gate})
    shelf.register(db, settings, settings.data_dir / "made" / model_id)
    return shelf.consider(db, settings, manifest, 5.0, manifest.gate)


@pytest.mark.parametrize(
    ("first", "promote_it", "state"),
    [("ask", True, "challenger"), ("auto", True, "champion"), ("auto", False, "challenger")],
)
def test_a_first_model_goes_live_when_a_person_or_the_setting_says_so(db, settings_with, first, promote_it, state):
    said = consider(db, settings_with({"model.first": first}), "m1", promote=promote_it, champion=None)
    assert states(db) == {"m1": state}
    assert "because" in said


@pytest.mark.parametrize(
    ("gate", "state"),
    [
        ({"promote": True, "champion": "m0"}, "champion"),
        ({"promote": False, "champion": "m0"}, "refused"),
        ({"promote": False, "champion": "m0", "offered": True}, "challenger"),
        ({"promote": True, "champion": "another"}, "challenger"),
        ({"promote": True, "champion": None}, "challenger"),
    ],
)
def test_a_later_model_goes_live_when_it_beat_the_one_in_service(db, settings, gate, state):
    put_model(db, settings, "m0")
    consider(db, settings, "m1", **gate)
    assert states(db)["m1"] == state


def test_a_manifest_is_kept_in_the_row(db, settings):
    put(db, settings, "m1")
    with db.read() as session:
        kept = bundle.parse(json.loads(json.dumps(session.get(Model, "m1").manifest)))
    assert kept == bundle.read(shelf.folder_of(settings, "m1"))
