"""Are the docs true? Every setting and command is in them, and every link leads somewhere."""

import importlib.util
import re
from pathlib import Path

import click
import pytest

from ticketbot import settings
from ticketbot.cli import main as ticketbot_command
from trainer.cli import cli as trainer_command

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_a_generated_page_is_what_the_code_says(name):
    assert (ROOT / "docs" / name).read_text() == generate.PAGES[name](), "run `make docs`"


def test_every_setting_is_documented():
    text = (ROOT / "docs" / "settings.md").read_text()
    models = {name: field.annotation for name, field in settings.Settings.model_fields.items()}
    models |= {"sources": settings.Source, "endpoints": settings.Endpoint}
    keys = [(section, key) for section, model in models.items() for key in model.model_fields]
    missing = [pair for pair in keys if f"`{pair[1]}`" not in text]
    assert missing == []


def commands(command, name):
    yield name, command
    for word, one in sorted(getattr(command, "commands", {}).items()):
        yield from commands(one, f"{name} {word}")


COMMANDS = [*commands(ticketbot_command, "ticketbot"), *commands(trainer_command, "trainer")]


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_and_option_says_what_it_is_for(name, command):
    assert command.help
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [option.opts for option in options if not option.help] == []
    listed = getattr(command, "commands", {})
    room = 110 - 4 - max(map(len, listed), default=0)
    assert [word for word, one in listed.items() if one.get_short_help_str(room).endswith("...")] == [], "cut off"


def not_known(program, words):
    """Of a command as a page writes it: the words that are no subcommand and no option of it."""
    command = {"ticketbot": ticketbot_command, "trainer": trainer_command}[program]
    words = words[2:] if words[:1] == ["--config"] else words
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if command in (ticketbot_command, trainer_command):
        return [word for word in words[:1] if re.fullmatch("[a-z-]+", word)]
    known = {name for param in command.params for name in param.opts} | {"--help"}
    return [word for word in words if re.match("--[a-z]", word) and re.split("[=,.:]", word)[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_is_one(page):
    """`ticketbot backup --keep 7` in backticks, in a block or after a path: it must exist, with its options."""
    text = page.read_text()
    blocks = re.findall("```.*?```", text, re.S)
    code = "\n".join([*blocks, *re.findall("`[^`\n]+`", re.sub("```.*?```", "", text, flags=re.S))])
    calls = re.findall(r"(?:^|`|\$\(|bin/)(ticketbot|trainer)((?: +[^\s`|;&#)]+)+)", code, re.M)
    wrong = [(program, words) for program, words in calls if not_known(program, words.split())]
    assert page.name == "commands.md" or wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_a_page_names_is_there(page):
    """`ticketbot/deliver/retry.py` in backticks must exist: a moved file moves its mention."""
    names = re.findall(r"`((?:ticketbot|trainer|config|tests|bench|docs|\.ci)/[\w./-]+\.\w+)`", page.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text and "make test" in text
