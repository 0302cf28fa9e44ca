import pytest

from ticketbot.review.keys import RESERVED, assign


@pytest.mark.parametrize(
    ("categories", "keys"),
    [
        (("reports", "errors", "screens", "tickets"), "rect"),
        (("junkyard", "just"), "kt"),
        (("aa", "ab", "abc"), "abc"),
        (("sun", "snu"), "ab"),
        (("2024-05", "x"), "ax"),
    ],
)
def test_a_class_gets_the_first_free_letter_of_its_name(categories, keys):
    assert list(assign(categories).values()) == list(keys)


def test_no_key_has_two_meanings_and_some_classes_may_have_none():
    keys = [key for key in assign([f"class{i}" for i in range(40)]).values() if key]
    assert len(keys) == len(set(keys)) == 26 - len(RESERVED)
    assert not set(keys) & set(RESERVED)
