"""Can everybody read it? Contrast of the colours that meet, light and dark, after WCAG 2."""

import re
from pathlib import Path

import pytest

import ticketbot

ROOT = Path(ticketbot.__file__).parent
SHEETS = [ROOT / "web/static/ticketbot.css", ROOT / "review/static/label.css"]
# text on ground: 4.5 to 1.
TEXT = [
    *[(ink, ground) for ink in ("ink", "muted") for ground in ("ground", "surface", "sunk")],
    *[("accent", ground) for ground in ("ground", "surface")],
    *[(name, f"{name}-soft") for name in ("good", "warn", "bad")],
    *[("ink", f"{name}-soft") for name in ("accent", "good", "warn", "bad")],
    *[("muted", f"{name}-soft") for name in ("bad",)],
    ("on-accent", "accent"),
]
# borders of fields and frames that mean something: 3 to 1.
SIGNS = [("edge", "surface"), *[(f"c{i}", ground) for i in range(8) for ground in ("surface", "sunk")]]


def colours(scheme):
    found = {}
    for sheet in SHEETS:
        text = sheet.read_text()
        light, dark = (
            dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block))
            for block in re.findall(r":root \{(.*?)\}", text, re.S)[:2]
        )
        found |= light if scheme == "light" else {**light, **dark}
    return found


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXT, 4.5), (SIGNS, 3.0)], ids=["text", "signs"])
def test_colours_that_meet_can_be_told_apart(scheme, pairs, least):
    known = colours(scheme)
    weak = {pair: round(contrast(known[pair[0]], known[pair[1]]), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < least} == {}


def test_black_on_white_is_the_measure():
    assert contrast("#000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("sheet", [*SHEETS, ROOT / "operate/static/operate.css"], ids=lambda path: path.name)
def test_a_sheet_is_small_and_loads_nothing(sheet):
    text = sheet.read_text()
    assert len(text) < 20_000
    assert "url(" not in text and "@import" not in text
