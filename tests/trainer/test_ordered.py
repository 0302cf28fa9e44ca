"""`trainer order`: a folder as a service sends it becomes a bundle, with nothing else to go by."""

import shutil

import pytest

from tests.trainer.conftest import TINY, make_folder
from tests.trainer.test_pictures import write_snapshot
from ticketbot.contracts import bundle, order, snapshot

pytestmark = pytest.mark.train
HELD_OUT = {f"picture {number}.jpg" for number in range(9, 12)}


@pytest.fixture
def sent(tmp_path):
    """What a service sends: the folder, and its snapshot. What it was made of is gone."""
    out, own = tmp_path / "order", tmp_path / "own"
    made = write_snapshot(own / "snap", make_folder(own / "pictures"), HELD_OUT)
    snapshot.pack(own / "snap", out / "snapshot")
    shutil.rmtree(own)
    (out / "recipe.toml").write_text(TINY)
    order.write(out, order.Order("efficientnet_lite0", "imagenet", 5, 0.9, 0.1))
    return out, made


def test_an_order_becomes_a_bundle(trainer, sent, tmp_path):
    folder, made = sent
    status, said, err = trainer("order", folder, "--out", tmp_path / "bundle", "--threads", "1", "--progress-json")
    assert status in (0, 3), err
    manifest = bundle.read(tmp_path / "bundle")
    assert (manifest.arch, manifest.snapshot["hash"]) == ("efficientnet_lite0", made.hash)
    assert manifest.promise == {"precision": 0.9, "delta": 0.1}
    assert '"stage": "export"' in said


def test_a_folder_that_is_no_order_is_bad_input(trainer, tmp_path):
    status, _, err = trainer("order", tmp_path, "--out", tmp_path / "bundle")
    assert status == 2 and "order.json cannot be read" in err
