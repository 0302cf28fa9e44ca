"""Who is kept out of training, for ever."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from ticketbot.retrain.split import HOLDOUT, TRAIN, Row, assign, left_out

rows = st.lists(
    st.builds(
        Row,
        sha256=st.integers(0, 2**64).map("{:064x}".format),
        label=st.sampled_from(["a", "b", ""]),
        group=st.integers(0, 30),
        honest=st.sampled_from([True, True, True, False]),
        split=st.sampled_from([None, None, None, TRAIN, HOLDOUT]),
    ),
    max_size=60,
    unique_by=lambda row: row.sha256,
)


def singles(n, label="a", **changes):
    return [Row(f"{label}{number:063x}", label, number, **{"honest": True, **changes}) for number in range(n)]


def test_each_class_gives_its_share():
    many = singles(100) + [Row(f"b{n:063x}", "b", 1000 + n, True) for n in range(50)]
    sides = assign(many, 0.2)
    assert Counter((row.label, sides[row.sha256]) for row in many) == {
        ("a", HOLDOUT): 20,
        ("a", TRAIN): 80,
        ("b", HOLDOUT): 10,
        ("b", TRAIN): 40,
    }


@settings(max_examples=200, deadline=None)
@given(rows, st.randoms())
def test_sides_given_earlier_never_change_and_the_order_does_not_matter(some, random):
    sides = assign(some, 0.3)
    assert all(sides[row.sha256] == row.split for row in some if row.split)
    again = list(some)
    random.shuffle(again)
    assert assign(again, 0.3) == sides


@settings(max_examples=200, deadline=None)
@given(rows)
def test_no_look_alike_of_a_holdout_picture_is_trained_on(some):
    sides = assign(some, 0.3)
    kept = [row for row in some if row.sha256 not in left_out(some, sides)]
    trained = {row.group for row in kept if sides[row.sha256] == TRAIN}
    measured = {row.group for row in kept if sides[row.sha256] == HOLDOUT}
    assert not trained & measured
    assert all(row.honest for row in kept if sides[row.sha256] == HOLDOUT)


@settings(max_examples=100, deadline=None)
@given(rows, st.integers(0, 40))
def test_a_later_snapshot_keeps_every_side_of_an_earlier_one(some, n):
    first = assign(some[:n], 0.3)
    later = [Row(row.sha256, row.label, row.group, row.honest, first.get(row.sha256, row.split)) for row in some]
    second = assign(later, 0.3)
    assert all(second[sha256] == side for sha256, side in first.items())


def test_a_new_look_alike_of_a_holdout_picture_joins_it():
    some = [Row("a" * 64, "a", 1, True, HOLDOUT), Row("b" * 64, "a", 1, True)]
    assert assign(some, 0.2)["b" * 64] == HOLDOUT


def test_pictures_labelled_with_a_suggestion_in_sight_are_not_measured_on():
    assert set(assign(singles(50, honest=False), 0.2).values()) == {TRAIN}


def test_a_group_larger_than_the_share_is_trained_on():
    heap = [Row(f"{number:064x}", "a", 7, True) for number in range(30)]
    assert set(assign(heap, 0.2).values()) == {TRAIN}


def test_a_few_labels_still_train():
    assert set(assign(singles(2), 0.2).values()) == {TRAIN}
