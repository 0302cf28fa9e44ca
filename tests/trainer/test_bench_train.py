import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.train
bench = pytest.importorskip("bench.train")


@pytest.mark.parametrize(
    ("ours_s", "ours_right", "plain_right", "ratio", "met"),
    [
        (10, 90, 90, 4.0, True),
        (20, 90, 90, 2.0, False),
        (10, 99, 40, 4.0, True),
        (10, 40, 99, 0.0, False),  # quick and shown to be worse
        (10, 80, 88, 4.0, True),  # worse within what 100 pictures can tell
    ],
)
def test_faster_counts_only_when_it_is_not_shown_to_be_less_right(ours_s, ours_right, plain_right, ratio, met):
    ours, plain = bench.figures("ours", ours_s, 200, ours_right, 100), bench.figures("plain", 40, 200, plain_right, 100)
    row = bench.beside(ours, plain)
    assert (row["ratio"], row["met"]) == (ratio, met)
    assert row["ours_low"] < ours_right / 100 < row["ours_high"]


def test_no_source_is_learned_from_and_measured_on(tmp_path):
    for kind in ("across", "down"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(24):
            noise = np.random.default_rng([number, len(kind)]).integers(0, 256, (12, 12, 3), dtype=np.uint8)
            picture = Image.fromarray(noise).resize((96, 96))
            picture.save(tmp_path / "data" / kind / f"source{number % 6}{kind}_{number}.png")
    sides = bench.parted(tmp_path / "data", tmp_path / "parted")
    learn, test = ({path.name.partition("_")[0] for path in side.rglob("*.png")} for side in sides)
    assert learn and test and not learn & test
    assert sum(len(list(side.rglob("*.png"))) for side in sides) == 48
