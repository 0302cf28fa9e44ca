"""How are file names written in a sentence? Escapes, code points and bytes, several at once."""

import os
import re


def names_of(text):
    """The paths (bytes) that a sentence names. Raises LookupError when it names none."""
    note = re.search(r"\s+\([^()]*\)$", text)
    if note and re.search(r"\.\w{2,5}$", text[: note.start()]):
        text = text[: note.start()]
    parts = [text]
    for separator in (", ", " and "):
        found = text.split(separator)
        if len(found) > 1 and all(re.search(r"\.\w{2,5}$", part) for part in found):
            parts = found
            break
    if not all("." in part or "/" in part for part in parts) and "bytes" not in text:
        raise LookupError(f"nobody knows how to build {text!r}")
    folder = parts[0].rpartition("/")[0] or "1"
    return [os.fsencode(_long(_decoded(part if "/" in part else f"{folder}/{part}"))) for part in parts]


def _long(name):
    """ "1/ name of 255 bytes" is a name of that length."""
    if match := re.fullmatch(r"(?P<folder>[^/]+)/ ?(?:a )?name of (?P<n>\d+) (?P<unit>bytes|characters)", name):
        return f"{match['folder']}/{'n' * (int(match['n']) - 4)}.jpg"
    return name


def _decoded(text):
    r"""Escapes (\n, \", \x1b), code points (U+202E) and bytes (bytes ff fe) as what they mean."""
    plain = {"n": "\n", "r": "\r", "t": "\t", "e": "\x1b", "b": "\b", "a": "\a", '"': '"', "'": "'", "\\": "\\"}
    text = re.sub(r"\bU\+([0-9A-Fa-f]{4,6}) ?", lambda match: chr(int(match[1], 16)), text)
    text = re.sub(r"bytes((?: [0-9a-f]{2}\b)+) ?", lambda match: os.fsdecode(bytes.fromhex(match[1])), text)
    text = re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: os.fsdecode(bytes.fromhex(match[1])), text)
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    text = re.sub(r"\bESC\b", "\x1b", text)
    return re.sub(r"\\(.)", lambda match: plain.get(match[1], match[0]), text)


def path_in(text, default="2/x.jpg"):
    """The first thing in a sentence that looks like a path in the tree."""
    found = re.search(r"\d+/[^\s,()]*", text)
    return found[0] if found else default
