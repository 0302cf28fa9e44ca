"""Does the measure on unseen sources leave each source out whole, and compare two rows picture by picture?"""

import numpy as np
import pytest

pytestmark = pytest.mark.train
bench = pytest.importorskip("bench.sources")

NOTHING = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)


def marked():
    """Four sources of six pictures, two classes: the first feature tells the class, in source d the other way round."""
    dice = np.random.default_rng(3)
    y = np.tile([0, 1], 12)
    sources = np.repeat(["a", "b", "c", "d"], 6)
    x = np.stack([dice.normal(0, 1, 24) + np.where(sources == "d", -1, 1) * (4 * y - 2), dice.normal(0, 1, 24)], axis=1)
    return np.column_stack([x, np.repeat([0, 1, 2, 3], 6)]).astype(np.float32), y, sources


def test_a_source_unlike_the_others_is_answered_without_having_been_seen():
    x, y, sources = marked()
    found = bench.row("real", x, y, sources, NOTHING, ("down", "up"), 1.0)
    assert found["each_source"]["d"] < 0.5 < min(found["each_source"][one] for one in "abc")
    assert found["pictures"] == {"a": 6, "b": 6, "c": 6, "d": 6}
    assert found["accuracy"] == pytest.approx(np.mean(found["right"]), abs=1e-3)
    assert found["by_source"] == pytest.approx(found["accuracy"], abs=2e-3)  # sources of one size


def test_what_is_drawn_teaches_a_source_nobody_saw():
    x, y, sources = marked()
    d = sources == "d"
    before = bench.row("real", x, y, sources, NOTHING, ("down", "up"), 1.0)
    drawn = np.tile(x[d], (40, 1)), np.tile(y[d], 40)
    now = bench.row("drawn too", x, y, sources, drawn, ("down", "up"), 1.0)
    assert now["each_source"]["d"] > before["each_source"]["d"]
    won, lost, chance = bench.beside(before, now)
    assert won - lost == sum(now["right"]) - sum(before["right"])
    assert won > 0
    assert 0 < chance <= 1
