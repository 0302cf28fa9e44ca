import pytest

from ticketbot.errors import UsageError
from trainer import recipe


def test_the_default_recipe_is_read():
    found = recipe.read()
    assert found.resnet34.scratch.sizes[-1][1] == found.resnet34.px


def test_a_file_changes_only_what_it_names(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[resnet34.scratch]\npasses = 3\n")
    changed, default = recipe.read(path), recipe.read()
    assert changed.resnet34.scratch.passes == 3
    assert changed.resnet34.scratch.lr == default.resnet34.scratch.lr
    assert changed.data == default.data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[resnet34]\npixels = 3", "no resnet34.pixels"),
        ("[resnet34]\npx = '96'", "resnet34.px = '96' must be int"),
        ("[resnet34]\npx = true", "must be int"),
        ("resnet34 = 3", "must be a section"),
        ("[resnet34", "recipe"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, said):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        recipe.read(path)
