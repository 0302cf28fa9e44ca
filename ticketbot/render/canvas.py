"""What does every picture draw with? A sheet, its colours, its letters; sizes in pixels."""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from ticketbot.render.fonts import Face, pick_face
from ticketbot.render.words import Words, pick_words

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

# Backgrounds seen in real windows and papers. All four classes draw from the same two lists, so that a colour tells
# nothing about the class.
_LIGHT = [(255, 255, 255)] * 6 + [(245, 246, 248), (240, 240, 240), (236, 233, 216), (232, 238, 247), (250, 247, 238)]
_LIGHT += [(225, 228, 232), (255, 251, 230), (238, 244, 238), (246, 236, 236), (212, 208, 200)]
_DARK = [(32, 33, 36), (30, 30, 46), (12, 12, 12), (24, 42, 66), (45, 45, 48), (40, 34, 48), (16, 56, 60)]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` (0..1) of `b` in it."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def hue(rng: random.Random, saturation: float = 0.65, value: float = 0.7) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation * rng.uniform(0.7, 1.2), value)
    return (min(255, round(red * 255)), min(255, round(green * 255)), min(255, round(blue * 255)))


@dataclass(frozen=True)
class Theme:
    page: Colour  # behind everything
    panel: Colour  # bars, cards, dialogs
    ink: Colour
    muted: Colour  # lesser text
    line: Colour
    field: Colour  # inside of inputs
    accent: Colour
    dark: bool
    face: Face
    mono: Face
    size: int  # height of the ordinary letters
    radius: int  # of buttons and cards


def pick_theme(rng: random.Random, dark_share: float) -> Theme:
    dark = rng.random() < dark_share
    page = rng.choice(_DARK if dark else _LIGHT)
    ink = mix(WHITE, page, rng.uniform(0.0, 0.2)) if dark else mix(BLACK, page, rng.uniform(0.0, 0.28))
    return Theme(
        page=page,
        panel=mix(page, WHITE if dark else BLACK, rng.choice([0.0, 0.04, 0.08])),
        ink=ink,
        muted=mix(ink, page, 0.42),
        line=mix(page, ink, rng.uniform(0.12, 0.35)),
        field=mix(page, WHITE, 0.08) if dark else WHITE,
        accent=hue(rng, value=rng.uniform(0.5, 0.9)),
        dark=dark,
        face=pick_face(rng, "sans"),
        mono=pick_face(rng, "mono"),
        size=rng.choice([12, 13, 14, 15, 16, 18]),
        radius=rng.choice([0, 0, 2, 4, 7]),
    )


class Canvas:
    """A picture in the making: `image`, and what draws on it. Everything random comes from `rng`."""

    def __init__(
        self, size: tuple[int, int], rng: random.Random, theme: Theme | None = None, *, dark_share: float = 0.0
    ) -> None:
        self.rng = rng
        self.theme = theme or pick_theme(rng, dark_share)
        if theme is None:  # a wide picture comes from a screen with small pixels, where letters have more of them
            self.restyle(size=round(self.theme.size * max(1.0, size[0] / 1000)))
        self.words: Words = pick_words(rng)
        self.image = Image.new("RGB", size, self.theme.page)
        self.draw = ImageDraw.Draw(self.image)

    @property
    def box(self) -> Box:
        return (0, 0, self.image.width, self.image.height)

    def restyle(self, **changes: object) -> None:
        self.theme = replace(self.theme, **changes)  # type: ignore[arg-type]

    def measure(self, text: str, size: int = 0, *, bold: bool = False, face: Face | None = None) -> int:
        face = face or self.theme.face
        return round(face.at(size or self.theme.size, bold).getlength(face.spell(text)))

    def text(
        self,
        at: tuple[int, int],
        text: str,
        size: int = 0,
        colour: Colour | None = None,
        *,
        bold: bool = False,
        face: Face | None = None,
        anchor: str = "la",
    ) -> int:
        """One line of text; returns its right edge (for left-anchored text)."""
        face = face or self.theme.face
        font = face.at(size or self.theme.size, bold)
        spelled = face.spell(text)
        self.draw.text(at, spelled, font=font, fill=colour or self.theme.ink, anchor=anchor)
        return at[0] + round(font.getlength(spelled))

    def clip(self, text: str, width: int, size: int = 0, *, bold: bool = False, face: Face | None = None) -> str:
        """About as many letters of `text` as fit into `width`."""
        length = self.measure(text, size, bold=bold, face=face)
        return text if length <= width else text[: max(0, len(text) * width // length - 1)]

    def wrap(
        self,
        at: tuple[int, int],
        text: str,
        width: int,
        size: int = 0,
        colour: Colour | None = None,
        *,
        bold: bool = False,
        face: Face | None = None,
        bottom: int = 10_000,
    ) -> int:
        """Text broken into lines of at most `width`; stops at `bottom`. Returns the y below the last line."""
        size = size or self.theme.size
        x, y = at
        line = ""
        for word in [*text.split(" "), ""]:
            longer = f"{line} {word}".strip()
            if word and self.measure(longer, size, bold=bold, face=face) <= width:
                line = longer
                continue
            if line and y + size <= bottom:
                self.text((x, y), line, size, colour, bold=bold, face=face)
                y += round(size * 1.4)
            line = word
        return y

    def fill(self, box: Box, colour: Colour, outline: Colour | None = None, radius: int = 0, width: int = 1) -> None:
        left, top, right, bottom = box
        if right <= left or bottom <= top:
            return
        if radius:
            self.draw.rounded_rectangle((left, top, right - 1, bottom - 1), radius, colour, outline, width)
        else:
            self.draw.rectangle((left, top, right - 1, bottom - 1), colour, outline, width)

    def rule(self, start: tuple[int, int], end: tuple[int, int], colour: Colour | None = None, width: int = 1) -> None:
        self.draw.line((start, end), fill=colour or self.theme.line, width=width)


def inset(box: Box, by: int, by_y: int | None = None) -> Box:
    dy = by if by_y is None else by_y
    return (box[0] + by, box[1] + dy, box[2] - by, box[3] - dy)


def pick_size(rng: random.Random, portrait_share: float) -> tuple[int, int]:
    """Width and height of a picture. Classes differ in how often they stand upright, not in how large they are."""
    if rng.random() < portrait_share:
        width = rng.randint(600, 900)
        return width, round(width * rng.uniform(1.05, 1.5))
    width = rng.randint(600, 1400)
    return width, round(width * rng.uniform(0.5, 0.85))
