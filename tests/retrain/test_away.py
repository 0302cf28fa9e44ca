"""A training on another machine, with a stand-in for its trainer: what goes out, what comes back, what is believed."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import shelf as make_rows
from tests.support.world import ROOT
from ticketbot.contracts import order, snapshot
from ticketbot.db.models import Training
from ticketbot.errors import SettingsError, UsageError
from ticketbot.retrain import away, run, shelf

SCRIPT = ROOT / "deploy" / "train-elsewhere.sh"
FAKE = "tests.support.fake_trainer"


@pytest.fixture
def settings(settings_with):
    return lambda mode="ok", **more: settings_with(
        {
            "retrain.where": "command",
            "retrain.away": ["{python}", "-m", FAKE, mode, "order", "{order}", "--out", "{bundle}"],
            "retrain.command": ["/nowhere/trainer"],
            "retrain.min_per_category": 2,
            "retrain.min_new_labels": 8,
            "retrain.memory_mb": 2048,
            "retrain.timeout_s": 60,
            "model.first": "auto",
            **more,
        }
    )


def labelled(db, settings, n=8):
    for number, name in enumerate(settings.categories):
        for seed in range(n):
            make_rows.label(db, make_rows.stage_colour(db, settings, number, seed=seed, user="maria"), name)


def train(db, settings, decoders, **options):
    return run.retrain(db, settings, decoders, cause="labels", now=lambda: 1000.0, **options)


def reason(db, model_id):
    return next(model.reason for model in shelf.listed(db) if model.id == model_id)


def test_the_bundle_comes_back_is_measured_here_and_goes_live(db, settings, decoders):
    made = settings()
    labelled(db, made)
    said = []
    outcome = train(db, made, decoders, progress=said.append)
    assert outcome.state == "succeeded"
    assert shelf.champion(db).id == outcome.model_id
    assert "measured here: first model, better than guessing" in reason(db, outcome.model_id)
    assert {"fit", "measuring what came back"} <= {one["stage"] for one in said}


def test_nothing_that_went_out_stays(db, settings, decoders):
    made = settings("crash")
    labelled(db, made)
    assert train(db, made, decoders).state == "failed"
    assert list((made.data_dir / "trainings").glob("*/order")) == []


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("wrong", "it claims 90.0% right, and is 0.0% right here"),
        ("other-pictures", "it was not trained on (exactly) the pictures that were sent"),
        ("too-sure", "its promise for reports is not proven by the pictures held out here"),
    ],
)
def test_what_a_bundle_says_of_itself_is_not_believed(db, settings, decoders, mode, said):
    made = settings(mode)
    labelled(db, made)
    outcome = train(db, made, decoders)
    assert shelf.champion(db) is None
    assert said in outcome.message
    assert make_rows.states(db) == {outcome.model_id: "challenger"}


def test_a_worse_one_does_not_replace_the_champion_whatever_it_says(db, settings, decoders):
    made = settings("wrong")
    labelled(db, made)
    make_rows.put_model(db, made, "good")
    outcome = train(db, made, decoders)
    assert shelf.champion(db).id == "good"
    assert make_rows.states(db)[outcome.model_id] == "challenger"


def test_only_files_come_back(db, settings, decoders):
    made = settings("link")
    labelled(db, made)
    outcome = train(db, made, decoders)
    assert (outcome.state, outcome.message) == ("failed", "model.onnx is missing from the bundle")


def test_a_signature_is_asked_for_as_of_any_bundle(db, settings, decoders):
    made = settings(**{"model.trusted_keys": ["AAAA"]})
    labelled(db, made)
    assert "it is not signed" in train(db, made, decoders).message
    assert shelf.champion(db) is None


def test_what_goes_out_is_enough_to_train_on_and_names_nobody(db, settings, decoders, tmp_path):
    made = settings(**{"retrain.sign_key": str(tmp_path / "own.key"), "retrain.weights": str(tmp_path / "w.pth")})
    (tmp_path / "w.pth").write_bytes(b"weights")
    labelled(db, made)
    from ticketbot.retrain import snapshot as making

    folder = run.folder_of(made, 1)
    sent = making.make(db, made, decoders, folder / "snapshot", 5.0)
    out = away.pack(made, folder, None)
    shutil.rmtree(made.data_dir / "staging")
    again = snapshot.read(out / "snapshot")
    assert again.hash == sent.hash
    assert all((Path(again.root) / item.file).is_file() for item in again.items)
    assert order.read(out).weights == "weights.pth" and (out / "weights.pth").read_bytes() == b"weights"
    text = " ".join(path.read_text() for path in out.rglob("*.json"))
    assert "maria" not in text and "own.key" not in text and str(tmp_path) not in text


def test_a_broken_order_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        order.read(tmp_path)
    value = {"arch": "auto", "weights": "../x.pth", "min_per_class": 1, "promise": 0.9, "delta": 0.1}
    (tmp_path / "order.json").write_text(json.dumps({**value, "format_version": 1}))
    with pytest.raises(UsageError, match="weights must be"):
        order.read(tmp_path)
    (tmp_path / "order.json").write_text(json.dumps({**value, "format_version": 2}))
    with pytest.raises(UsageError, match="this program reads 1"):
        order.read(tmp_path)


def test_where_without_a_way_is_refused_at_the_start(settings_with, db, settings, decoders):
    with pytest.raises(SettingsError, match=r"retrain\.away"):
        settings_with({"retrain.where": "command"})
    made = settings_with({"retrain.min_per_category": 2})
    labelled(db, made)
    by_option = made.model_copy(update={"retrain": made.retrain.model_copy(update={"where": "command"})})
    outcome = train(db, by_option, decoders, asked=True)
    assert outcome.state == "failed" and "retrain.away is empty" in outcome.message


def test_copies_of_a_service_that_was_killed_are_taken_away(db, settings, decoders):
    made = settings()
    labelled(db, made)
    left = run.folder_of(made, 7) / "order" / "snapshot"
    left.mkdir(parents=True)
    with db.write() as session:
        session.add(Training(state="running", cause="labels", started_at=1.0, progress={"beat_at": 2.0}))
    train(db, made, decoders)
    assert not left.exists()


def order_of(settings, tmp_path):
    """A folder that could go out, of the first training."""
    out = tmp_path / "sent"
    snapshot.pack(run.folder_of(settings, 1) / "snapshot", out / "snapshot")
    return out


def test_the_script_takes_it_there_and_back_and_leaves_nothing(db, settings, decoders, tmp_path, monkeypatch):
    """ssh is a shell in another folder here; tar, the script and its ways are the real ones."""
    there, programs = tmp_path / "gpu", tmp_path / "bin"
    there.mkdir()
    programs.mkdir()
    shell = f"""\
        #!/bin/sh
        [ "$1" = gpu ] || exit 9
        cd {there} && TMPDIR={there} exec sh -c "$2"
        """
    (programs / "ssh").write_text(textwrap.dedent(shell))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TRAINER", f"{sys.executable} -m {FAKE} ok")
    made = settings(**{"retrain.away": [str(SCRIPT), "gpu", "{order}", "{bundle}"]})
    labelled(db, made)
    outcome = train(db, made, decoders)
    assert outcome.state == "succeeded", outcome.message
    assert shelf.champion(db).id == outcome.model_id
    assert list(there.iterdir()) == []
    # torchrun ends with 1 when the gate refuses.
    monkeypatch.setenv("TRAINER", f"{sys.executable} -m {FAKE} refused-by-torchrun")
    by_torchrun = subprocess.run([SCRIPT, "gpu", str(order_of(made, tmp_path)), str(tmp_path / "a")], check=False)
    assert by_torchrun.returncode == 3 and (tmp_path / "a" / "manifest.json").is_file()
    monkeypatch.setenv("TRAINER", f"{sys.executable} -m {FAKE} crash")
    done = subprocess.run([SCRIPT, "gpu", str(tmp_path), str(tmp_path / "b")], capture_output=True, check=False)
    assert done.returncode == 1 and not (tmp_path / "b").exists() and list(there.iterdir()) == []
