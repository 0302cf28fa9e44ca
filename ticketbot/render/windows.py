"""Which window holds it? Frames of programs, browsers, dialogs and terminals; each returns the box left inside."""

from __future__ import annotations

from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, Colour, mix
from ticketbot.render.widgets import glyph, menu_bar, tool_bar

_LUNA: Colour = (10, 70, 205)
STYLES = ("luna", "aero", "flat", "flat", "mac", "gnome", "plain")


def title_bar(c: Canvas, box: Box, title: str, style: str) -> int:
    """The bar at the top of a window in the manner of a desktop; returns the y below it."""
    t = c.theme
    bottom = box[1] + round(t.size * 2.0)
    bar = (box[0], box[1], box[2], bottom)
    colours = {"luna": _LUNA, "aero": mix(t.accent, WHITE, 0.6), "mac": mix(t.panel, BLACK, 0.06), "gnome": t.panel}
    ground = colours.get(style, c.rng.choice([t.accent, t.panel, t.page]))
    ink = WHITE if sum(ground) < 400 else BLACK
    c.fill(bar, ground)
    middle = (box[1] + bottom) // 2
    if style in ("mac", "gnome"):
        c.text(((box[0] + box[2]) // 2, middle), title, 0, ink, bold=True, anchor="mm")
    else:
        glyph(c, (box[0] + 7, middle - 6, box[0] + 19, middle + 6), mix(ink, ground, 0.2))
        c.text((box[0] + 26, middle), c.clip(title, box[2] - box[0] - 120), 0, ink, bold=style == "luna", anchor="lm")
    _window_buttons(c, bar, style, ink)
    return bottom


def _window_buttons(c: Canvas, bar: Box, style: str, ink: Colour) -> None:
    middle = (bar[1] + bar[3]) // 2
    if style == "mac":
        for i, colour in enumerate([(255, 95, 87), (254, 188, 46), (40, 200, 64)]):
            c.draw.ellipse((bar[0] + 9 + i * 19, middle - 6, bar[0] + 21 + i * 19, middle + 6), fill=colour)
        return
    x = bar[2] - 17
    if style in ("luna", "aero"):
        c.fill((x - 9, middle - 9, x + 10, middle + 10), (200, 70, 50), WHITE, 2)
        ink = WHITE
    c.rule((x - 4, middle - 4), (x + 4, middle + 4), ink, 2)
    c.rule((x - 4, middle + 4), (x + 4, middle - 4), ink, 2)
    if bar[2] - bar[0] > 420 and style != "gnome":
        c.draw.rectangle((x - 34, middle - 4, x - 26, middle + 4), outline=ink)
        c.rule((x - 64, middle + 4), (x - 55, middle + 4), ink)


def program(c: Canvas, box: Box, *, title: str, style: str = "") -> Box:
    """A desktop program: title, menu, tool bar, status bar."""
    style = style or c.rng.choice(STYLES)
    y = title_bar(c, box, title, style)
    left, right, bottom = box[0], box[2], box[3]
    row = round(c.theme.size * 1.8)
    if c.rng.random() < 0.85:
        menu_bar(c, (left, y, right, y + row))
        y += row
    if c.rng.random() < 0.8:
        height = c.rng.randint(30, 58)
        tool_bar(c, (left, y, right, y + height), labels=c.rng.random() < 0.4)
        y += height
    if c.rng.random() < 0.6:
        c.fill((left, bottom - row, right, bottom), c.theme.panel, c.theme.line)
        c.text((left + 8, bottom - row // 2), c.words.pick("help"), 0, c.theme.muted, anchor="lm")
        bottom -= row
    if style == "luna":
        c.draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=_LUNA, width=3)
        return (left + 3, y, right - 3, bottom - 3)
    return (left, y, right, bottom)


def browser(c: Canvas, box: Box, *, address: str, title: str) -> Box:
    """A web browser, an old one with a tool bar or a new one with tabs."""
    if c.rng.random() < 0.4:
        return _old_browser(c, box, address, title)
    t = c.theme
    top = box[1]
    strip, row = round(t.size * 2.3), round(t.size * 2.4)
    c.fill((box[0], top, box[2], top + strip), mix(t.panel, t.ink, 0.14))
    c.fill((box[0] + 10, top + 6, box[0] + 220, top + strip), t.panel, None, 6)
    c.text((box[0] + 22, top + strip // 2 + 3), c.clip(title, 180), 0, t.ink, anchor="lm")
    top += strip
    c.fill((box[0], top, box[2], top + row), t.panel)
    for i in range(3):
        glyph(c, (box[0] + 12 + i * 26, top + row // 2 - 6, box[0] + 24 + i * 26, top + row // 2 + 6), t.muted)
    c.fill((box[0] + 92, top + 5, box[2] - 60, top + row - 5), t.field, t.line, row // 3)
    ink = BLACK if sum(t.field) > 380 else WHITE
    c.text((box[0] + 108, top + row // 2), c.clip(address, box[2] - box[0] - 190), 0, ink, anchor="lm")
    return (box[0], top + row, box[2], box[3])


def _old_browser(c: Canvas, box: Box, address: str, title: str) -> Box:
    inside = program(c, box, title=f"{title} - Internet Explorer", style=c.rng.choice(["luna", "aero"]))
    row = round(c.theme.size * 1.8)
    bar = (inside[0], inside[1], inside[2], inside[1] + row)
    c.fill(bar, c.theme.panel, c.theme.line)
    c.fill((bar[0] + 70, bar[1] + 3, bar[2] - 60, bar[3] - 3), WHITE, c.theme.line)
    c.text((bar[0] + 80, (bar[1] + bar[3]) // 2), c.clip(address, bar[2] - bar[0] - 150), 0, BLACK, anchor="lm")
    return (inside[0], bar[3], inside[2], inside[3])


def url(c: Canvas, page: str = "") -> str:
    host = f"{c.rng.choice(['www', 'intranet', 'erp', 'localhost:8080', 'portal'])}.{c.words.firm().lower()}.com"
    return f"http{c.rng.choice(['', 's'])}://{host}/{page or c.words.code_name()}/{c.rng.randint(1, 9999)}"


def dialog(c: Canvas, box: Box, *, title: str) -> Box:
    """A small window over something else: frame, shadow, title. Returns the inside."""
    t = c.theme
    for step in (6, 4, 2):
        shadow = (box[0] + step, box[1] + step, box[2] + step, box[3] + step)
        c.draw.rectangle(shadow, outline=mix(t.page, BLACK, 0.5 - step * 0.05))
    c.fill(box, t.panel, t.muted)
    style = c.rng.choice(STYLES)
    if style == "plain":
        c.text((box[0] + 22, box[1] + 18), c.clip(title, box[2] - box[0] - 70), round(t.size * 1.35), bold=True)
        x, y = box[2] - 24, box[1] + 26
        c.rule((x - 5, y - 5), (x + 5, y + 5), t.muted, 2)
        c.rule((x - 5, y + 5), (x + 5, y - 5), t.muted, 2)
        return (box[0] + 20, box[1] + 24 + round(t.size * 1.6), box[2] - 20, box[3] - 14)
    bottom = title_bar(c, (box[0] + 1, box[1] + 1, box[2] - 1, box[3]), title, style)
    return (box[0] + 16, bottom + 12, box[2] - 16, box[3] - 14)
