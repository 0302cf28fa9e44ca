"""Is this password good enough, and is it the right one?

OWASP ASVS 6.2: at least 12 characters, any characters, no composition rules, spaces kept, nothing cut off, and none
that everybody tries first. Hashes are argon2id.
"""

from __future__ import annotations

import re

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ticketbot.errors import Refused
from ticketbot.web.i18n import _

MIN_LENGTH = 12
MAX_LENGTH = 256
# OWASP's second choice (19 MiB, 2 passes): eight threads that sign in at once need 152 MiB, not 512.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified when the name is unknown, so that the time says nothing about who exists.
NOBODY = HASHER.hash("nobody has this password")

# What long common passwords are made of, longest first.
COMMON = """
    password passwort contrasena passw0rd p@ssw0rd p@ssword qwertyuiop qwerty azerty qwertz asdfghjkl asdfgh
    zxcvbnm 1qaz2wsx 1q2w3e4r5t 1q2w3e4r q1w2e3r4 qazwsx welcome willkommen bienvenido letmein admin
    administrator root superuser iloveyou iloveu sunshine princess football baseball basketball monkey dragon
    master shadow superman batman starwars pokemon trustno1 whatever freedom computer internet login changeme
    changeit change secret default guest user test temp hello summer winter spring autumn sommer herbst january
    february march april monday tuesday friday michael jennifer jordan hunter ranger buster thomas charlie
    ashley jessica daniel mustang access flower cheese abc ticketbot ticket tickets support helpdesk company
    service erp
"""
WORDS = sorted(COMMON.split(), key=len, reverse=True)
NOT_LETTERS = re.compile(r"[\W\d_]+")
ROWS = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
)


def check(password: str, name: str) -> None:
    """Raises Refused with a sentence for the person when `password` should not be used by the account `name`."""
    if len(password) < MIN_LENGTH:
        raise Refused(
            "bad_request", _("Use at least %(n)s characters. Several words are easiest to remember.", n=MIN_LENGTH)
        )
    if len(password) > MAX_LENGTH:
        raise Refused("bad_request", _("Use at most %(n)s characters.", n=MAX_LENGTH))
    if is_common(password, name):
        raise Refused(
            "bad_request",
            _("This password is one that is tried first. Use several words that do not belong together."),
        )


def is_common(password: str, name: str) -> bool:
    """Is it made of well-known words, the account's own name, one run of keys, or a few characters repeated?"""
    lowered = password.lower()
    if len(set(lowered)) < 5:
        return True
    if any(_runs_along(lowered, row) for row in ROWS):
        return True
    rest = _without_words(lowered, name.lower())
    return rest != lowered and len(rest.replace(" ", "")) <= 8 and len(NOT_LETTERS.sub("", rest)) < 3


def _without_words(text: str, name: str) -> str:
    """What stays of `text` when common words and the name are taken out."""
    for word in ([name] if len(name) > 2 else []) + WORDS:
        text = text.replace(word, " ")
    return text


def _runs_along(text: str, row: str) -> bool:
    steps = [text[i : i + 2] for i in range(len(text) - 1)]
    both_ways = {row[i : i + 2] for i in range(len(row) - 1)} | {row[i : i + 2][::-1] for i in range(len(row) - 1)}
    return sum(step in both_ways for step in steps) >= 0.9 * len(steps)


def hashed(password: str) -> str:
    return HASHER.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Takes as long for an account without a password as for one with."""
    try:
        return HASHER.verify(stored or NOBODY, password[: MAX_LENGTH + 1]) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False
