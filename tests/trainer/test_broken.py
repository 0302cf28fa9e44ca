"""Whatever is broken: does `trainer` say it in one sentence, with an exit status, and without a stack trace?"""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.bundles import make_bundle, picture
from tests.support.shelf import jpeg
from tests.support.world import ROOT
from trainer.cli import main

pytestmark = pytest.mark.train


@pytest.fixture
def place(tmp_path):
    """A folder with what the commands below name."""
    make_bundle(tmp_path / "bundle", model_id="b1")
    shutil.copytree(tmp_path / "bundle", tmp_path / "torn")
    (tmp_path / "torn" / "model.onnx").write_bytes(b"x")
    for number in range(6):
        folder = tmp_path / "data" / ("errors" if number % 2 else "reports")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(jpeg(picture(number % 4, px=64, seed=number)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "recipe.toml").write_text("[x")
    (tmp_path / "typed.toml").write_text('[data]\nvalid_share = "x"\n')
    (tmp_path / "cleaned.csv").write_text("a,b\n1,2\n")
    (tmp_path / "urls.csv").write_text("https://pictures.example/a.jpg\n")
    return tmp_path


def run(monkeypatch, capfd, words):
    """-> (exit status, the last line on stderr)"""
    monkeypatch.setattr(sys, "argv", ["trainer", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capfd.readouterr().err
    assert "Traceback" not in said
    return ended.value.code, said.strip().splitlines()[-1]


BROKEN = [
    ("retrain --data {t}/nowhere --out {t}/o", 2, "nowhere' does not exist"),
    ("retrain --data {t}/empty --out {t}/o", 2, "no pictures; it needs a folder for each class"),
    ("retrain --data {t}/data --out {t}/data", 2, "is there already; give a new folder with --out"),
    ("retrain --data {t}/data --out {t}/o --recipe {t}/recipe.toml", 2, "recipe.toml: Expected"),
    ("retrain --data {t}/data --out {t}/o --recipe {t}/typed.toml", 2, "data.valid_share = 'x' must be float"),
    ("retrain --data {t}/data --out {t}/o --sign-key {t}/file", 2, "must hold 32 bytes in base64"),
    ("retrain --data {t}/data --out {t}/o --cleaned {t}/cleaned.csv", 2, "needs the columns name and label"),
    ("retrain --data {t}/data --out {t}/o --promise 7", 2, "7.0 is not in the range"),
    ("retrain --data {t}/data --out {t}/o --threads 0", 2, "0 is not in the range"),
    ("evaluate --bundle {t}/torn --data {t}/data", 2, "is not the file the manifest was made for"),
    ("evaluate --bundle {t}/empty --data {t}/data", 2, "is not a bundle: it has no manifest.json"),
    ("evaluate --bundle {t}/bundle --data {t}/empty", 2, "no pictures"),
    ("evaluate --bundle {t}/bundle --data {t}/data --cache {t}/file/c", 1, "(--cache) cannot be written: Not a dir"),
    ("predict --bundle {t}/torn {t}/file", 2, "is not the file the manifest was made for"),
    ("confusion --bundle {t}/bundle --data {t}/data --out {t}/file", 1, "file: File exists"),
    ("clean {t}/empty", 2, "no pictures"),
    ("clean {t}/data --apply {t}/cleaned.csv", 2, "needs the columns name and decision"),
    ("urls {t}/urls.csv --out {t}/u", 2, "call it urls_<class>.csv"),
    ("verify {t}/empty", 2, "no files; it needs a folder for each class"),
    ("show {t}/data --out {t}/file/s.png", 1, "s.png: Not a directory"),
    ("fit --data {t}/empty --out {t}/f", 2, "no pictures"),
    ("lr-find --data {t}/empty", 2, "no pictures"),
    ("export {t}/empty --data {t}/data --out {t}/o", 2, "stage-2.pth is not there: train it with `trainer fit`"),
    ("order {t}/empty --out {t}/o", 2, "order.json cannot be read: No such file or directory"),
]


@pytest.mark.filterwarnings("ignore")  # what torch and pandas say about themselves when fastai imports them
@pytest.mark.parametrize(("line", "status", "sentence"), BROKEN, ids=[line for line, _, _ in BROKEN])
def test_what_is_broken_is_one_sentence(place, monkeypatch, capfd, line, status, sentence):
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.chdir(place)
    code, said = run(monkeypatch, capfd, line.format(t=place).split())
    assert (code, sentence in said) == (status, True), said


def test_a_cache_on_a_full_disk_is_not_the_pictures_fault(place, monkeypatch, capfd):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    small = place / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (small / "filler").write_bytes(b"x" * 61440)
        line = f"evaluate --bundle {place}/bundle --data {place}/data --cache {small}"
        code, said = run(monkeypatch, capfd, line.split())
        assert code == 1 and said.endswith("(--cache) cannot be written: No space left on device")
        assert not [path for path in small.rglob("*") if path.name.startswith(".")], "nothing half written stays"
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


EXTRA = ["torch", "torchvision", "fastai", "sklearn", "scipy", "cleanlab", "matplotlib", "onnx", "onnxscript"]


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["--help"], None),
        (["predict", "--bundle", "bundle", "data/errors/1.jpg"], None),
        (["verify", "data"], None),
        (["retrain", "--data", "data", "--out", "o"], "torch"),
        (["clean", "data"], "torch"),
        (["confusion", "--bundle", "bundle", "--data", "data"], "matplotlib"),
    ],
)
def test_without_what_training_needs_it_says_what_to_install(place, words, missing):
    code = f"import sys; sys.modules.update(dict.fromkeys({EXTRA!r})); from trainer.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(place / "cache")}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    if missing is None:
        assert done.returncode == 0, done.stderr
    else:
        said = f"trainer: {missing} is not installed: pip install 'ticketbot[train]'"
        assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, said)
