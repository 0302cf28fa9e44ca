"""What do people cut out of a program that works? Option windows, cards that ask one thing, lists to work in."""

from __future__ import annotations

from ticketbot.render import widgets as w
from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, hue, inset, mix
from ticketbot.render.clippings import common
from ticketbot.render.windows import dialog, program


def options(c: Canvas) -> None:
    """A window of settings cut out: tabs, a list with its buttons, ticks, choices, OK and Cancel."""
    common.pale(c)
    edge = c.rng.choice([0, 0, 0, 6])
    c.fill(c.box, c.rng.choice([WHITE, hue(c.rng, 0.3, 0.8)]))
    s = c.theme.size
    left, top, right, bottom = dialog(c, inset(c.box, edge), title=c.words.pick("title"))
    if c.rng.random() < 0.65:
        w.tab_bar(c, (left, top - 4, right, top + round(s * 1.7)))
        top += round(s * 2.4)
    floor = w.buttons_row(c, right, bottom, c.words.some("ok", c.rng.randint(1, 4)), primary=c.rng.choice([0, 9])) - 6
    while top + 3 * s < floor:
        top = (
            c.rng.choices([_list_box, _ticks, _inputs, _told], weights=[3, 4, 4, 2])[0](c, (left, top, right, floor))
            + s // 2
        )


def _list_box(c: Canvas, box: Box) -> int:
    left, top, right, bottom = box
    s = c.theme.size
    c.text((left, top), f"{c.clip(c.words.pick('field'), right - left)}:")
    top += round(s * 1.5)
    floor = min(bottom - 2 * s, top + s * c.rng.randint(4, 9))
    if floor - top < 2 * s:
        return top
    c.fill((left, top, right, floor), c.theme.field, c.theme.muted)
    ink, y, chosen = w.ink_on(c, c.theme.field), top + 3, c.rng.randrange(4)
    for row in range(c.rng.randint(1, 9)):
        if y + s + 2 > floor:
            break
        if row == chosen:
            c.fill((left + 1, y, right - 1, y + round(s * 1.4)), c.theme.accent)
        c.text(
            (left + 5, y),
            c.clip(c.rng.choice([c.words.person(), c.words.pick("nav"), c.words.firm()]), right - left),
            0,
            WHITE if row == chosen else ink,
        )
        y += round(s * 1.45)
    if c.rng.random() < 0.6:
        labels = [f"{name}..." for name in c.words.some("action", c.rng.randint(2, 4))]
        w.buttons_row(c, right, floor + 4 + round(s * 1.9), labels, primary=9)
        return floor + round(s * 2.4)
    return floor


def _ticks(c: Canvas, box: Box) -> int:
    y, s, kind = box[1], c.theme.size, c.rng.choice(["box", "box", "radio", "switch"])
    if c.rng.random() < 0.5:
        c.text((box[0], y), c.clip(c.words.pick("tab"), box[2] - box[0]), 0, bold=c.rng.random() < 0.4)
        c.rule((box[0] + c.measure("Advanced settings"), y + s // 2), (box[2], y + s // 2))
        y += round(s * 1.7)
    for row in range(c.rng.randint(1, 6)):
        if y + s < box[3]:
            w.check(
                c,
                (box[0] + 8, y),
                c.clip(c.words.pick("option"), box[2] - box[0] - 40),
                on=row == 0 or c.rng.random() < 0.3,
                kind=kind,
            )
            y += round(s * 1.7)
    return y


def _inputs(c: Canvas, box: Box) -> int:
    y, s, stacked = box[1], c.theme.size, c.rng.random() < 0.5
    wide = box[2] - box[0]
    for _ in range(c.rng.randint(1, 4)):
        high = round(s * (3.1 if stacked else 1.8))
        if y + high > box[3]:
            break
        value = c.rng.choice([c.words.person(), c.words.firm(), c.words.date(), "", c.words.number()])
        if stacked:
            w.field(
                c,
                (box[0], y, box[0] + round(wide * c.rng.uniform(0.5, 1)), y + high),
                c.words.pick("field"),
                value,
                select=c.rng.random() < 0.4,
            )
        else:
            w.side_field(c, (box[0], y, box[2], y + high), c.words.pick("field"), value, round(wide * 0.35))
        y += high + s // 2
    return y


def _told(c: Canvas, box: Box) -> int:
    """A sentence that explains; grey or with a link."""
    y = w.paragraph(c, box, c.rng.randint(6, 25), 0, c.rng.choice([c.theme.ink, c.theme.muted]))
    if c.rng.random() < 0.3 and y + c.theme.size < box[3]:
        c.text((box[0], y), c.clip(c.words.sentence(3), box[2] - box[0]), 0, w.BLUE)
        y += round(c.theme.size * 1.5)
    return y


def card(c: Canvas) -> None:
    """A page that asks for one thing: sign in, stay signed in, choose, allow, welcome."""
    common.pale(c)
    c.fill(c.box, c.theme.page)
    s = c.theme.size
    left, top, right, bottom = inset(c.box, c.rng.randint(14, 40), c.rng.randint(10, 36))
    if c.rng.random() < 0.2:
        c.fill(
            (0, 0, c.image.width, c.image.height // c.rng.randint(2, 5)), c.rng.choice([c.theme.accent, (70, 70, 70)])
        )
        c.text((left, top), c.clip(c.words.pick("title"), right - left, s + 6), s + 6, WHITE)
        top = max(top + 2 * s, c.image.height // 3)
    if c.rng.random() < 0.4:
        w.avatar(c, (left + 14, top + 14), 14, hue(c.rng))
        c.text((left + 36, top + 14), c.words.firm(), s + 3, c.theme.muted, anchor="lm")
        top += 38
    top = (
        c.wrap(
            (left, top),
            c.rng.choice([c.words.pick("title"), c.words.pick("question")]),
            right - left,
            s + c.rng.randint(3, 10),
            c.rng.choice([c.theme.ink, c.theme.ink, c.theme.accent]),
            bold=c.rng.random() < 0.4,
        )
        + s // 2
    )
    floor = bottom
    if c.rng.random() < 0.8:
        labels = c.words.some("ok", c.rng.randint(1, 2))
        where = right if c.rng.random() < 0.6 else left + 160
        floor = w.buttons_row(c, min(right, where), bottom, labels) - 6
    if c.rng.random() < 0.5:
        top = _told(c, (left, top, right, floor)) + s
    while top + 2 * s < floor:
        top = c.rng.choice([_ticks, _inputs])(c, (left, top, right, floor)) + s
        if c.rng.random() < 0.2:
            break


def site_form(c: Canvas) -> None:
    """A site's ordinary page: a text, a form or a list."""
    common.pale(c)
    left, top, right, bottom = common.site(c, title=c.words.pick("title"))
    s = c.theme.size
    top = (
        c.wrap((left, top), c.words.pick("title"), right - left, s + c.rng.randint(2, 10), bold=c.rng.random() < 0.6)
        + s // 2
    )
    if c.rng.random() < 0.3 and bottom - top > 5 * s:
        w.list_view(c, (left, top, right, bottom))
        return
    while top + 3 * s < bottom:
        top = c.rng.choice([_told, _ticks, _inputs])(c, (left, top, right, bottom)) + s


def register(c: Canvas) -> None:
    """A list to work in: coloured rows, an entry open for typing; a tree of accounts."""
    if c.rng.random() < 0.5:
        common.pale(c)
    s = c.theme.size
    inside = program(c, c.box, title=f"{c.words.pick('title')} - {c.words.firm()}")
    left, top, right, bottom = inside
    c.fill(inside, c.theme.page)
    if c.rng.random() < 0.4:
        w.tab_bar(c, (left, top, right, top + round(s * 1.8)))
        top += round(s * 2)
    tints = c.rng.choice(
        [[(190, 215, 180), (250, 245, 200)], [WHITE, (235, 240, 250)], [c.theme.field], [WHITE, (240, 240, 240)]]
    )
    columns = max(3, min(8, (right - left) // c.rng.randint(70, 120)))
    name = max(1, columns // 2)
    edges = [left + (right - left) * i // columns for i in range(columns + 1)]
    step = round(s * c.rng.uniform(1.3, 1.9))
    head = c.rng.choice([c.theme.panel, (150, 185, 140), (225, 225, 225)])
    c.fill((left, top, right, top + step), head)
    for edge, title in zip(edges, c.words.some("field", columns), strict=False):
        c.text(
            (edge + 4, top + step // 2),
            c.clip(title, edges[1] - left - 6),
            0,
            BLACK if sum(head) > 380 else WHITE,
            anchor="lm",
        )
    y, depth, open_row = top + step, 0, c.rng.randrange(12)
    branches = c.rng.random() < 0.35
    for row in range(c.rng.randint(3, 40)):
        if y + step > bottom:
            break
        tint = (
            tints[row % len(tints)]
            if row != open_row
            else c.rng.choice([(255, 235, 130), mix(WHITE, c.theme.accent, 0.4)])
        )
        c.fill((left, y, right, y + step), tint)
        ink = BLACK if sum(tint) > 380 else WHITE
        for column, edge in enumerate(edges[:-1]):
            if column >= name and c.rng.random() < 0.6:
                c.text((edges[column + 1] - 4, y + step // 2), c.words.money(5000), 0, ink, anchor="rm")
            elif column < name:
                text = c.rng.choice([c.words.date(), c.words.pick("goods"), c.words.pick("nav"), c.words.person()])
                x = edge + 4 + (depth * 14 if branches and column == 0 else 0)
                if branches and column == 0:
                    c.draw.polygon([(x, y + 4), (x + 7, y + step // 2), (x, y + step - 4)], fill=c.theme.muted)
                    x += 12
                c.text((x, y + step // 2), c.clip(text, edges[column + 1] - x - 4), 0, ink, anchor="lm")
        if c.rng.random() < 0.8:
            c.rule((left, y + step), (right, y + step), mix(tint, BLACK, 0.15))
        depth = max(0, min(3, depth + c.rng.choice([-1, 0, 1])))
        y += step
    for edge in edges[1:-1]:
        c.rule((edge, top), (edge, y), mix(c.theme.page, BLACK, 0.2))
