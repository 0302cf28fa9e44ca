"""How do receipts come in? Narrow slips from a till, scanned flat or photographed on a table: the class `tickets`."""

from __future__ import annotations

import random

from PIL import Image

from ticketbot.render import lens
from ticketbot.render.canvas import WHITE, Canvas, Colour, Theme, hue, mix, pick_size, pick_theme
from ticketbot.render.fonts import Face, pick_face


def ticket_picture(rng: random.Random) -> Image.Image:
    """A whole picture with a receipt in it."""
    kind = rng.choices(["photo", "bed", "flat"], weights=[50, 22, 28])[0]
    paper = receipt(rng)
    if kind == "flat":
        return lens.noise(lens.lighting(_crop(paper, rng), rng, rng.uniform(0.02, 0.3)), rng, rng.uniform(1, 6))
    size = pick_size(rng, 0.45)
    if kind == "bed":
        return _on_scanner(paper, size, rng)
    return _on_table(paper, size, rng)


def _crop(paper: Image.Image, rng: random.Random) -> Image.Image:
    """The slip fills the picture; a long one is cut where the phone's frame ended."""
    height = min(paper.height, round(paper.width * rng.uniform(1.1, 2.4)))
    top = rng.randint(0, paper.height - height)
    scale = rng.randint(600, 800) / paper.width
    part = paper.crop((0, top, paper.width, top + height))
    return part.resize((round(part.width * scale), round(part.height * scale)), Image.Resampling.BILINEAR)


def _corners(paper: Image.Image, size: tuple[int, int], rng: random.Random, share: float) -> lens.Corners:
    """Where the slip lies: its height is `share` of the picture's, its width as it comes."""
    height = size[1] * share
    width = min(height * paper.width / paper.height, size[0] * 0.9)
    left = rng.uniform(0.1, 0.9) * max(0.0, size[0] - width)
    top = (size[1] - height) / 2
    return [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]


def _on_table(paper: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    corners = lens.jitter(_corners(paper, size, rng, rng.uniform(0.85, 1.25)), rng, min(size) * 0.05)
    if rng.random() < 0.3:
        corners = _turned(corners, size, rng.uniform(-0.3, 0.3))
    ground = lens.surface(size, rng, shadow=[(x + 9, y + 9) for x, y in corners])
    if rng.random() < 0.35:  # a second slip or a sheet of paper half in the picture
        other = Image.new("RGB", (60, 90), mix(WHITE, hue(rng, 0.5, 0.8), rng.uniform(0, 0.6)))
        lens.lay(other, ground, lens.jitter(_corners(other, size, rng, rng.uniform(0.4, 0.8)), rng, 60))
    picture = lens.lay(_worn(paper, rng), ground, corners)
    picture = lens.tint(lens.lighting(picture, rng, rng.uniform(0.2, 0.55)), hue(rng, 0.4, 0.9), rng.uniform(0, 0.14))
    return lens.noise(picture, rng, rng.uniform(2, 9))


def _turned(corners: lens.Corners, size: tuple[int, int], slope: float) -> lens.Corners:
    """The corners turned about the middle of the picture; `slope` is the tangent of the angle, small."""
    x0, y0 = size[0] / 2, size[1] / 2
    return [(x0 + (x - x0) - (y - y0) * slope, y0 + (y - y0) + (x - x0) * slope) for x, y in corners]


def _on_scanner(paper: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    colour: Colour = rng.choice([WHITE, WHITE, (236, 236, 238), (24, 24, 24), (190, 196, 205)])
    ground = Image.new("RGB", size, colour)
    corners = lens.jitter(_corners(paper, size, rng, rng.uniform(0.8, 1.0)), rng, 8)
    picture = lens.lay(paper, ground, corners)
    return lens.noise(lens.lighting(picture, rng, rng.uniform(0.0, 0.25)), rng, rng.uniform(0.5, 5))


def _worn(paper: Image.Image, rng: random.Random) -> Image.Image:
    """Creases: bands of lighter and darker paper."""
    if rng.random() < 0.5:
        return paper
    bands = Image.new("L", (1, rng.randint(4, 9)))
    for y in range(bands.height):
        bands.putpixel((0, y), rng.randint(190, 255))
    shade = bands.resize(paper.size, Image.Resampling.BILINEAR).convert("RGB")
    return Image.blend(paper, Image.composite(paper, shade, paper.convert("L")), 0.6)


def _paper_theme(rng: random.Random) -> Theme:
    """The till's printer: thermal paper, most often white, sometimes coloured; one letter for all."""
    paper = mix(WHITE, rng.choice([(240, 230, 200), hue(rng, 0.5, 0.9)]), rng.choice([0.0, 0.0, 0.0, 0.1, 0.25, 0.45]))
    ink = mix((20, 20, 25), rng.choice([paper, (60, 60, 130)]), rng.uniform(0.0, 0.45))
    face: Face = pick_face(rng, rng.choice(["mono", "mono", "mono", "sans"]))
    base = pick_theme(rng, 0.0)
    return Theme(paper, paper, ink, ink, ink, paper, ink, False, face, face, rng.choice([15, 17, 19, 21]), base.radius)


def receipt(rng: random.Random) -> Image.Image:
    """The slip itself, as it leaves the printer."""
    width = rng.randint(300, 430)
    c = Canvas((width, 1700), rng, _paper_theme(rng))
    margin = rng.randint(10, 26)
    y = _heading(c, rng.randint(14, 40))
    y = _lines(c, [c.words.date(), f"{c.words.pick('slip')} {c.words.number(999)}"], y, margin)
    y = _items(c, y, margin)
    y = _sums(c, y, margin)
    y = _ending(c, y, margin)
    return c.image.crop((0, 0, width, min(1700, y + rng.randint(10, 50))))


def _step(c: Canvas) -> int:
    return round(c.theme.size * 1.25)


def _middle(c: Canvas, y: int, text: str, size: int = 0, *, bold: bool = False) -> int:
    clipped = c.clip(text, c.image.width - 10, size, bold=bold)
    c.text((c.image.width // 2, y), clipped, size, bold=bold, anchor="ma")
    return y + round((size or c.theme.size) * 1.25)


def _heading(c: Canvas, y: int) -> int:
    """Shop, address, numbers: centred."""
    if c.rng.random() < 0.25:
        c.draw.ellipse((c.image.width // 2 - 34, y, c.image.width // 2 + 34, y + 68), outline=c.theme.ink, width=7)
        y += 78
    y = _middle(c, y, c.words.pick("shop"), round(c.theme.size * c.rng.uniform(1.2, 1.9)), bold=True)
    y = _middle(c, y, f"{c.words.pick('street')} {c.words.number(120)}")
    y = _middle(c, y, f"{c.rng.randint(10_000, 99_999)} {c.words.firm()}")
    if c.rng.random() < 0.6:
        y = _middle(c, y, f"Tel. {c.rng.randint(100, 999)} {c.rng.randint(100_000, 999_999)}")
    return y + c.rng.randint(6, 24)


def _lines(c: Canvas, texts: list[str], y: int, margin: int) -> int:
    for text in texts:
        c.text((margin, y), text)
        y += _step(c)
    return _dashes(c, y, margin)


def _dashes(c: Canvas, y: int, margin: int) -> int:
    sign = c.rng.choice(["-", "=", "*", ""])
    if sign:
        count = (c.image.width - 2 * margin) // max(1, c.measure(sign))
        c.text((margin, y), sign * count)
    else:
        c.rule((margin, y + 8), (c.image.width - margin, y + 8), c.theme.ink)
    return y + _step(c)


def _pair(c: Canvas, y: int, margin: int, left: str, right: str, size: int = 0, *, bold: bool = False) -> int:
    """A name at the left, a sum at the right."""
    room = c.image.width - 2 * margin - c.measure(right, size, bold=bold) - 8
    c.text((margin, y), c.clip(left, room, size, bold=bold), size, bold=bold)
    c.text((c.image.width - margin, y), right, size, bold=bold, anchor="ra")
    return y + round((size or c.theme.size) * 1.25)


def _items(c: Canvas, y: int, margin: int) -> int:
    detailed = c.rng.random() < 0.4
    for name in c.words.some("goods", c.rng.randint(3, 18)):
        y = _pair(c, y, margin, name.upper() if c.rng.random() < 0.5 else name, c.words.money(40))
        if detailed:
            y = _pair(c, y, margin + 16, f"{c.rng.randint(1, 6)} x {c.words.money(20)}", "")
    return _dashes(c, y, margin)


def _sums(c: Canvas, y: int, margin: int) -> int:
    entries = c.words.table["slip"].split("|")
    large = round(c.theme.size * c.rng.uniform(1.1, 1.6))
    y = _pair(c, y, margin, entries[0], c.words.money(200, sign=True), large, bold=True) + 6
    for name in entries[1 : c.rng.randint(3, 5)]:
        y = _pair(c, y, margin, name, c.words.money(90))
    return _dashes(c, y, margin)


def _ending(c: Canvas, y: int, margin: int) -> int:
    """Thanks, card details, a bar code or a square code."""
    for text in c.words.some("thanks", c.rng.randint(1, 3)):
        y = _middle(c, y, text)
    luck = c.rng.random()
    if luck < 0.5:
        return _bar_code(c, y + 12, margin)
    if luck < 0.7:
        return _square_code(c, y + 12)
    return y


def _bar_code(c: Canvas, y: int, margin: int) -> int:
    x, bottom = margin * 2, y + c.rng.randint(44, 80)
    while x < c.image.width - margin * 2:
        width = c.rng.choice([1, 2, 3, 4])
        c.fill((x, y, x + width, bottom), c.theme.ink)
        x += width + c.rng.choice([1, 2, 3])
    return _middle(c, bottom + 4, str(c.rng.randint(10**11, 10**12)))


def _square_code(c: Canvas, y: int) -> int:
    side = c.rng.randint(110, 170)
    left, step = (c.image.width - side) // 2, max(4, side // 25)
    for dx in range(0, side, step):
        for dy in range(0, side, step):
            if c.rng.random() < 0.5:
                c.fill((left + dx, y + dy, left + dx + step, y + dy + step), c.theme.ink)
    return y + side + 8
