"""What are windows made of? Buttons, fields, lists, menus, trees: each draws itself into a box."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, Colour, mix

RED: Colour = (205, 38, 38)
AMBER: Colour = (250, 190, 30)
BLUE: Colour = (40, 110, 210)


def button(c: Canvas, box: Box, label: str, *, primary: bool = False) -> None:
    t = c.theme
    fill, ink = (t.accent, WHITE) if primary else (mix(t.panel, t.ink, 0.08), t.ink)
    c.fill(box, fill, None if primary else t.line, t.radius)
    middle = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    c.text(middle, c.clip(label, box[2] - box[0] - 6), t.size, ink, anchor="mm")


def buttons_row(c: Canvas, right: int, bottom: int, labels: Sequence[str], *, primary: int = 0) -> int:
    """Buttons from `right` to the left, standing on `bottom`; returns their top."""
    height = round(c.theme.size * 1.9)
    for position, label in reversed(list(enumerate(labels))):
        width = max(c.measure(label) + 24, 70)
        button(c, (right - width, bottom - height, right, bottom), label, primary=position == primary)
        right -= width + 8
    return bottom - height


def field(c: Canvas, box: Box, label: str, value: str = "", *, select: bool = False) -> None:
    """A label above and an input below it, filling the box."""
    t = c.theme
    c.text((box[0], box[1]), c.clip(label, box[2] - box[0]), round(t.size * 0.9), t.muted)
    entry = (box[0], box[1] + round(t.size * 1.3), box[2], box[3])
    c.fill(entry, t.field, t.line, t.radius)
    middle = (entry[1] + entry[3]) // 2
    c.text((entry[0] + 6, middle), c.clip(value, entry[2] - entry[0] - 24), t.size, ink_on(c, t.field), anchor="lm")
    if select:
        x = entry[2] - 12
        c.draw.polygon([(x - 4, middle - 2), (x + 4, middle - 2), (x, middle + 4)], fill=t.muted)


def ink_on(c: Canvas, ground: Colour) -> Colour:
    """Ink that can be read on `ground`."""
    return c.theme.ink if (sum(ground) > 380) != (sum(c.theme.ink) > 380) else (BLACK if sum(ground) > 380 else WHITE)


def side_field(c: Canvas, box: Box, label: str, value: str, label_width: int) -> None:
    """A label left of its input, as desktop programs have it."""
    middle = (box[1] + box[3]) // 2
    c.text((box[0], middle), c.clip(label, label_width - 6), anchor="lm")
    entry = (box[0] + label_width, box[1], box[2], box[3])
    c.fill(entry, c.theme.field, c.theme.line)
    c.text((entry[0] + 5, middle), c.clip(value, entry[2] - entry[0] - 8), 0, ink_on(c, c.theme.field), anchor="lm")


def check(c: Canvas, at: tuple[int, int], label: str, *, on: bool, kind: str = "box") -> None:
    """A checkbox, radio button or switch (`kind`: box, radio, switch) with its label."""
    t, (x, y), s = c.theme, at, c.theme.size
    mark = t.accent if on else t.field
    if kind == "switch":
        c.fill((x, y, x + 2 * s, y + s), mark if on else t.muted, None, s // 2)
        knob = x + s if on else x
        c.draw.ellipse((knob + 2, y + 2, knob + s - 3, y + s - 3), fill=WHITE)
        x += s
    elif kind == "radio":
        c.draw.ellipse((x, y, x + s, y + s), fill=t.field, outline=t.muted)
        if on:
            c.draw.ellipse((x + 4, y + 4, x + s - 4, y + s - 4), fill=t.accent)
    else:
        c.fill((x, y, x + s, y + s), mark, t.muted)
        if on:
            c.draw.line([(x + 3, y + s // 2), (x + s // 2 - 1, y + s - 4), (x + s - 3, y + 3)], fill=WHITE, width=2)
    c.text((x + s + 8, y + s // 2), label, anchor="lm")


def avatar(c: Canvas, at: tuple[int, int], radius: int, colour: Colour) -> None:
    x, y = at
    c.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    c.text((x, y), c.words.person()[0], radius, WHITE, anchor="mm")


def glyph(c: Canvas, box: Box, colour: Colour) -> None:
    """A small picture as toolbars have: a page, a disk, a ring, an arrow, a plus, bars."""
    left, top, right, bottom = box
    kind = c.rng.randrange(6)
    if kind == 0:
        c.fill((left + 2, top, right - 2, bottom), WHITE, colour)
    elif kind == 1:
        c.fill(box, colour, None, 2)
        c.fill((left + 3, top + 2, right - 3, top + (bottom - top) // 2), WHITE)
    elif kind == 2:
        c.draw.ellipse((left, top, right - 1, bottom - 1), outline=colour, width=2)
    elif kind == 3:
        c.draw.polygon([(left, bottom), ((left + right) // 2, top), (right, bottom)], fill=colour)
    elif kind == 4:
        middle_x, middle_y = (left + right) // 2, (top + bottom) // 2
        c.rule((left, middle_y), (right, middle_y), colour, 2)
        c.rule((middle_x, top), (middle_x, bottom), colour, 2)
    else:
        for y in range(top, bottom, 5):
            c.rule((left, y), (right, y), colour, 2)


def menu_bar(c: Canvas, box: Box) -> None:
    c.fill(box, c.theme.panel)
    x, middle = box[0] + 8, (box[1] + box[3]) // 2
    for name in c.words.some("menu", c.rng.randint(4, 8)):
        x = c.text((x, middle), name, anchor="lm") + 14
        if x > box[2] - 60:
            break


def tool_bar(c: Canvas, box: Box, *, labels: bool) -> None:
    """A row of icons, with their names when `labels`."""
    t = c.theme
    c.fill(box, t.panel)
    c.rule((box[0], box[3] - 1), (box[2], box[3] - 1))
    x, side = box[0] + 8, max(10, min(26, box[3] - box[1] - 10))
    top = (box[1] + box[3] - side) // 2
    while x < box[2] - 90:
        colour = c.rng.choice([t.accent, t.muted, t.ink, mix(t.accent, RED, 0.4)])
        glyph(c, (x, top, x + side, top + side), colour)
        x += side + 6
        if labels:
            x = c.text((x, top + side // 2), c.words.pick("action"), anchor="lm") + 16
        elif c.rng.random() < 0.2:
            c.rule((x + 2, top), (x + 2, top + side))
            x += 10
        if c.rng.random() < 0.07:
            break


def side_nav(c: Canvas, box: Box, colour: Colour) -> None:
    """The column of destinations at the left of web applications."""
    t = c.theme
    ink = WHITE if sum(colour) < 400 else BLACK
    c.fill(box, colour)
    y, step = box[1] + 12, round(t.size * c.rng.uniform(1.9, 2.8))
    chosen = c.rng.randrange(6)
    for row, name in enumerate(c.words.some("nav", 14)):
        if y + step > box[3]:
            break
        if row == chosen:
            c.fill((box[0], y, box[2], y + step), mix(colour, t.accent, 0.7))
        if box[2] - box[0] > 80:
            glyph(c, (box[0] + 10, y + step // 2 - 6, box[0] + 22, y + step // 2 + 6), mix(ink, colour, 0.3))
            c.text((box[0] + 30, y + step // 2), c.clip(name, box[2] - box[0] - 34), 0, ink, anchor="lm")
        else:
            glyph(c, (box[0] + 10, y + 6, box[2] - 10, y + 6 + box[2] - box[0] - 20), mix(ink, colour, 0.3))
        y += step


def tree(c: Canvas, box: Box) -> None:
    """Folders and their contents, indented."""
    t = c.theme
    c.fill(box, t.field, t.line)
    y, step, depth = box[1] + 6, round(t.size * 1.5), 0
    ink = ink_on(c, t.field)
    while y + step < box[3]:
        x = box[0] + 8 + depth * 16
        c.fill((x, y + 3, x + 9, y + 12), WHITE, t.muted)
        c.rule((x + 2, y + 7), (x + 7, y + 7), t.muted)
        c.fill((x + 14, y + 3, x + 26, y + 13), (240, 205, 110) if depth < 2 else WHITE, t.muted)
        c.text((x + 32, y), c.clip(c.words.pick("nav"), box[2] - x - 34), 0, ink)
        depth = max(0, min(3, depth + c.rng.choice([-1, 0, 0, 1])))
        y += step


def tab_bar(c: Canvas, box: Box) -> None:
    t, x = c.theme, box[0]
    c.rule((box[0], box[3]), (box[2], box[3]))
    for position, name in enumerate(c.words.some("tab", c.rng.randint(3, 6))):
        width = c.measure(name) + 22
        if x + width > box[2]:
            break
        tab = (x, box[1] + (0 if position == 0 else 3), x + width, box[3] + (1 if position == 0 else 0))
        c.fill(tab, t.page if position == 0 else mix(t.panel, t.ink, 0.07), t.line)
        c.text((x + width // 2, (box[1] + box[3]) // 2), name, anchor="mm")
        x += width


def list_view(c: Canvas, box: Box) -> None:
    """Rows of records with a heading, ticks, a chosen row: the list an application shows, not a printed table."""
    t = c.theme
    c.fill(box, t.field, t.line)
    columns = max(2, min(7, (box[2] - box[0]) // c.rng.randint(95, 170)))
    width = (box[2] - box[0] - 30) // columns
    step = round(t.size * c.rng.uniform(1.9, 2.9))  # a screen has more air between its rows than a printed table
    ink = ink_on(c, t.field)
    c.fill((box[0], box[1], box[2], box[1] + step), mix(t.panel, t.ink, 0.06))
    for column, name in enumerate(c.words.some("field", columns)):
        c.text((box[0] + 30 + column * width, box[1] + step // 2), c.clip(name, width - 6), 0, t.muted, anchor="lm")
    y, chosen, filled = box[1] + step, c.rng.randrange(8), c.rng.uniform(0.3, 1.0)
    for row in range(60):
        if y + step > box[1] + (box[3] - box[1]) * filled:
            break
        if row == chosen:
            c.fill((box[0] + 1, y, box[2] - 1, y + step), mix(t.field, t.accent, 0.3))
        check(c, (box[0] + 8, y + (step - t.size) // 2), "", on=row == chosen)
        for column in range(columns):
            value = c.rng.choice([c.words.person, c.words.date, c.words.firm, c.words.number])()
            c.text((box[0] + 30 + column * width, y + step // 2), c.clip(value, width - 6), 0, ink, anchor="lm")
        y += step


def error_icon(c: Canvas, centre: tuple[int, int], radius: int) -> None:
    """The sign of an error dialog: red disc, shield or stop sign with a cross, or a triangle with a mark."""
    kind = c.rng.choices(["disc", "stop", "triangle", "shield"], weights=[5, 2, 4, 1])[0]
    x, y = centre
    red = mix(RED, c.rng.choice([BLACK, WHITE]), c.rng.uniform(0, 0.2))
    if kind == "triangle":
        colour = c.rng.choice([AMBER, (255, 215, 0), red])
        c.draw.polygon([(x, y - radius), (x + radius, y + radius * 4 // 5), (x - radius, y + radius * 4 // 5)], colour)
        ink = WHITE if colour == red else BLACK
        c.fill((x - radius // 9 - 1, y - radius // 3, x + radius // 9 + 1, y + radius // 4), ink)
        c.fill((x - radius // 9 - 1, y + radius // 3, x + radius // 9 + 1, y + radius * 3 // 5), ink)
        return
    if kind == "disc":
        c.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=red)
    else:
        turns = [math.pi / 8 + i * math.pi / 4 for i in range(8)]
        c.draw.polygon([(x + radius * math.cos(a), y + radius * math.sin(a)) for a in turns], fill=red)
    arm, width = max(2, round(radius * 0.42)), max(2, radius // 4)
    c.rule((x - arm, y - arm), (x + arm, y + arm), WHITE, width)
    c.rule((x - arm, y + arm), (x + arm, y - arm), WHITE, width)


def question_icon(c: Canvas, centre: tuple[int, int], radius: int) -> None:
    x, y = centre
    c.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=mix(BLUE, c.theme.accent, 0.4))
    c.text(centre, c.rng.choice("?i"), round(radius * 1.4), WHITE, bold=True, anchor="mm")


def paragraph(c: Canvas, box: Box, words: int, size: int = 0, colour: Colour | None = None) -> int:
    """Filler text; returns the y below it."""
    return c.wrap(box[:2], c.words.sentence(words) + ".", box[2] - box[0], size, colour, bottom=box[3])


def shade(c: Canvas, strength: float) -> None:
    """Darkens all that is drawn so far, as pages do behind a modal dialog."""
    ground = c.image.point(lambda value: round(value * (1 - strength)))
    c.image.paste(ground)
