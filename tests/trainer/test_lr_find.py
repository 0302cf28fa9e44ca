import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.lr_find import suggestion

RATES = [1e-7 * 10 ** (8 * step / 100) for step in range(100)]


def curve(step):
    """Flat, falling from step 40 to 70, then blowing up."""
    return 1.4 if step < 40 else 1.4 - (step - 40) / 40 if step < 70 else 0.65 + (step - 70) ** 2 / 50


def test_the_middle_of_the_fall_is_suggested():
    rate, why = suggestion(RATES, [curve(step) for step in range(100)])
    assert RATES[45] < rate < RATES[65] and "falling" in why


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        ([], "too few"),
        ([1.0, 0.9, 0.8], "too few"),
        ([math.nan] * 100, "no number from the start"),
        ([1.0 + step for step in range(100)], "never fell"),
        ([1.0] * 100, "never fell"),
    ],
)
def test_without_a_valley_there_are_words(losses, why):
    rate, said = suggestion(RATES[: len(losses)], losses)
    assert rate is None and why in said


def test_what_comes_after_the_loss_is_no_number_is_not_looked_at():
    losses = [curve(step) if step < 75 else math.nan for step in range(100)]
    assert suggestion(RATES, losses)[0] == suggestion(RATES, [curve(step) for step in range(100)])[0]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60))
def test_any_curve_gets_a_rate_of_its_own_or_words(losses):
    rate, why = suggestion(RATES, losses)
    assert why and (rate is None or rate in RATES[: len(losses)])


@pytest.mark.train
def test_the_command_draws_the_curve_and_leaves_nothing_behind(trainer, data, tmp_path):
    status, out, err = trainer("lr-find", "--data", data, "--weights", "none", "--out", tmp_path / "lr.png")
    assert status == 0, err
    assert "sugg" in out and "nan" not in out
    with Image.open(tmp_path / "lr.png") as image:
        assert image.width > 400
    assert [path.name for path in tmp_path.iterdir()] == ["lr.png"]
