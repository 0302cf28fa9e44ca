"""Is every text of the pages there in every language? What is missing, and what nothing shows any more, fails."""

import re

import pytest

from tests.support import catalogues
from tests.support.catalogues import ROOT
from tests.support.site import Site
from ticketbot.web import i18n

PLACE = re.compile(r"%\(\w+\)s|%%|\{\w+\}")
OTHERS = i18n.codes()[1:]
TEMPLATES = sorted(ROOT.rglob("*.html"))
# Names, not words: the same in every language. The API's page is made from its document, which is English.
NAMES = {"ticketbot", "API", "kbd", "Enter", "Ctrl", "Shift", "Z", "ms", "tb_"}
ENGLISH_ONLY = {"api.html"}


@pytest.fixture(scope="module")
def used():
    return catalogues.used()


def known(code):
    return {message.id: message for message in catalogues.catalogue(code) if message.id}


def test_there_is_spanish():
    assert "es" in OTHERS


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_translated_and_no_other(code, used):
    found = known(code)
    done = {text for text, message in found.items() if all(_forms(message)) and not message.fuzzy}
    missing = {text: files for text, files in used.items() if text not in done}
    assert missing == {}, "add them with: make texts, and translate them"
    assert set(found) - set(used) == set(), "nothing shows these any more; make texts drops them"


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_same_places_to_fill_in(code):
    wrong = {}
    for text, message in known(code).items():
        wanted = [text] if isinstance(text, str) else list(text)
        for number, form in enumerate(_forms(message)):
            one = wanted[min(number, len(wanted) - 1)]
            if sorted(PLACE.findall(one)) != sorted(PLACE.findall(form)):
                wrong[one] = form
    assert wrong == {}


def _forms(message):
    return list(message.string) if isinstance(message.string, tuple | list) else [message.string]


@pytest.mark.parametrize(
    "path", [path for path in TEMPLATES if path.name not in ENGLISH_ONLY], ids=lambda path: path.name
)
def test_no_word_stands_in_a_template_untranslated(path):
    text = re.sub(r"\{% block body_class %\}.*?\{% endblock %\}", "", path.read_text())
    for what in (r"\{#.*?#\}", r"\{%.*?%\}", r"\{\{.*?\}\}"):
        text = re.sub(what, " ", text, flags=re.S)
    attributes = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', text)
    bare = re.sub(r"&\w+;|<[^>]*>|data-[\w-]+=\"[^\"]*\"", " ", text)
    shown = re.sub(r"https?://\S+|\w+\.(csv|json)\b", " ", " ".join([bare, *attributes]))
    words = set(re.findall(r"[A-Za-z_]{2,}", shown))
    assert words - NAMES == set()


@pytest.mark.parametrize("path", sorted(ROOT.rglob("static/*.js")), ids=lambda path: path.name)
def test_every_text_a_script_asks_for_is_handed_to_it(path):
    asked = set(re.findall(r'\btext\("(\w+)"', path.read_text()))
    given = {name for page in TEMPLATES for name in re.findall(r'"(\w+)": _\(', page.read_text())}
    assert asked - given == set()


def test_a_page_speaks_the_language_a_browser_asks_for(db, settings_with):
    site = Site(db, settings_with())
    page = site.app.test_client().get("/login", headers={"Accept": "text/html", "Accept-Language": "es-MX,es;q=0.9"})
    assert 'lang="es"' in page.text and "Contraseña" in page.text
    assert "Password" in site.app.test_client().get("/login", headers={"Accept": "text/html"}).text


def test_a_persons_own_choice_wins_and_programs_get_english(db, settings_with):
    site = Site(db, settings_with())
    browser = site.sign_in("ada", "admin")
    assert "Signed in" in browser.get("/account").text
    browser.post("/account/language", {"language": "es"})
    assert "Sesiones abiertas" in browser.get("/account", headers={"Accept-Language": "en"}).text
    headers = {"Authorization": f"Bearer {site.token('classify')}", "Accept-Language": "es"}
    said = site.app.test_client().get("/account", headers=headers).get_json()
    assert said["detail"] == "This needs the permission 'read'."
