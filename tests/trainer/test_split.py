from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trainer.data.split import held_out

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=80)


def sides(pairs, share=0.2, seed=0):
    labels, groups = [label for label, _ in pairs], [str(group) for _, group in pairs]
    kept = held_out(labels, groups, share, seed)
    outside = [label for label, group in zip(labels, groups, strict=True) if group in kept]
    inside = [label for label, group in zip(labels, groups, strict=True) if group not in kept]
    return kept, Counter(inside), Counter(outside)


@given(rows, st.floats(0.05, 0.5), st.integers(0, 99))
def test_a_class_is_never_held_out_as_a_whole(pairs, share, seed):
    _, inside, _ = sides(pairs, share, seed)
    several = {label for label, _ in pairs if len({group for other, group in pairs if other == label}) > 1}
    assert several <= set(inside)


@given(rows)
def test_the_same_seed_holds_out_the_same_in_any_order(pairs):
    assert sides(pairs)[0] == sides(list(reversed(pairs)))[0]


def test_every_class_is_measured_when_it_has_two_groups():
    pairs = [(0, 1)] * 60 + [(0, 2)] * 40 + [(1, 3)] * 9 + [(1, 4)]
    kept, inside, outside = sides(pairs)
    assert kept == {"2", "4"}
    assert set(inside) == set(outside) == {0, 1}


def test_a_class_of_one_group_stays_in_training():
    _, inside, outside = sides([(0, 1)] * 10 + [(1, number) for number in range(2, 12)])
    assert (inside[0], outside[0]) == (10, 0)


def test_about_the_share_is_held_out_of_each_class():
    _, _, outside = sides([(number % 4, number) for number in range(400)])
    assert outside == {0: 20, 1: 20, 2: 20, 3: 20}
