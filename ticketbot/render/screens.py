"""How does an application look on an ordinary day? Lists, forms, settings, mail, wizards: the class `screens`."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from ticketbot.render import widgets as w
from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, hue, inset, mix
from ticketbot.render.windows import browser, dialog, program, url


def draw_screen(c: Canvas) -> None:
    """Fills the canvas with a screen of one of the kinds below."""
    kinds: list[Callable[[Canvas], None]] = [_desktop, _web, _settings, _form_page, _modal, _mail, _wizard, _question]
    c.rng.choices(kinds, weights=[22, 24, 15, 15, 14, 8, 9, 2])[0](c)
    if c.rng.random() < 0.15:
        annotate(c)


def background(c: Canvas) -> None:
    """Some application, as what lies behind a dialog."""
    c.rng.choice([_desktop, _web, _form_page])(c)


def annotate(c: Canvas) -> None:
    """The red boxes and arrows people draw onto a screenshot before they send it."""
    red = mix(w.RED, WHITE, 0.1)
    for _ in range(c.rng.randint(1, 2)):
        width, height = c.rng.randint(90, 320), c.rng.randint(24, 120)
        x = c.rng.randint(5, max(6, c.image.width - width - 10))
        y = c.rng.randint(5, max(6, c.image.height - height - 10))
        c.draw.rectangle((x, y, x + width, y + height), outline=red, width=c.rng.randint(2, 5))
        if c.rng.random() < 0.5:
            start = (x + width // 2 + c.rng.randint(-250, 250), y + height + c.rng.randint(60, 220))
            c.rule(start, (x + width // 2, y + height), red, 4)


def _desktop(c: Canvas) -> None:
    inside = program(c, c.box, title=f"{c.words.pick('title')} - {c.words.firm()}")
    c.fill(inside, c.theme.panel)
    left, top, right, bottom = inside
    listed = c.rng.random() < 0.4
    if listed or c.rng.random() < 0.4:  # a list alone would look like a printed table
        edge = left + round((right - left) * c.rng.uniform(0.2, 0.34))
        w.tree(c, (left, top, edge, bottom))
        left = edge + 6
    if c.rng.random() < 0.4:
        w.tab_bar(c, (left + 4, top + 4, right, top + 30))
        top += 34
    if listed:
        w.list_view(c, (left, top, right, bottom))
        return
    middle = top + round((bottom - top) * c.rng.uniform(0.35, 0.6))
    _side_form(c, inset((left, top, right, middle), 10))
    w.list_view(c, (left, middle, right, bottom))


def _side_form(c: Canvas, box: Box) -> None:
    """Rows of label and input in one or two columns."""
    columns = 2 if box[2] - box[0] > 520 else 1
    width, step, y = (box[2] - box[0]) // columns, round(c.theme.size * 2.2), box[1]
    label_width = round(width * c.rng.uniform(0.28, 0.4))
    while y + step < box[3]:
        for column in range(columns):
            x = box[0] + column * width
            side = (x, y, x + width - 14, y + round(c.theme.size * 1.7))
            w.side_field(c, side, c.words.pick("field"), _value(c), label_width)
        y += step


def _value(c: Canvas) -> str:
    kinds = [c.words.person, c.words.firm, c.words.date, lambda: c.words.pick("street"), lambda: ""]
    return c.rng.choice(kinds)()


def _shell(c: Canvas) -> Box:
    """Top bar and side column of a web application; returns the box for the page."""
    box = c.box
    if c.rng.random() < 0.4:
        box = browser(c, box, address=url(c), title=c.words.pick("title"))
    c.fill(box, c.theme.page)
    left, top, right, bottom = box
    bar = c.rng.choice([c.theme.accent, (35, 35, 40), c.theme.panel, (0, 90, 158)])
    height = c.rng.randint(36, 60)
    if c.rng.random() < 0.8:
        c.fill((left, top, right, top + height), bar)
        ink = WHITE if sum(bar) < 400 else BLACK
        c.text((left + 16, top + height // 2), c.words.firm(), c.theme.size + 3, ink, bold=True, anchor="lm")
        for i in range(c.rng.randint(1, 4)):
            x = right - 24 - i * 34
            w.glyph(c, (x - 7, top + height // 2 - 7, x + 7, top + height // 2 + 7), ink)
        w.avatar(c, (right - 170, top + height // 2), height // 3, hue(c.rng))
        top += height
    if c.rng.random() < 0.8:
        width = c.rng.choice([52, 150, 190, 230])
        w.side_nav(c, (left, top, left + width, bottom), c.rng.choice([(32, 36, 44), c.theme.panel, c.theme.accent]))
        left += width
    return (left, top, right, bottom)


def _web(c: Canvas) -> None:
    left, top, right, bottom = inset(_shell(c), 18, 14)
    c.text((left, top), c.words.pick("title"), c.theme.size + c.rng.randint(4, 10), bold=c.rng.random() < 0.5)
    top += round(c.theme.size * 2.4)
    search = (left, top, left + min(260, (right - left) // 2), top + 30)
    c.fill(search, c.theme.field, c.theme.line, c.theme.radius)
    c.text((search[0] + 10, top + 15), c.words.pick("action"), 0, c.theme.muted, anchor="lm")
    labels = [c.words.pick("action") for _ in range(c.rng.randint(1, 3))]
    if right - left > 500:
        w.buttons_row(c, right, top + 30, labels, primary=0)
    top += 44
    c.rng.choices([w.list_view, _cards, _links], weights=[5, 3, 2])[0](c, (left, top, right, bottom))


def _cards(c: Canvas, box: Box) -> None:
    """Tiles with an icon, a name and a switch or a button each."""
    columns = max(1, (box[2] - box[0]) // c.rng.randint(180, 280))
    width, height = (box[2] - box[0]) // columns, c.rng.randint(80, 150)
    y = box[1]
    while y + height < box[3]:
        for column in range(columns):
            card = (box[0] + column * width, y, box[0] + (column + 1) * width - 12, y + height - 12)
            c.fill(card, c.theme.panel, c.theme.line, c.theme.radius)
            w.avatar(c, (card[0] + 26, card[1] + 28), 15, hue(c.rng))
            c.text((card[0] + 50, card[1] + 16), c.clip(c.words.person(), width - 70), bold=True)
            w.paragraph(c, (card[0] + 50, card[1] + 38, card[2] - 8, card[3] - 6), 6, c.theme.size - 2, c.theme.muted)
        y += height


def _links(c: Canvas, box: Box) -> None:
    """A page of headings with the links below them, as a start page has."""
    columns = max(2, (box[2] - box[0]) // 230)
    width = (box[2] - box[0]) // columns
    for column in range(columns):
        x, y = box[0] + column * width, box[1]
        while y + 60 < box[3]:
            c.text((x, y), c.words.pick("nav"), bold=True)
            y += round(c.theme.size * 1.7)
            for _ in range(c.rng.randint(2, 6)):
                if y + 20 < box[3]:
                    c.text((x, y), c.clip(c.words.sentence(3), width - 20), 0, mix(c.theme.accent, c.theme.ink, 0.3))
                    y += round(c.theme.size * 1.5)
            y += 14


def _form_page(c: Canvas) -> None:
    """A record or a settings page: stacked inputs, choices, and the button that saves."""
    left, top, right, bottom = inset(_shell(c) if c.rng.random() < 0.6 else c.box, 24, 18)
    right = min(right, left + c.rng.randint(420, 1100))
    c.text((left, top), c.words.pick("title"), c.theme.size + c.rng.randint(5, 12), bold=c.rng.random() < 0.6)
    form_rows(c, (left, top + round(c.theme.size * 2.6), right, bottom - 46))
    w.buttons_row(c, right if c.rng.random() < 0.5 else left + 240, bottom, c.words.some("ok", 2))


def form_rows(c: Canvas, box: Box) -> int:
    """Inputs in one to three columns with choices between them; returns the y below."""
    columns = max(1, min(c.rng.choice([1, 1, 2, 3]), (box[2] - box[0]) // 200))
    width, height, y = (box[2] - box[0]) // columns, round(c.theme.size * 3.2), box[1]
    while y + height < box[3]:
        if c.rng.random() < 0.25:
            kind = c.rng.choice(["box", "radio", "switch"])
            for row in range(c.rng.randint(1, 3)):
                if y + 24 < box[3]:
                    w.check(c, (box[0], y), c.words.pick("option"), on=row == 0, kind=kind)
                    y += round(c.theme.size * 1.9)
            continue
        for column in range(columns):
            x = box[0] + column * width
            select = c.rng.random() < 0.35
            w.field(c, (x, y, x + width - 14, y + height), c.words.pick("field"), _value(c), select=select)
        y += height + 10
    return y


def _settings(c: Canvas) -> None:
    """A settings window by itself: tabs, groups, ticks, OK and Cancel."""
    edge = c.rng.choice([0, 0, c.rng.randint(10, 60)])
    if edge:
        c.fill(c.box, hue(c.rng, 0.4, 0.5))
    left, top, right, bottom = dialog(c, inset(c.box, edge), title=c.words.pick("title"))
    if c.rng.random() < 0.7:
        w.tab_bar(c, (left, top, right, top + 28))
        top += 40
    while top + 90 < bottom - 50:
        height = c.rng.randint(90, 230)
        group = (left, top, right, min(bottom - 50, top + height))
        c.draw.rectangle((group[0], group[1] + 8, group[2], group[3]), outline=c.theme.line)
        name = c.words.pick("tab")
        c.fill((left + 10, top, left + 18 + c.measure(name), top + 16), c.theme.panel)
        c.text((left + 14, top), name)
        if c.rng.random() < 0.5:
            _side_form(c, (left + 14, top + 26, right - 14, group[3] - 4))
        else:
            form_rows(c, (left + 14, top + 24, right - 14, group[3] - 6))
        top = group[3] + 12
    w.buttons_row(c, right, bottom, c.words.some("ok", c.rng.randint(2, 3)))


def _modal(c: Canvas) -> None:
    """A form in a dialog over a darkened application."""
    background(c)
    w.shade(c, c.rng.choice([0.0, 0.3, 0.5]))
    box = dialog(c, centred(c, c.rng.uniform(0.5, 0.85), c.rng.uniform(0.55, 0.9)), title=c.words.pick("title"))
    form_rows(c, (box[0], box[1], box[2], box[3] - 44))
    w.buttons_row(c, box[2], box[3], c.words.some("ok", 2))


def centred(c: Canvas, width_share: float, height_share: float) -> Box:
    """A box in about the middle of the picture."""
    width, height = round(c.image.width * width_share), round(c.image.height * height_share)
    left = round((c.image.width - width) * c.rng.uniform(0.3, 0.7))
    top = round((c.image.height - height) * c.rng.uniform(0.25, 0.65))
    return (left, top, left + width, top + height)


def _mail(c: Canvas) -> None:
    """A mail program or a chat: people at the left, what they wrote at the right."""
    left, top, right, bottom = _shell(c)
    edge = left + (right - left) // 3
    y, step = top, c.rng.randint(54, 84)
    while y + step <= bottom:
        c.rule((left, y + step), (edge, y + step))
        w.avatar(c, (left + 28, y + step // 2), 16, hue(c.rng))
        c.text((left + 54, y + 10), c.clip(c.words.person(), edge - left - 60), bold=True)
        w.paragraph(c, (left + 54, y + 30, edge - 8, y + step), 7, c.theme.size - 2, c.theme.muted)
        y += step
    c.rule((edge, top), (edge, bottom))
    y = top + 20
    while y + 90 < bottom:
        x = edge + 16 + c.rng.choice([0, 60])
        height = c.rng.randint(60, 150)
        fill = mix(c.theme.panel, c.theme.accent, c.rng.choice([0.1, 0.25]))
        c.fill((x, y, right - 20, min(bottom - 10, y + height)), fill, None, c.theme.radius + 4)
        w.paragraph(c, (x + 14, y + 12, right - 34, min(bottom - 14, y + height - 8)), c.rng.randint(10, 40))
        y += height + 16
    if c.rng.random() < 0.4:
        _photo(c, (edge + 60, bottom - 200, edge + 300, bottom - 40))


def _photo(c: Canvas, box: Box) -> None:
    """Somebody's holiday picture: soft colours without edges."""
    small = Image.new("RGB", (4, 3))
    for x in range(4):
        for y in range(3):
            small.putpixel((x, y), hue(c.rng, 0.5, 0.7))
    c.image.paste(small.resize((max(1, box[2] - box[0]), max(1, box[3] - box[1])), Image.Resampling.BICUBIC), box[:2])


def _wizard(c: Canvas) -> None:
    """A sign-in, welcome or installation page: a large coloured part, few inputs."""
    c.fill(c.box, c.rng.choice([c.theme.accent, hue(c.rng, 0.5, 0.5), mix(c.theme.accent, BLACK, 0.5)]))
    if c.rng.random() < 0.5:
        card = centred(c, c.rng.uniform(0.4, 0.7), c.rng.uniform(0.6, 0.85))
        c.fill(card, c.theme.page, None, c.theme.radius)
        left, top, right, bottom = inset(card, 26)
    else:
        edge = round(c.image.width * c.rng.uniform(0.3, 0.45))
        c.fill((edge, 0, c.image.width, c.image.height), c.theme.page)
        w.paragraph(c, (24, 60, edge - 20, c.image.height), 12, c.theme.size + 8, WHITE)
        left, top, right, bottom = inset((edge, 0, c.image.width, c.image.height), 36)
    c.text((left, top), c.words.pick("title"), c.theme.size + 8, bold=True)
    top = w.paragraph(c, (left, top + 40, right, bottom), 14, 0, c.theme.muted)
    form_rows(c, (left, top + 14, right, bottom - 50))
    w.buttons_row(c, right, bottom, c.words.some("ok", 2))


def _question(c: Canvas) -> None:
    """A plain question with Yes and No: no error, so a screen."""
    background(c)
    box = dialog(c, centred(c, c.rng.uniform(0.5, 0.75), c.rng.uniform(0.35, 0.5)), title=c.words.pick("title"))
    w.question_icon(c, (box[0] + 30, box[1] + 34), 24)
    c.wrap((box[0] + 74, box[1] + 16), c.words.pick("question"), box[2] - box[0] - 90, c.theme.size + 1)
    w.buttons_row(c, box[2], box[3], c.words.some("ok", 2))
