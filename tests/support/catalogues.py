"""Which texts do the pages show, and what do the catalogues know of them?

`python -m tests.support.catalogues` (make texts) writes every text into each catalogue, keeps the
translations there are, and drops what nothing shows any more. What is new stands there with an empty translation, and
tests/web/test_languages.py fails until it has one.
"""

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_python
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

import ticketbot
from ticketbot.web import i18n

ROOT = Path(ticketbot.__file__).parent
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}


def used():
    """{text or (one, many): [file, …]} of all code and templates."""
    found = {}
    for path in sorted([*ROOT.rglob("*.py"), *ROOT.rglob("*.html")]):
        with open(path, "rb") as file:
            if path.suffix == ".py":
                rows = extract_python(file, list(KEYWORDS), [], {"encoding": "utf-8"})
            else:
                options = {"extensions": "jinja2.ext.i18n", "silent": "false", "newstyle_gettext": "true"}
                rows = babel_extract(file, list(KEYWORDS), [], options)
            for _line, function, texts, _comments in rows:
                for text in _ids(function, texts):
                    found.setdefault(text, []).append(str(path.relative_to(ROOT)))
    return found


def _ids(function, texts):
    """What `function` was called with, if it is written out there."""
    texts = texts if isinstance(texts, tuple) else (texts,)
    if function == "ngettext":
        return [texts[:2]] if all(isinstance(text, str) for text in texts[:2]) else []
    return [texts[0]] if texts and isinstance(texts[0], str) else []


def catalogue(code):
    """The Babel catalogue of a language."""
    with open(i18n.FOLDER / f"{code}.po", "rb") as file:
        return read_po(file, locale=code)


def update(code):
    """Bring a catalogue up to date. -> (how many are new, how many went)"""
    path = i18n.FOLDER / f"{code}.po"
    old = catalogue(code) if path.exists() else Catalog(locale=code)
    texts = used()
    made = Catalog(locale=code, charset="utf-8", fuzzy=False)
    made.header_comment = f"# {code}: the texts of the pages. Made with `make texts`, translated by hand."
    for text, files in texts.items():
        known = old.get(text if isinstance(text, str) else text[0])
        made.add(text, known.string if known else None, locations=[(name, None) for name in dict.fromkeys(files)])
    path.parent.mkdir(exist_ok=True)
    write(path, made)
    known = {message.id for message in old if message.id}
    return len(set(texts) - known), len(known - set(texts))


def write(path, made):
    """The file, its header without what changes by itself or says nothing."""
    stream = io.BytesIO()
    write_po(stream, made, width=120, include_lineno=False)
    kept = ("Language:", "Plural-Forms:", "MIME-Version:", "Content-")
    head, _, rest = stream.getvalue().decode().partition("\n\n")
    lines = [line for line in head.splitlines() if not line.startswith('"') or line[1:].startswith(kept)]
    path.write_text("\n".join(lines) + "\n\n" + rest)


def main():
    for code in i18n.codes()[1:]:
        new, gone = update(code)
        sys.stdout.write(f"{code}.po: {new} new, {gone} gone\n")


if __name__ == "__main__":
    main()
