import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.support.bundles import make_bundle, picture
from ticketbot.judge.calibration import Bin
from trainer.cli import cli
from trainer.confusion import Answer, by_look_alikes, by_user, pairs

pytest.importorskip("matplotlib")
CLASSES = ("reports", "errors", "screens", "tickets")


def answer(truth, said, alike=0, user=""):
    return Answer(Path("a.jpg"), truth, said, 0.9, alike, user)


def test_the_most_confused_pair_comes_first():
    found = pairs([answer("a", "b"), answer("b", "a"), answer("a", "b"), answer("a", "a")])
    assert found == [{"is": "a", "said": "b", "n": 2}, {"is": "b", "said": "a", "n": 1}]


def test_fifty_copies_count_as_one_picture():
    found = by_look_alikes([*[answer("a", "a", 1)] * 50, answer("a", "b", 2)])
    assert (found["groups"], found["accuracy"], found["all_right"]) == (2, 0.5, 1)
    assert 0 < found["low"] < 0.5 < found["high"] < 1


def test_users_come_with_intervals_the_worst_first():
    found = by_user([answer("a", "a", user="ann"), answer("a", "b", user="bob"), answer("a", "b")])
    assert list(found) == ["bob", "ann"] and found["ann"]["right"] == 1 and found["ann"]["low"] < 0.1


@pytest.fixture
def folder(tmp_path):
    """Six pictures a class, of three users; two reports lie among the errors, and one file is none."""
    for number, name in enumerate(CLASSES):
        (tmp_path / "data" / name).mkdir(parents=True)
        for seed in range(6):
            path = tmp_path / "data" / name / f"{'abc'[seed % 3]}_{seed}.png"
            Image.fromarray(picture(number, seed=seed, strength=0.7)).save(path)
    for seed in (8, 9):
        Image.fromarray(picture(0, seed=seed, strength=0.7)).save(tmp_path / "data" / "errors" / f"a_{seed}.png")
    (tmp_path / "data" / "screens" / "b_9.jpg").write_bytes(b"none")
    return tmp_path / "data"


def test_the_command_writes_figures_and_pictures(folder, tmp_path):
    make_bundle(tmp_path / "bundle", temperature=2.0)
    out = tmp_path / "out"
    arguments = ["--bundle", str(tmp_path / "bundle"), "--data", str(folder), "--out", str(out)]
    done = CliRunner().invoke(
        cli, ["confusion", *arguments, "--cache", str(tmp_path / "cache")], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    found = json.loads((out / "confusion.json").read_text())
    assert (found["n"], found["n_unreadable"], found["confusion"]["errors"]["reports"]) == (27, 1, 2)
    assert found["pairs"] == [{"is": "errors", "said": "reports", "n": 2}]
    assert found["per_class"]["errors"]["recall"] == 0.75 and found["per_class"]["errors"]["recall_low"] < 0.5
    assert next(iter(found["by_user"])) == "a" and found["by_user"]["a"]["n"] == 10
    assert found["reliability"]["before"] != found["reliability"]["after"]
    assert "2 errors taken for reports" in done.stdout and "of a: 8 of 10 right" in done.stdout
    for name in ("confusion.png", "pairs.png", "reliability.png"):
        with Image.open(out / name) as image:
            assert len(image.convert("RGB").getcolors(2**22)) > 3 and image.width > 300


def test_before_temperature_is_what_the_network_said(folder, tmp_path):
    from trainer.confusion import confusion
    from trainer.data.cache import Cache
    from trainer.progress import Progress

    for name, temperature in (("warm", 3.0), ("plain", 1.0)):
        make_bundle(tmp_path / name, temperature=temperature)
    cache, progress = Cache(tmp_path / "cache"), Progress(quiet=True)
    warm, plain = (confusion(tmp_path / name, folder, tmp_path / "out", cache, progress) for name in ("warm", "plain"))
    assert plain["reliability"]["before"] == plain["reliability"]["after"]
    before = [Bin(**one).confidence for one in warm["reliability"]["before"]["bins"]]
    assert np.allclose(before, [Bin(**one).confidence for one in plain["reliability"]["after"]["bins"]], atol=1e-3)
