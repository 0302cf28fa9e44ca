import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer.clean.rank import ranked

CLASSES = ("errors", "reports")


def order(p_of_label, y=None, groups=None):
    """The suspects of pictures 0, 1, 2… whose own labels are so likely."""
    share = np.array(p_of_label, dtype=float)
    y = np.zeros(len(share), int) if y is None else np.array(y)
    probs = np.stack([np.where(y == 0, share, 1 - share), np.where(y == 0, 1 - share, share)], axis=1)
    names = [str(number) for number in range(len(share))]
    return ranked(names, names, y, probs, share, list(groups or range(len(share))), CLASSES)


def names(suspects):
    return "".join(one.name for one in suspects)


def test_the_least_likely_label_comes_first():
    found = order([0.9, 0.1, 0.5])
    assert names(found) == "120"
    assert (found[0].label, found[0].suggested, round(found[0].p_label, 2)) == ("errors", "reports", 0.1)


def test_look_alikes_with_the_same_label_follow_at_once():
    assert names(order([0.1, 0.5, 0.9, 0.2], groups=[7, 8, 7, 9])) == "0231"


def test_look_alikes_with_another_label_wait_for_their_turn():
    found = order([0.1, 0.5, 0.9], y=[0, 0, 1], groups=[7, 8, 7])
    assert names(found) == "012" and [one.conflict for one in found] == [True, False, True]
    assert [one.group_size for one in found] == [2, 1, 2]


def test_what_could_not_be_judged_comes_last_and_says_so():
    found = order([np.nan, 0.9, 0.3])
    assert names(found) == "210"
    assert (found[2].p_label, found[2].p_suggested, found[2].suggested) == (None, None, "errors")


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 3)), min_size=1))
def test_everybody_is_in_the_order_once_and_a_look_alike_never_before_the_worst_of_its_group(rows):
    share, y, groups = zip(*rows, strict=True)
    found = order(share, y, groups)
    assert sorted(int(one.name) for one in found) == list(range(len(rows)))
    first = {}
    for one in found:
        number = int(one.name)
        worst = first.setdefault((groups[number], y[number]), number)
        assert share[worst] <= share[number]
