"""What do clippings of all classes share? Pale grounds, a web site around something, a red frame drawn on top."""

from __future__ import annotations

from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, hue, inset, mix
from ticketbot.render.windows import browser, url


def mark(c: Canvas) -> None:
    """A red frame drawn around what matters."""
    width, height = round(c.image.width * c.rng.uniform(0.15, 0.5)), round(c.image.height * c.rng.uniform(0.05, 0.2))
    x, y = c.rng.randint(0, c.image.width - width), c.rng.randint(0, c.image.height - height)
    c.draw.rectangle((x, y, x + width, y + height), outline=(225, 30, 30), width=c.rng.randint(1, 4))


def pale(c: Canvas) -> None:
    """Most of these are white or nearly."""
    if not c.theme.dark and c.rng.random() < 0.7:
        page = c.rng.choice([WHITE, WHITE, WHITE, (250, 250, 250), (244, 245, 247), (240, 240, 240)])
        c.restyle(page=page, panel=c.rng.choice([page, WHITE, (240, 240, 240)]), field=WHITE)


def site(c: Canvas, *, title: str) -> Box:
    """Some company's web site: a frame now and then, a coloured head, links at the left, a foot."""
    box = browser(c, c.box, address=url(c), title=title) if c.rng.random() < 0.5 else c.box
    c.fill(box, c.theme.page)
    left, top, right, bottom = box
    height = round((bottom - top) * c.rng.uniform(0.08, 0.22))
    colour = c.rng.choice([c.theme.accent, hue(c.rng, 0.5, 0.6), hue(c.rng, 0.3, 0.9), c.theme.panel])
    if c.rng.random() < 0.85:
        c.fill((left, top, right, top + height), colour)
        ink = WHITE if sum(colour) < 420 else BLACK
        c.text((left + 12, top + height // 2), c.words.firm(), max(12, height // 3), ink, bold=True, anchor="lm")
        c.text((right - 10, top + height // 2), c.words.pick("action"), 0, ink, anchor="rm")
        top += height
    if c.rng.random() < 0.4:
        row = round(c.theme.size * 1.8)
        c.fill((left, top, right, top + row), mix(colour, BLACK, 0.4))
        x = left + 10
        for name in c.words.some("nav", 5):
            x = c.text((x, top + row // 2), name, 0, WHITE, anchor="lm") + 16
        top += row
    if c.rng.random() < 0.5:
        width = (right - left) // c.rng.randint(4, 6)
        y = top + 8
        for name in c.words.some("nav", c.rng.randint(4, 10)):
            if y + c.theme.size < bottom:
                c.text((left + 8, y), c.clip(name, width - 10), 0, mix(c.theme.accent, BLACK, 0.3))
                y += round(c.theme.size * 1.7)
        left += width
    if c.rng.random() < 0.4:
        foot = round(c.theme.size * 2.5)
        c.fill((box[0], bottom - foot, right, bottom), colour)
        c.text(((left + right) // 2, bottom - foot // 2), c.words.sentence(6), round(c.theme.size * 0.8), anchor="mm")
        bottom -= foot
    return inset((left, top, right, bottom), 14, 12)
