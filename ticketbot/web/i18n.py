"""Which language does this page speak?

English is in the code; every other language is a catalogue in languages/<code>.po (gettext), read when it is first
needed. A person's own choice wins over what the browser asks for; programs and the command line get English.
Texts are always formatted: a per cent sign in one is written twice.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import g, has_request_context, request

FOLDER = Path(__file__).parent / "languages"
ENGLISH = "en"


@lru_cache(maxsize=1)
def languages() -> dict[str, str]:
    """{"en": "English", "es": "Español"}: code and own name of every language there is."""
    from babel import Locale  # only who shows a choice pays for it

    codes = [ENGLISH, *sorted(path.stem for path in FOLDER.glob("*.po"))]
    return {code: (Locale.parse(code).get_display_name(code) or code).capitalize() for code in codes}


def codes() -> tuple[str, ...]:
    return (ENGLISH, *sorted(path.stem for path in FOLDER.glob("*.po")))


class Catalogue:
    """The texts of one language."""

    def __init__(self, path: Path) -> None:
        from gettext import c2py

        from babel.messages.pofile import read_po

        with open(path, "rb") as file:
            read = read_po(file)
        self.plural = c2py(read.plural_expr)
        self.texts = {message.id: message.string for message in read if message.id and not message.fuzzy}

    def one(self, text: str) -> str:
        return str(self.texts.get(text) or text)

    def many(self, one: str, many: str, n: int) -> str:
        found = self.texts.get((one, many))
        if not found:
            return one if n == 1 else many
        return str(found[self.plural(n)] or (one if n == 1 else many))


@lru_cache(maxsize=16)
def catalogue(code: str) -> Catalogue | None:
    return None if code == ENGLISH else Catalogue(FOLDER / f"{code}.po")


def language() -> str:
    """The code of the language this request is answered in."""
    if not has_request_context():
        return ENGLISH
    if "language" not in g:
        known = codes()
        caller = g.get("caller")
        wanted = getattr(caller, "language", "") or request.accept_languages.best_match(known)
        is_program = getattr(caller, "kind", "browser") == "token"
        g.language = wanted if wanted in known and not is_program else ENGLISH
    found: str = g.language
    return found


def gettext(text: str) -> str:
    """The text in this request's language, not formatted; what the templates call."""
    texts = catalogue(language())
    return texts.one(text) if texts else text


def ngettext(one: str, many: str, n: int) -> str:
    """`one` or `many` for n things, not formatted; what the templates call."""
    texts = catalogue(language())
    return texts.many(one, many, n) if texts else (one if n == 1 else many)


def _(text: str, **values: Any) -> str:
    """The text in this request's language with its %(names)s filled in."""
    return gettext(text) % values


def N_(text: str) -> str:
    """Marks a text that is translated where it is shown."""
    return text
