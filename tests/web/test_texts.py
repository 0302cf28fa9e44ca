import pytest

from ticketbot.web import texts


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"plain.jpg", "plain.jpg"),
        ("Rechnung März.jpg", "Rechnung März.jpg"),
        (b"caf\xe9.jpg", "caf\\xe9.jpg"),
        ("a\nb.jpg", "a\\nb.jpg"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("\u2066x", "\\u2066x"),
        ("nul\x00.jpg", "nul\\x00.jpg"),
        ("\udcff.jpg", "\\udcff.jpg"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
    ],
)
def test_what_cannot_be_seen_in_a_name_is_made_visible(value, shown):
    assert texts.name(value) == shown


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(0.934, 0, "93 %"), (0.9999, 0, "99 %"), (0.9999, 1, "99.9 %"), (1.0, 0, "100 %"), (None, 0, "–")],
)
def test_a_share_below_one_is_never_100_percent(value, digits, shown):
    assert texts.percent(value, digits) == shown


@pytest.mark.parametrize(
    ("at", "shown"),
    [(None, "never"), (100, "just now"), (40, "1 min ago"), (100 - 7200, "2 h ago"), (400, "in 5 min")],
)
def test_times_are_told_from_now(at, shown):
    assert texts.ago(at, now=100) == shown
