import pytest

from ticketbot.errors import Refused
from ticketbot.web import passwords


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "elevenchars",
        "passwordpassword",
        "Password1234!",
        "P@ssw0rd2026!!",
        "123456789012",
        "qwertyuiop12",
        "abcdefghijkl",
        "aaaaaaaaaaaaaaa",
        "abababababab",
        "WelcomeWelcome1",
        "ticketbot-ticketbot",
        "margarete-2026",
        "changeme12345",
        "x" * 257,
    ],
)
def test_it_refuses_what_is_tried_first(password):
    with pytest.raises(Refused):
        passwords.check(password, "margarete")


@pytest.mark.parametrize(
    "password",
    [
        "nine purple kettles",
        "correct horse battery staple",
        "ünïcödé ist auch gut",
        "8fK2-x9Qp-77Lm",
        " leading space kept",
        "🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧",
    ],
)
def test_it_takes_anything_long_and_uncommon(password):
    passwords.check(password, "margarete")


def test_the_whole_password_counts():
    stored = passwords.hashed("nine purple kettles" * 8)
    assert passwords.matches(stored, "nine purple kettles" * 8)
    assert not passwords.matches(stored, ("nine purple kettles" * 8)[:-1])


@pytest.mark.parametrize("stored", [None, "", "not a hash", "$argon2id$v=19$broken"])
def test_a_missing_or_broken_hash_matches_nothing(stored):
    assert not passwords.matches(stored, "nobody has this password")


def test_hashes_are_argon2id_with_a_salt():
    first, second = passwords.hashed("nine purple kettles"), passwords.hashed("nine purple kettles")
    assert first.startswith("$argon2id$")
    assert first != second
