"""Which key labels which class? The first free letter of its name, and its number."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_lowercase

# Keys with a meaning of their own on the label page.
RESERVED = {"u": "undo", "s": "skip", "n": "unsure", "j": "junk", "z": "zoom"}


def assign(categories: Iterable[str]) -> dict[str, str]:
    """{"reports": "r", …}. A class whose letters are all taken gets any free one; "" when none is left."""
    taken = set(RESERVED)
    keys: dict[str, str] = {}
    for category in categories:
        letters = [letter for letter in category if letter in ascii_lowercase]
        keys[category] = next((letter for letter in [*letters, *ascii_lowercase] if letter not in taken), "")
        taken.add(keys[category])
    return keys
