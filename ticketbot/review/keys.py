"""Which key does what on the Label page? A class has the first free letter of its name; people may change it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from string import ascii_lowercase

from ticketbot.errors import Refused
from ticketbot.web.i18n import N_, _

# What can be done besides naming a class, with the key it has at first.
ACTIONS = {"undo": "u", "skip": "s", "unsure": "n", "junk": "j", "zoom": "z"}
ACTION_NAMES = {
    "undo": N_("Undo, as far back as you like"),
    "skip": N_("Skip: somebody else gets it"),
    "unsure": N_("Not sure: a second person decides"),
    "junk": N_("Junk: of no use, never learnt from"),
    "zoom": N_("Hold: full size under the pointer"),
}
RESERVED = {key: action for action, key in ACTIONS.items()}
KEY = re.compile(r"[a-z0-9,.;+#-]")


def assign(categories: Iterable[str], own: Mapping[str, str] | None = None) -> dict[str, str]:
    """{"reports": "r", …}. A class whose letters are all taken gets any free one; "" when none is left.

    `own`: what this person chose, by the name of a class or an action.
    """
    own = own or {}
    names = list(categories)
    taken = {*actions(own).values(), *(own[name] for name in names if name in own)}
    keys: dict[str, str] = {}
    for name in names:
        letters = [letter for letter in name if letter in ascii_lowercase]
        free = next((letter for letter in [*letters, *ascii_lowercase] if letter not in taken), "")
        keys[name] = own.get(name, free)
        taken.add(keys[name])
    return keys


def actions(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """{"undo": "u", …}: what is not a class."""
    return {action: (own or {}).get(action, key) for action, key in ACTIONS.items()}


def checked(own: Mapping[str, object], categories: Iterable[str]) -> dict[str, str]:
    """What a person chose, if it can be kept: names we know, each key one sign and for one thing. Raises Refused."""
    names = {*categories, *ACTIONS}
    kept = {name: str(key) for name, key in own.items() if name in names and isinstance(key, str)}
    if any(not KEY.fullmatch(key) for key in kept.values()):
        raise Refused("bad_request", _("A key is one letter, digit or one of , . ; + # -"))
    every = [*actions(kept).values(), *(key for name, key in kept.items() if name not in ACTIONS)]
    if len(set(every)) != len(every):
        raise Refused("bad_request", _("This key does something else already."))
    return kept
