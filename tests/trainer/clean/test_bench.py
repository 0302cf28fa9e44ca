"""Does the bench of the ranking do to labels what it says?"""

import numpy as np
import pytest

pytestmark = pytest.mark.train
bench = pytest.importorskip("bench.clean")


@pytest.mark.parametrize(("noise", "wrong"), [(0.1, 10), (0.2, 20)])
def test_a_share_of_the_labels_is_changed_to_other_classes(noise, wrong):
    y = np.arange(100) % 4
    changed = bench.noisy(y, np.arange(100), noise, 4, np.random.default_rng(0))
    assert (changed != y).sum() == wrong and set(changed) <= set(range(4))


def test_look_alikes_are_changed_together():
    y, alike = np.zeros(30, int), np.array([*range(20), *[90] * 5, *[91] * 5])
    changed = bench.noisy(y, alike, "groups", 4, np.random.default_rng(0))
    assert (changed[:20] == 0).all()
    assert sorted((len(set(changed[20:25])), len(set(changed[25:])))) == [1, 1] and (changed != y).sum() == 5
