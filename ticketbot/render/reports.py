"""What does a report look like? Printed pages, invoices, tables, single charts, dashboards: the class `reports`."""

from __future__ import annotations

from collections.abc import Callable

from ticketbot.render import widgets as w
from ticketbot.render.canvas import WHITE, Box, Canvas, Colour, inset, mix
from ticketbot.render.charts import chart, tile
from ticketbot.render.fonts import pick_face
from ticketbot.render.windows import browser, program, url


def draw_report(c: Canvas) -> None:
    """Fills the canvas with a report of one of the kinds below."""
    if not c.theme.dark and c.rng.random() < 0.4:
        c.restyle(page=WHITE)  # paper is white more often than windows are
    kinds: list[Callable[[Canvas], None]]
    if c.image.height > c.image.width:
        kinds = [_sheet, _invoice, _viewer, _dashboard]
        weights = [5, 4, 1, 1]
    else:
        kinds = [_dashboard, _wide_table, _viewer, _chart_alone]
        weights = [9, 8, 7, 5]
    c.rng.choices(kinds, weights=weights)[0](c)
    if c.rng.random() < 0.05:
        c.draw.rectangle(inset(c.box, c.image.width // 4, c.image.height // 3), outline=w.RED, width=4)


def printed_table(c: Canvas, box: Box, *, columns: int = 0, rows: int = 99) -> int:
    """A table as printed: heading, right-aligned figures, sums; returns the y below it."""
    t = c.theme
    columns = columns or max(3, min(9, (box[2] - box[0]) // c.rng.randint(60, 110)))
    first = round((box[2] - box[0]) * c.rng.uniform(0.2, 0.34))
    width = (box[2] - box[0] - first) // max(1, columns - 1)
    step, size = round(t.size * c.rng.uniform(1.35, 1.8)), round(t.size * 0.95)
    edges = [box[0], *(box[0] + first + width * i for i in range(columns))]
    head: Colour = c.rng.choice([t.accent, mix(t.accent, WHITE, 0.6), mix(t.page, t.ink, 0.15), t.page])
    ruled, striped, y = c.rng.random() < 0.45, c.rng.random() < 0.45, box[1]
    stripe, group = mix(t.page, head, 0.2), c.rng.choice([0, 4, 5, 7])
    c.fill((box[0], y, edges[-1], y + step), head)
    _cells(c, edges, y, step, size, c.words.some("column", columns), WHITE if sum(head) < 330 else t.ink, bold=True)
    y += step
    for row in range(rows):
        if y + 2 * step > box[3]:
            break
        total = bool(group) and row % group == group - 1
        if striped and row % 2:
            c.fill((box[0], y, edges[-1], y + step), stripe)
        names = [c.words.pick("sum" if total else "goods"), *(c.words.money(9000) for _ in range(columns - 1))]
        _cells(c, edges, y, step, size, names, t.ink, bold=total)
        if ruled or total:
            c.rule((box[0], y), (edges[-1], y), t.muted)
        y += step
    c.rule((box[0], y), (edges[-1], y), t.ink, 2)
    _cells(c, edges, y, step, size, [c.words.pick("sum"), *(c.words.money(9e4) for _ in edges[2:])], t.ink, bold=True)
    if ruled:
        for x in edges:
            c.rule((x, box[1]), (x, y + step), t.muted)
    return y + step


def _cells(
    c: Canvas, edges: list[int], y: int, step: int, size: int, texts: list[str], ink: Colour, *, bold: bool
) -> None:
    """One row: the first cell to the left, the others to the right."""
    middle = y + step // 2
    for column, (text, right) in enumerate(zip(texts, edges[1:], strict=False)):
        clipped = c.clip(text, right - edges[column] - 6, size, bold=bold)
        at = (edges[0] + 4, middle) if column == 0 else (right - 4, middle)
        c.text(at, clipped, size, ink, bold=bold, anchor="lm" if column == 0 else "rm")


def _paper(c: Canvas) -> None:
    """Ink on paper: no dark themes, often letters with serifs."""
    if c.theme.dark:
        c.restyle(page=WHITE, panel=(245, 245, 245), ink=(25, 25, 25), muted=(110, 110, 110), line=(200, 200, 200),
                  field=WHITE, dark=False)  # fmt: skip
    c.restyle(face=pick_face(c.rng, c.rng.choice(["sans", "sans", "serif"])))


def sheet(c: Canvas, box: Box) -> None:
    """A printed page: heading, title, text, tables, a chart, the page number."""
    c.fill(box, c.theme.page)
    margin = round((box[2] - box[0]) * c.rng.uniform(0.05, 0.12))
    left, top, right, bottom = inset(box, margin, round(margin * 0.8))
    if c.rng.random() < 0.5:
        c.text((left, top), c.words.firm(), c.theme.size, c.theme.accent, bold=True)
        c.text((right, top), c.words.date(), 0, c.theme.muted, anchor="ra")
        c.rule((left, top + 22), (right, top + 22), c.theme.accent, 2)
        top += 34
    middle = c.rng.random() < 0.5
    at, anchor = (((left + right) // 2, top), "ma") if middle else ((left, top), "la")
    c.text(at, c.words.pick("report"), c.theme.size * 2, bold=True, anchor=anchor)
    top += c.theme.size * 3
    told = False  # whether a figure is on the page yet: a page of text alone is a letter, not a report
    while top + 140 < bottom:
        kind = c.rng.choices(["table", "chart", "text"], weights=[5, 2, 2 if told else 0])[0]
        told = True
        if kind == "table":
            top = printed_table(c, (left, top, right, bottom - 20), rows=c.rng.randint(5, 22)) + 16
        elif kind == "chart":
            height = min(bottom - 20 - top, c.rng.randint(180, 320))
            chart(c, (left, top, right, top + height))
            top += height + 14
        else:
            top = w.paragraph(c, (left, top, right, bottom - 30), c.rng.randint(25, 70)) + 12
    c.text(((left + right) // 2, bottom), c.words.number(40), 0, c.theme.muted, anchor="md")


def _sheet(c: Canvas) -> None:
    _paper(c)
    sheet(c, c.box)


def _invoice(c: Canvas) -> None:
    """An A4 invoice: sender, receiver, numbers, positions, the sum, terms."""
    _paper(c)
    c.fill(c.box, c.theme.page)
    margin = round(c.image.width * 0.08)
    left, top, right, bottom = inset(c.box, margin)
    c.fill((left, top, left + 54, top + 54), c.theme.accent, None, c.theme.radius)
    c.text((left + 66, top + 10), c.words.firm(), c.theme.size * 2, bold=True)
    c.text(
        (right, top), c.words.table["report"].split("|")[5], c.theme.size * 2, c.theme.accent, bold=True, anchor="ra"
    )
    for row in range(4):
        c.text((right, top + 50 + row * round(c.theme.size * 1.5)), f"{c.words.pick('column')}: {c.words.date()}", 0,
               c.theme.muted, anchor="ra")  # fmt: skip
    y = top + 96
    for line in (c.words.person(), f"{c.words.pick('street')} {c.words.number(99)}", c.words.number(99_999)):
        c.text((left, y), line)
        y += round(c.theme.size * 1.5)
    y = printed_table(c, (left, y + 40, right, bottom - 140), columns=c.rng.randint(4, 6), rows=c.rng.randint(3, 16))
    for row in range(3):
        y += round(c.theme.size * 1.7)
        c.text((right - 150, y), c.words.pick("sum"), bold=row == 2, anchor="ra")
        c.text((right - 6, y), c.words.money(9000, sign=True), bold=row == 2, anchor="ra")
    w.paragraph(c, (left, y + 50, right, bottom), 24, 0, c.theme.muted)
    c.rule((left, bottom - 4), (right, bottom - 4), c.theme.accent, 3)


def _wide_table(c: Canvas) -> None:
    """A table over the whole picture, as exported to the screen: title, periods, groups, sums."""
    if c.rng.random() < 0.35:
        inside = browser(c, c.box, address=url(c), title=c.words.pick("report"))
        c.fill(inside, c.theme.page)
    else:
        inside = c.box
    left, top, right, bottom = inset(inside, c.rng.randint(8, 40))
    c.text((left, top), c.words.pick("report"), round(c.theme.size * c.rng.uniform(1.4, 2.2)), bold=True)
    c.text((right, top), c.words.date(), 0, c.theme.muted, anchor="ra")
    top += round(c.theme.size * 2.8)
    if c.rng.random() < 0.3:
        width = (right - left) // 4
        for i in range(4):
            tile(c, (left + i * width, top, left + (i + 1) * width - 10, top + 74))
        top += 88
    top = printed_table(c, (left, top, right, bottom))
    if bottom - top > 160:
        printed_table(c, (left, top + 20, right, bottom))


def _viewer(c: Canvas) -> None:
    """A report in the program that shows it: tool bar, grey surround, the page."""
    _paper(c)
    inside = program(c, c.box, title=c.words.pick("report"))
    c.fill(inside, c.rng.choice([(130, 130, 130), (200, 204, 210), c.theme.panel, (70, 74, 80)]))
    width = inside[2] - inside[0]
    gap = round(width * c.rng.uniform(0.02, 0.2))
    page = (inside[0] + gap, inside[1] + c.rng.randint(0, 20), inside[2] - gap, inside[3])
    sheet(c, page)


def _chart_alone(c: Canvas) -> None:
    c.restyle(size=round(c.theme.size * c.rng.uniform(1.0, 1.5)))
    chart(c, inset(c.box, c.rng.randint(10, 40)))
    if c.rng.random() < 0.3:
        c.draw.rectangle((0, 0, c.image.width - 1, c.image.height - 1), outline=c.theme.muted)


def _dashboard(c: Canvas) -> None:
    """Tiles in a row, charts in a grid, a table: in a browser or by itself."""
    box = c.box
    if c.rng.random() < 0.4:
        box = browser(c, box, address=url(c, "dashboard"), title=c.words.pick("report"))
    c.fill(box, c.rng.choice([c.theme.page, c.theme.panel]))
    left, top, right, bottom = inset(box, 14)
    c.text((left, top), c.words.pick("report"), c.theme.size + 7, bold=c.rng.random() < 0.6)
    top += round(c.theme.size * 2.4)
    if c.rng.random() < 0.65:
        count = c.rng.randint(3, 5)
        width, height = (right - left) // count, c.rng.randint(70, 120)
        for i in range(count):
            tile(c, (left + i * width, top, left + (i + 1) * width - 10, top + height))
        top += height + 12
    columns = 1 if right - left < 420 else c.rng.choice([2, 2, 3])
    rows = 1 if bottom - top < 330 else 2
    width, height = (right - left) // columns, (bottom - top) // rows
    for row in range(rows):
        for column in range(columns):
            corner = (left + column * width, top + row * height)
            _panel(c, (*corner, corner[0] + width - 12, corner[1] + height - 12), table=row == rows - 1)


def _panel(c: Canvas, box: Box, *, table: bool) -> None:
    c.fill(box, c.theme.page, c.theme.line, c.theme.radius)
    if table and c.rng.random() < 0.3:
        printed_table(c, inset(box, 8))
    else:
        chart(c, inset(box, 10), title=c.rng.random() < 0.8)
