import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.support.needs import missing

ROOT = Path(__file__).parents[2]
TRAINING = ("retrain", "fit", "lr-find", "export")
KINDS = ("across", "down", "dots")
# Small enough for seconds: 12 pictures a class, 32 px, a few steps.
TINY = """
[data]
min_per_class = 5
[export]
int8_same = 0.95
[efficientnet_lite0]
px = 64
folds = 3
[resnet34]
px = 32
precision = "fp32"
[resnet34.scratch]
passes = 4
sizes = [[0.0, 32]]
"""


def draw(kind, number):
    """Bars across, bars down, or dots, in colours and places of its own."""
    dice = random.Random(f"{kind} {number}")
    width, height = dice.randint(60, 90), dice.randint(50, 70)
    picture = Image.new("RGB", (width, height), tuple(dice.randint(180, 255) for _ in range(3)))
    pen, ink = ImageDraw.Draw(picture), tuple(dice.randint(0, 120) for _ in range(3))
    for at in range(dice.randint(0, 8), 90, 12):
        if kind == "across":
            pen.rectangle([0, at, width, at + 4], fill=ink)
        elif kind == "down":
            pen.rectangle([at, 0, at + 4, height], fill=ink)
        else:
            y = dice.randint(0, height)
            pen.ellipse([at, y, at + 9, y + 9], fill=ink)
    return picture


def make_folder(folder, kinds=KINDS, each=12, first=0):
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(first, first + each):
            draw(kind, number).save(folder / kind / f"picture {number}.jpg", quality=90)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder per class, with what lies about in real ones: a stray file, and a picture that is none."""
    folder = make_folder(tmp_path_factory.mktemp("data") / "pictures")
    (folder / "notes.txt").write_text("not a class")
    (folder / "dots" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    return folder


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def trainer(recipe, cache):
    """Run the real command: trainer("retrain", "--data", …) -> (exit status, stdout, stderr)."""
    for name in ("torch", "fastai", "onnxscript", "efficientnet_lite_pytorch"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed: pip install '.[train]'")

    def run(command, *words):
        words = [command, *(str(word) for word in words)]
        words += ["--cache", str(cache)] if command != "predict" else []
        words += ["--recipe", str(recipe), "--threads", "1"] if command in TRAINING else []
        done = subprocess.run(
            [sys.executable, "-m", "trainer.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="session")
def small_bundle(trainer, data, tmp_path_factory):
    """A bundle of the small body, trained on `data`."""
    out = tmp_path_factory.mktemp("bundles") / "small"
    status, _, said = trainer("retrain", "--data", data, "--out", out, "--arch", "efficientnet_lite0")
    assert status in (0, 3), said
    return out


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())
