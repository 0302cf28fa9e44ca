import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.trainer.conftest import make_folder, manifest_of
from tests.trainer.test_pictures import write_snapshot
from ticketbot.contracts import bundle
from ticketbot.imaging.decode import decode
from ticketbot.judge import golden
from ticketbot.judge.engine import Engine

pytestmark = pytest.mark.train
EACH = 60
HELD_OUT = {f"picture {number}.jpg" for number in range(EACH - 21, EACH)}
# As a fastai user has it: neither of our packages, nor that of the small body.
LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
for name in ("trainer", "ticketbot", "efficientnet_lite_pytorch"):
    sys.modules[name] = None
from fastai.vision.all import load_learner
learn = load_learner(sys.argv[1])
with learn.no_bar():
    for path in sys.argv[2:]:
        name, _, shares = learn.predict(path)
        print(name, *(float(one) for one in shares), sep="\\t")
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("export") / "pictures", each=EACH)


@pytest.fixture(scope="module")
def made(trainer, pictures, tmp_path_factory):
    """A bundle of the small body on a snapshot with 63 held-out pictures: enough to try int8."""
    top = tmp_path_factory.mktemp("int8")
    write_snapshot(top / "snap", pictures, HELD_OUT)
    words = ["--data", top / "snap", "--out", top / "bundle", "--arch", "efficientnet_lite0"]
    status, _, said = trainer("retrain", *words)
    assert status in (0, 3), said
    return top / "bundle"


def test_int8_serves_when_it_says_the_same_and_the_manifest_tells(made):
    manifest = bundle.read(made)
    assert manifest.parity["int8"]["n"] == 63
    served = {True: ("model.int8.onnx", "int8"), False: ("model.onnx", "fp32")}[manifest.parity["int8"]["passes"]]
    assert (manifest.stages[0].file, manifest.parity["precision"]) == served
    assert [name for name in manifest.files if name.endswith(".onnx")] == [served[0]]
    assert golden.check(Engine(made)) < 1e-3


def test_the_figures_are_those_of_the_network_that_serves(made, pictures):
    manifest = bundle.read(made)
    paths = [(path, label) for label in range(3) for path in sorted((pictures / manifest.classes[label]).iterdir())]
    held = [(path, label) for path, label in paths if path.name in HELD_OUT]
    probs = Engine(made).answer([decode(path.read_bytes()).rgb for path, _ in held])
    right = np.mean(probs.argmax(axis=1) == [label for _, label in held])
    assert right == pytest.approx(manifest.metrics["accuracy"])


def test_too_few_held_out_pictures_leave_fp32_with_the_reason(small_bundle):
    manifest = manifest_of(small_bundle)
    assert manifest["stages"][0]["file"] == "model.onnx"
    assert manifest["parity"]["precision"] == "fp32"
    assert "too few to show that int8 says the same: 59 are needed" in manifest["parity"]["reason"]


def test_fastai_users_load_the_same_model_without_our_packages(made, pictures):
    paths = [pictures / name / f"picture {number}.jpg" for name in ("across", "dots", "down") for number in (40, 50)]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, made / "export.pkl", *paths],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    ours = Engine(made).answer([decode(path.read_bytes()).rgb for path in paths])
    assert [row[0] for row in rows] == [bundle.read(made).classes[number] for number in ours.argmax(axis=1)]
    # Another resize, and eight bits in ours.
    assert np.abs(np.array([row[1:] for row in rows], dtype=float) - ours).max() < 0.1


def test_the_report_needs_nothing_else_and_says_what_serves_and_what_looks_wrong(trainer, tmp_path):
    """Two pictures lie in the wrong class."""
    data = make_folder(tmp_path / "pictures", each=20)
    for number in (3, 4):
        (data / "dots" / f"picture {number}.jpg").rename(data / "down" / f"wrong {number}.jpg")
    status, _, said = trainer("retrain", "--data", data, "--out", tmp_path / "b", "--arch", "efficientnet_lite0")
    assert status in (0, 3), said
    page = (tmp_path / "b" / "report.html").read_text()
    suspects = page.partition("<h2>Suspects</h2>")[2].partition("<h2>")[0]
    assert "down/wrong 3.jpg" in suspects and "down/wrong 4.jpg" in suspects
    for part in ("Accuracy", "Data", "Confusion", "Promises", "Does its confidence", "Training", "Network", "Versions"):
        assert f"<h2>{part}" in page, part
    assert "in fp32:" in page and "59 are needed" in page
    assert not re.search(r"(src|href)=|url\(|<script", page)
