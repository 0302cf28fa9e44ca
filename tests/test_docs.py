"""Are the docs true? Every setting and command is in them, and every link leads somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

from ticketbot import settings

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
