"""Which figures are read on a screen without a frame? Dashboards, tables, balances, bookings."""

from __future__ import annotations

from ticketbot.render import reports
from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, Colour, inset, mix
from ticketbot.render.charts import chart, tile
from ticketbot.render.clippings import common


def tableau(c: Canvas) -> None:
    """A dashboard without a frame: heading, white cards on a light ground, small letters."""
    if not c.theme.dark and c.rng.random() < 0.8:
        c.restyle(
            page=c.rng.choice([WHITE, WHITE, (250, 250, 250), (247, 248, 249), (240, 243, 246), (234, 234, 234)]),
            panel=WHITE,
        )
    c.restyle(size=max(9, round(c.image.width * c.rng.uniform(0.0065, 0.013))), radius=c.rng.choice([0, 3, 6]))
    s, width = c.theme.size, c.image.width
    c.fill(c.box, c.theme.page)
    left, top, right, bottom = inset(c.box, c.rng.randint(6, 20))
    c.text((left, top), c.words.pick("report"), s + c.rng.randint(4, 10), bold=c.rng.random() < 0.3)
    if c.rng.random() < 0.7:
        c.text((right, top + 4), f"{c.words.firm()} - {c.words.date()}", s, c.theme.muted, anchor="ra")
    top += round(s * 2.6)
    if c.rng.random() < 0.5 and bottom - top > 200:
        count, high = c.rng.randint(2, 6), c.rng.randint(50, 110)
        for i in range(count):
            x = left + (right - left) * i // count
            if c.rng.random() < 0.4:
                c.restyle(panel=mix(WHITE, c.theme.accent, c.rng.choice([0, 0.15])))
            tile(c, (x, top, x + (right - left) // count - 8, top + high))
        c.restyle(panel=c.theme.panel if c.theme.dark else WHITE)
        top += high + 8
    rows = 1 if bottom - top < 260 else c.rng.choice([1, 2, 2])
    for row in range(rows):
        high = (bottom - top) // rows
        count = 1 if width < 450 else c.rng.choice([1, 2, 2, 3, 4])
        for i in range(count):
            x, y = left + (right - left) * i // count, top + row * high
            box = (x, y, x + (right - left) // count - 8, y + high - 8)
            c.fill(box, c.theme.panel, c.theme.line if c.rng.random() < 0.5 else None, c.theme.radius)
            c.text(
                (box[0] + 8, box[1] + 5),
                c.clip(c.words.pick("report"), box[2] - box[0] - 12),
                0,
                bold=c.rng.random() < 0.6,
            )
            inner = (box[0] + 8, box[1] + 8 + round(s * 1.6), box[2] - 8, box[3] - 8)
            if min(inner[2] - inner[0], inner[3] - inner[1]) > 50:
                c.rng.choices(
                    [matrix, _treemap, _tree_of_figures, lambda c, b: chart(c, b, title=False)], weights=[4, 1, 1, 7]
                )[0](c, inner)


def matrix(c: Canvas, box: Box) -> None:
    """Names at the left, many figures, thin lines, a bold sum; often more columns than rows."""
    s = round(c.theme.size * 0.95)
    columns = max(2, min(14, (box[2] - box[0]) // c.rng.randint(55, 110)))
    first = (box[2] - box[0]) // c.rng.randint(4, 6)
    step, y = round(s * c.rng.uniform(1.5, 2.2)), box[1]
    rows = c.rng.randint(3, 25)
    bars = c.rng.randrange(columns) if c.rng.random() < 0.3 else 0
    for row in range(rows):
        if y + step > box[3]:
            break
        head, total = row == 0, row == rows - 1 or y + 2 * step > box[3]
        texts = c.words.some("column", columns) if head else [c.words.money(9e5) for _ in range(columns)]
        name = c.words.pick("column" if head else "sum" if total else "goods")
        bold = total or (head and c.rng.random() < 0.4)
        c.text((box[0], y), c.clip(name, first, s), s, bold=bold)
        for column, text in enumerate(texts, 1):
            x = box[0] + first + (box[2] - box[0] - first) * column // columns
            if column == bars and not head:
                c.fill((x - c.rng.randint(5, 50), y, x, y + step - 2), mix(c.theme.panel, c.theme.accent, 0.4))
            if head or c.rng.random() < 0.85:
                room = (box[2] - box[0] - first) // columns - 4
                c.text((x, y), c.clip(text, room, s), s, c.theme.muted if head else c.theme.ink, bold=bold, anchor="ra")
        if head or total or c.rng.random() < 0.1:
            c.rule((box[0], y + step - 2), (box[2], y + step - 2), mix(c.theme.panel, c.theme.ink, 0.4))
        y += step


def _treemap(c: Canvas, box: Box, depth: int = 4, colours: tuple[Colour, ...] = ()) -> None:
    colours = colours or tuple(
        mix(c.theme.accent, c.rng.choice([WHITE, BLACK]), c.rng.uniform(0, 0.6)) for _ in range(4)
    )
    wide, high = box[2] - box[0], box[3] - box[1]
    if depth == 0 or min(wide, high) < 24:
        c.fill(box, c.rng.choice(colours), WHITE)
        c.text((box[0] + 3, box[1] + 3), c.clip(c.words.pick("goods"), wide - 6), round(c.theme.size * 0.9), WHITE)
        return
    share = c.rng.uniform(0.3, 0.7)
    cut = box[0] + round(wide * share) if wide > high else box[1] + round(high * share)
    halves = ((*box[:2], cut, box[3]), (cut, *box[1:])) if wide > high else ((*box[:3], cut), (box[0], cut, *box[2:]))
    for half in halves:
        _treemap(c, half, depth - 1, colours)


def _tree_of_figures(c: Canvas, box: Box) -> None:
    """What a sum is made of, from left to right: names, short bars, curves between them."""
    levels = c.rng.randint(2, 5)
    before = [(box[1] + box[3]) // 2]
    for level in range(levels):
        x = box[0] + (box[2] - box[0]) * level // levels
        wide = (box[2] - box[0]) // levels // 2
        count = 1 if level == 0 else c.rng.randint(2, 8)
        now = [box[1] + (box[3] - box[1]) * (2 * i + 1) // (2 * count) for i in range(count)]
        for y in now:
            c.text((x, y - c.theme.size - 3), c.clip(c.words.pick("goods"), wide), round(c.theme.size * 0.9))
            c.fill((x, y, x + wide, y + 6), mix(c.theme.panel, c.theme.ink, 0.1))
            c.fill((x, y, x + round(wide * c.rng.uniform(0.1, 1)), y + 6), c.theme.accent)
            if level:
                c.rule((x - wide, c.rng.choice(before) + 3), (x, y + 3), mix(c.theme.panel, c.theme.accent, 0.4), 1)
        before = now


def bare_table(c: Canvas) -> None:
    """Figures with a heading and nothing around: groups, sums, a coloured head or none."""
    common.pale(c)
    c.fill(c.box, c.theme.page)
    left, top, right, bottom = inset(c.box, c.rng.randint(2, 30))
    s = c.theme.size
    if c.rng.random() < 0.8:
        middle = c.rng.random() < 0.4
        c.text(
            ((left + right) // 2 if middle else left, top),
            c.words.pick("report"),
            s + c.rng.randint(0, 10),
            bold=True,
            anchor="ma" if middle else "la",
        )
        top += round(s * 2.2)
    if c.rng.random() < 0.4:
        c.text((left, top), f"{c.words.date()} - {c.words.date()}", 0, c.theme.muted)
        top += round(s * 1.8)
    c.rng.choice([matrix, statement, _ledger, _ledger, lambda c, b: reports.printed_table(c, b)])(
        c, (left, top, right, bottom)
    )


def statement(c: Canvas, box: Box) -> None:
    """A balance: indented names at the left, figures at the right, sums underlined."""
    s, y, depth = c.theme.size, box[1], 0
    columns = c.rng.randint(1, 3)
    while y + 2 * s < box[3]:
        total = c.rng.random() < 0.2
        c.text(
            (box[0] + depth * 2 * s, y),
            c.clip(c.words.pick("sum" if total else "goods"), (box[2] - box[0]) // 2),
            0,
            bold=total,
        )
        for column in range(columns):
            x = box[2] - column * (box[2] - box[0]) // 6
            c.text((x, y), c.words.money(90_000), 0, bold=total, anchor="ra")
            if total:
                c.rule((x - 5 * s, y - 2), (x, y - 2), c.theme.ink)
        depth = max(0, min(3, depth + c.rng.choice([-1, 0, 0, 1])))
        y += round(s * c.rng.choice([1.5, 1.5, 2.2]))


def _ledger(c: Canvas, box: Box) -> None:
    """Bookings under their account: date, text, a sum at the right, often a link; coloured subtotals."""
    s, y = c.theme.size, box[1]
    columns = c.rng.randint(3, 6)
    edges = [box[0] + (box[2] - box[0]) * i // columns for i in range(columns + 1)]
    link: Colour = c.rng.choice([c.theme.ink, (190, 20, 20), (0, 0, 200)])
    band = c.rng.choice([(255, 255, 60), mix(c.theme.page, c.theme.accent, 0.3), c.theme.page, (255, 250, 190)])
    stripe = c.rng.choice([c.theme.page, c.theme.page, mix(c.theme.page, c.theme.accent, 0.1), (250, 245, 205)])
    dark = sum(c.theme.page) < 380
    row, every, step = 0, c.rng.randint(4, 9), round(s * c.rng.uniform(1.3, 1.9))
    while y + step < box[3]:
        head, total = row == 0, row % every == every - 1
        if total or row % 2:
            c.fill((box[0], y, box[2], y + step), stripe if row % 2 and not total else band)
        ink = c.theme.ink if not dark or not total else BLACK
        makers = [c.words.date, lambda: c.words.pick("goods"), c.words.person, lambda: c.words.pick("nav")]
        texts = c.words.some("column", columns) if head else [makers[i % 4]() for i in range(columns)]
        if total:
            texts = [c.words.pick("sum"), *([""] * (columns - 1))]
        for column, text in enumerate(texts[:-1]):
            c.text(
                (edges[column] + 3, y + step // 2),
                c.clip(text, edges[column + 1] - edges[column] - 6),
                0,
                ink,
                bold=head or total,
                anchor="lm",
            )
        text = texts[-1] if head else c.words.money(9000, sign=True)
        colour = ink if head or total else link
        c.text((box[2] - 3, y + step // 2), text, 0, colour, bold=head or total, anchor="rm")
        if colour != ink:
            c.rule((box[2] - c.measure(text) - 3, y + step // 2 + s // 2), (box[2] - 3, y + step // 2 + s // 2), colour)
        y += step
        row += 1
