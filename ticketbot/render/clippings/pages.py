"""Which pages of reports are cut out? Documents with one table, key figures, the page inside its viewer."""

from __future__ import annotations

from PIL import Image

from ticketbot.render import reports
from ticketbot.render import widgets as w
from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, hue, inset, mix
from ticketbot.render.charts import chart
from ticketbot.render.clippings import common, figures
from ticketbot.render.fonts import pick_face
from ticketbot.render.windows import browser, url

PAPER = {
    "page": WHITE,
    "panel": WHITE,
    "ink": (20, 20, 20),
    "dark": False,
    "muted": (90, 90, 90),
    "line": (190, 190, 190),
}


def viewer(c: Canvas) -> None:
    """A report in its viewer: one row of signs, "1 / 12", the page below with groups far apart."""
    common.pale(c)
    framed = c.rng.random() < 0.35
    inside = browser(c, c.box, address=url(c), title=c.words.pick("report")) if framed else c.box
    left, top, right, bottom = inside
    row = c.rng.randint(26, 44)
    c.fill((left, top, right, top + row), c.rng.choice([c.theme.panel, WHITE, (215, 228, 242), (60, 60, 60)]))
    x, middle = left + 10, top + row // 2
    ink = c.rng.choice([c.theme.muted, c.theme.accent, (90, 90, 90)])
    while x < right - 40 and c.rng.random() < 0.93:
        w.glyph(c, (x, middle - 6, x + 12, middle + 6), ink)
        x += c.rng.choice([22, 22, 30, 60])
    c.fill((x, middle - 9, x + 28, middle + 9), WHITE, c.theme.line)
    c.text((x + 5, middle), c.words.number(9), 0, BLACK, anchor="lm")
    c.text((x + 34, middle), f"/ {c.words.number(40)}", 0, ink, anchor="lm")
    c.rule((left, top + row), (right, top + row))
    page = (left, top + row + 1, right, bottom)
    if c.rng.random() < 0.4:
        c.fill(page, c.rng.choice([(225, 225, 225), (128, 128, 128), (60, 60, 60)]))
        page = inset(page, (right - left) // c.rng.randint(8, 30), 8)
    c.restyle(page=WHITE, ink=BLACK, dark=False, muted=(110, 110, 110), line=(190, 190, 190), panel=WHITE)
    c.fill(page, WHITE)
    c.rng.choice([_groups, _groups, reports.sheet, _catalogue])(c, page)


def _groups(c: Canvas, page: Box) -> None:
    """Bands of colour, names and figures far apart, subtotals."""
    left, top, right, bottom = inset(page, c.rng.randint(10, 40), 12)
    s = c.theme.size
    if c.rng.random() < 0.6:
        high = s * c.rng.randint(2, 4)
        ground = c.rng.choice([c.theme.accent, WHITE, mix(c.theme.accent, BLACK, 0.4)])
        c.fill((left, top, right, top + high), ground)
        c.text(
            ((left + right) // 2, top + high // 2),
            c.words.pick("report"),
            s + c.rng.randint(2, 8),
            WHITE if sum(ground) < 420 else BLACK,
            bold=True,
            anchor="mm",
        )
        top += high + s
    ground = c.rng.choice([WHITE, WHITE, mix(WHITE, c.theme.accent, 0.2), mix(c.theme.accent, WHITE, 0.2)])
    columns = c.rng.randint(2, 5)
    ruled, step = c.rng.random() < 0.4, round(s * c.rng.uniform(1.5, 3))
    row, every = 0, c.rng.randint(3, 7)
    while top + step < bottom:
        begins, total = row % every == 0, row % every == every - 1
        c.fill((left, top, right, top + step), ground)
        if total:
            band = c.rng.choice([(230, 80, 80), (90, 230, 140), mix(WHITE, c.theme.accent, 0.4), WHITE])
            c.fill((left + (right - left) * (columns - 1) // columns, top, right, top + step), band)
        for column in range(columns):
            x = left + (right - left) * column // columns + 5
            if (column == 0) == begins or column == columns - 1:
                words = (
                    c.words.pick("sum")
                    if total
                    else c.rng.choice([c.words.pick("goods"), c.words.person(), c.words.money()])
                )
                c.text(
                    (x, top + step // 2),
                    c.clip(words, (right - left) // columns - 8),
                    0,
                    BLACK if sum(ground) > 380 else WHITE,
                    bold=begins or total,
                    anchor="lm",
                )
        if ruled:
            c.draw.rectangle((left, top, right, top + step), outline=BLACK)
        top += step
        row += 1


def _catalogue(c: Canvas, page: Box) -> None:
    """Goods with a picture, facts and a small table each."""
    left, top, right, bottom = inset(page, c.rng.randint(10, 30), 10)
    s = c.theme.size
    c.text((left, top), c.words.pick("report"), s + 6, c.theme.accent, bold=True)
    top += round(s * 2.4)
    high = c.rng.randint(70, 130)
    while top + high < bottom:
        if c.rng.random() < 0.5:
            c.fill((left, top, right, top + high - 6), mix(WHITE, c.theme.accent, 0.25))
        side = high - 20
        spot = (right - side - 8, top + 6, right - 8, top + 6 + side)
        small = Image.new("RGB", (3, 3))
        for i in range(9):
            small.putpixel((i % 3, i // 3), hue(c.rng, 0.5, c.rng.uniform(0.2, 0.9)))
        c.image.paste(small.resize((side, side), Image.Resampling.BICUBIC), spot[:2])
        for line in range(3):
            c.text((left + 8, top + 6 + line * round(s * 1.6)), f"{c.words.pick('column')}:", 0, bold=True)
            c.text(
                (left + 8 + 9 * s, top + 6 + line * round(s * 1.6)),
                c.rng.choice([c.words.pick("goods"), c.words.money(sign=True)]),
            )
        top += high


def document(c: Canvas) -> None:
    """A page of a long report: small letters, one table or chart; now and then a table turned round."""
    c.restyle(
        **PAPER,
        size=max(8, round(c.image.width * c.rng.uniform(0.0125, 0.019))),
        face=pick_face(c.rng, c.rng.choice(["serif", "serif", "sans"])),
    )
    c.fill(c.box, WHITE)
    s, (width, height) = c.theme.size, c.image.size
    if c.rng.random() < 0.12:
        _turned_table(c)
        return
    margin = round(width * c.rng.uniform(0.08, 0.16))
    left, top, right, bottom = inset(c.box, margin, c.rng.randint(40, 110))
    columns = c.rng.choice([1, 1, 1, 2])
    if c.rng.random() < 0.15:
        c.fill((0, 0, margin // 2, height), c.theme.accent)
    figure = c.rng.choice(["table", "table", "table", "chart", "charts"])
    for column in range(columns):
        x0 = left + (right - left) * column // columns
        x1 = left + (right - left) * (column + 1) // columns - (12 if columns == 2 else 0)
        y, shown = top, False
        if c.rng.random() < 0.4:
            y = c.wrap((x0, y), c.words.sentence(5), x1 - x0, s + c.rng.randint(0, 6), bold=True) + s
        while y + 4 * s < bottom:
            if not shown and (c.rng.random() < 0.4 or y > bottom - 22 * s):
                y = _figure(c, (x0, y, x1, min(bottom, y + s * c.rng.randint(10, 30))), figure) + 2 * s
                shown = True
            elif c.rng.random() < 0.25 and y + 8 * s < bottom:
                for number in range(c.rng.randint(2, 4)):
                    c.text((x0 + s, y), f"{number + 1}.")
                    y = (
                        c.wrap((x0 + 3 * s, y), c.words.sentence(c.rng.randint(10, 30)), x1 - x0 - 3 * s, bottom=bottom)
                        + s // 2
                    )
            else:
                y = c.wrap((x0, y), c.words.sentence(c.rng.randint(30, 110)) + ".", x1 - x0, bottom=bottom) + s
            if shown and c.rng.random() < 0.12:
                break
    c.text((width // 2, height - 30), c.words.number(90), 0, anchor="mm")


def _figure(c: Canvas, box: Box, kind: str) -> int:
    s = c.theme.size
    c.text(
        ((box[0] + box[2]) // 2, box[1]),
        c.clip(f"{c.words.pick('report')} {c.words.number(9)}", box[2] - box[0]),
        0,
        bold=True,
        anchor="ma",
    )
    inner = (box[0], box[1] + 2 * s, box[2], box[3])
    if kind == "table":
        return reports.printed_table(c, inner, columns=c.rng.randint(2, 7), rows=c.rng.randint(2, 14))
    count = 1 if kind == "chart" else 2
    for i in range(count):
        x = inner[0] + (inner[2] - inner[0]) * i // count
        chart(c, (x, inner[1], x + (inner[2] - inner[0]) // count - 8, inner[3]), title=c.rng.random() < 0.4)
    return inner[3]


def _turned_table(c: Canvas) -> None:
    """A wide table printed on an upright page."""
    width, height = c.image.size
    sheet = Canvas((height, width), c.rng, c.theme)
    sheet.fill(sheet.box, WHITE)
    reports.printed_table(sheet, inset(sheet.box, height // 7, width // 5), columns=c.rng.randint(6, 12))
    c.image.paste(sheet.image.rotate(90, expand=True), (0, 0))


def key_figures(c: Canvas) -> None:
    """A page of a fund's report: heading, names and figures far apart, much white."""
    c.restyle(
        **PAPER,
        size=max(8, round(c.image.width * c.rng.uniform(0.013, 0.02))),
    )
    c.fill(c.box, WHITE)
    left, top, right, bottom = inset(c.box, c.image.width // c.rng.randint(7, 14), c.rng.randint(30, 110))
    c.text((left, top), c.words.pick("report"), c.theme.size + 6, c.rng.choice([BLACK, c.theme.accent]), bold=True)
    floor = bottom if c.rng.random() < 0.6 else (top + bottom) // 2
    c.rng.choice([figures.statement, figures.matrix])(c, (left, top + 3 * c.theme.size, right, floor))
