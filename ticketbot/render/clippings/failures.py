"""How does it look when something small broke? Message boxes, a site's own page, a card, a red line in a form."""

from __future__ import annotations

from ticketbot.render import errors, screens
from ticketbot.render import widgets as w
from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, Colour, hue, inset, mix
from ticketbot.render.clippings import common, forms
from ticketbot.render.windows import browser, dialog, program, title_bar, url

_ILLUSTRATION = [(205, 208, 212), (190, 195, 200), (220, 222, 226)]


def _cause(c: Canvas) -> str:
    return c.rng.choice(
        [
            f"{c.words.pick('why')}.",
            f"{c.words.pick('why')}. {c.words.pick('help')}.",
            f"{c.words.fault()}: {c.words.pick('why')}",
            f"{c.words.pick('oops')}. {c.words.pick('help')}.",
        ]
    )


def failed_dialog(c: Canvas) -> None:
    """A message box cut out: small sign, a line or three, a button."""
    common.pale(c)
    edge = c.rng.choice([0, 0, 0, 5, 14])
    c.fill(c.box, c.rng.choice([WHITE, hue(c.rng, 0.3, 0.8)]))
    _message_box(c, inset(c.box, edge))


def _message_box(c: Canvas, box: Box) -> None:
    s = c.theme.size
    left, top, right, bottom = dialog(c, box, title=c.rng.choice([c.words.firm(), c.words.pick("oops"), ""]))
    sign = c.rng.random() < 0.8
    radius = max(9, min(24, (bottom - top) // 6))
    x = left + 2 * radius + 14 if sign else left
    if sign:
        w.error_icon(c, (left + radius, top + radius + 4), radius)
    floor = w.buttons_row(
        c, right, bottom, c.words.some("retry", c.rng.choice([1, 1, 1, 2])), primary=c.rng.choice([0, 9])
    )
    y = top
    if c.rng.random() < 0.4:
        y = (
            c.wrap(
                (x, y),
                c.words.pick("oops"),
                right - x,
                s + c.rng.randint(0, 4),
                c.rng.choice([c.theme.ink, (0, 51, 153)]),
                bottom=floor,
            )
            + 4
        )
    for _ in range(c.rng.randint(1, 3)):
        y = c.wrap((x, y), _cause(c), right - x, 0, bottom=floor - 4) + round(s * 0.5)
    if floor - y > s * 5 and c.rng.random() < 0.4:
        errors.trace_lines(c, (left, y, right, floor - 6), c.theme.field, w.ink_on(c, c.theme.field))


def failed_over(c: Canvas) -> None:
    """The message box over the form or the list in which it came up."""
    common.pale(c)
    c.rng.choice([screens.background, forms.options, forms.register, forms.site_form])(c)
    if c.rng.random() < 0.3:
        w.shade(c, 0.3)
    width, height = c.image.size
    wide = max(min(width - 10, 230), round(width * c.rng.uniform(0.4, 0.75)))
    high = max(min(height - 10, 110), round(wide * c.rng.uniform(0.3, 0.55)))
    x, y = c.rng.randint(0, max(0, width - wide - 6)), c.rng.randint(0, max(0, height - high - 6))
    _message_box(c, (x, y, min(width - 2, x + wide), min(height - 2, y + high)))


def failed_page(c: Canvas) -> None:
    """A site's own page for what is missing, forbidden or broken: heading, a sentence or two, a few links."""
    common.pale(c)
    left, top, right, bottom = common.site(c, title=c.words.pick("oops"))
    s, red = c.theme.size, (190, 20, 20)
    if c.rng.random() < 0.4:
        c.fill((left, top, right, bottom), WHITE, c.theme.line)
        left, top, right, bottom = inset((left, top, right, bottom), 12)
    ink = c.rng.choice([BLACK, c.theme.accent, red]) if not c.theme.dark else WHITE
    y = (
        c.wrap(
            (left, top + 6),
            c.words.pick("oops"),
            right - left,
            s + c.rng.randint(2, 10),
            ink,
            bold=c.rng.random() < 0.7,
            bottom=bottom,
        )
        + s // 2
    )
    for _ in range(c.rng.randint(1, 3)):
        y = (
            c.wrap((left, y), _cause(c), right - left, 0, c.rng.choice([c.theme.ink, c.theme.ink, red]), bottom=bottom)
            + s
        )
    for _ in range(c.rng.randint(0, 4)):
        if y + s < bottom:
            c.fill((left + 8, y + s // 3, left + 13, y + s // 3 + 5), c.theme.ink)
            c.text(
                (left + 22, y), c.clip(c.words.pick("help"), right - left - 22), 0, c.rng.choice([c.theme.ink, w.BLUE])
            )
            y += round(s * 1.7)


def browser_page(c: Canvas) -> None:
    """What the browser itself says: no such page, no connection, a certificate nobody trusts."""
    c.restyle(page=WHITE, ink=BLACK, field=WHITE, dark=False, panel=(240, 240, 240), muted=(110, 110, 110))
    inside = browser(c, c.box, address=url(c), title=c.words.pick("oops")) if c.rng.random() < 0.7 else c.box
    c.fill(inside, c.rng.choice([WHITE, WHITE, (247, 247, 247)]))
    left, top, right, bottom = inset(inside, c.rng.randint(10, 50), c.rng.randint(10, 30))
    s = c.theme.size
    radius = c.rng.randint(8, 18)
    w.error_icon(c, (left + radius, top + radius), radius)
    x = left + 2 * radius + 10
    colour = c.rng.choice([BLACK, (70, 115, 160), (180, 30, 30)])
    y = c.wrap((x, top), c.words.pick("oops"), right - x, s + c.rng.randint(1, 9), colour, bottom=bottom) + 4
    c.rule((x, y), (right, y))
    y += s // 2
    for _ in range(c.rng.randint(2, 5)):
        y = c.wrap((x, y), _cause(c), right - x, 0, c.theme.ink, bottom=bottom, bold=c.rng.random() < 0.15) + s // 2
    for _ in range(c.rng.randint(0, 4)):
        if y + s < bottom:
            w.avatar(c, (x + 6, y + s // 2), 5, c.rng.choice([w.RED, (40, 150, 60), w.BLUE]))
            c.text((x + 18, y), c.clip(c.words.pick("help"), right - x - 20), 0, w.BLUE)
            y += round(s * 1.8)


def failed_card(c: Canvas) -> None:
    """White, a grey drawing, "something went wrong", retry; or only the words, bold, and a link."""
    common.pale(c)
    c.fill(c.box, c.theme.page)
    s = c.theme.size
    left, top, right, bottom = inset(c.box, c.rng.randint(14, 40), c.rng.randint(12, 40))
    middle = (left + right) // 2
    if c.rng.random() < 0.55:
        side = min(right - left, bottom - top) // 3
        _drawing(c, (middle - side // 2, top, middle + side // 2, top + side))
        y = top + side + s
        for line, size, ink in (
            (c.words.pick("oops"), s + 3, c.theme.ink),
            (c.words.pick("why"), s, c.theme.muted),
            (c.words.pick("help"), s, c.theme.muted),
        ):
            c.text((middle, y), c.clip(line, right - left, size), size, ink, anchor="ma")
            y += round(size * 1.6)
        half = c.measure(c.words.pick("retry")) // 2 + 30
        if y + 2 * s < bottom:
            w.button(
                c, (middle - half, y, middle + half, y + 2 * s), c.words.pick("retry"), primary=c.rng.random() < 0.4
            )
        c.text(
            (middle, y + 3 * s),
            f"ID: {c.rng.getrandbits(64):x}-{c.rng.getrandbits(48):x}",
            s - 3,
            c.theme.muted,
            anchor="ma",
        )
        return
    if c.rng.random() < 0.4:
        ring = c.rng.choice([(0, 120, 130), w.RED, c.theme.accent])
        radius = s // 2 + c.rng.randint(2, 7)
        c.draw.ellipse((left, top, left + 2 * radius, top + 2 * radius), outline=ring, width=2)
        c.text((left + radius, top + radius), c.rng.choice("!ix"), radius + 4, ring, anchor="mm")
        top += 2 * radius + s // 2
    y = c.wrap((left, top), c.words.pick("oops"), right - left, s + c.rng.randint(4, 12), bold=c.rng.random() < 0.7) + s
    for _ in range(c.rng.randint(1, 3)):
        y = c.wrap((left, y), _cause(c), right - left, s + 1, bottom=bottom - 2 * s) + s
    if y + s < bottom - 2 * s:
        c.text((left, y), c.clip(c.words.pick("help"), right - left), 0, w.BLUE)
    w.buttons_row(c, right, bottom, [c.words.pick("retry")])


def _drawing(c: Canvas, box: Box) -> None:
    """Grey shapes: a cloud, a paper plane, a broken cup."""
    for _ in range(c.rng.randint(2, 5)):
        x, y = c.rng.randint(box[0], box[2]), c.rng.randint(box[1], box[3])
        r = max(6, (box[2] - box[0]) // c.rng.randint(3, 6))
        if c.rng.random() < 0.5:
            c.draw.ellipse((x - r, y - r, x + r, y + r), fill=c.rng.choice(_ILLUSTRATION))
        else:
            points = [(x + c.rng.randint(-2 * r, 2 * r), y + c.rng.randint(-2 * r, 2 * r)) for _ in range(3)]
            c.draw.polygon(points, fill=c.rng.choice(_ILLUSTRATION))


def failed_form(c: Canvas) -> None:
    """A form or a page with a red line or a red box: not saved, not signed in."""
    common.pale(c)
    c.rng.choice([forms.card, forms.site_form, forms.options])(c)
    s, (width, height) = c.theme.size, c.image.size
    y = round(height * c.rng.uniform(0.12, 0.5))
    ink: Colour = c.rng.choice([(200, 20, 20), (220, 0, 0), (170, 30, 30)])
    if c.rng.random() < 0.5:
        ground = c.rng.choice([(253, 232, 232), (255, 244, 206), (250, 220, 220)])
        high = round(s * c.rng.uniform(2.4, 5))
        c.fill((8, y, width - 8, y + high), ground, ink)
        w.error_icon(c, (8 + s + 4, y + min(high // 2, 18)), min(11, s))
        c.wrap((s * 2 + 20, y + 6), _cause(c), width - s * 2 - 36, 0, c.rng.choice([ink, BLACK]), bottom=y + high)
    else:
        c.fill((8, y - 3, width - 8, y + round(s * 3.4)), c.theme.page)
        c.wrap(
            (16, y),
            _cause(c),
            width - 30,
            s + c.rng.randint(0, 5),
            ink,
            bold=c.rng.random() < 0.4,
            bottom=y + round(s * 3.2),
        )


def code_stopped(c: Canvas) -> None:
    """An editor with the exception that stopped the program, and what is known of it."""
    s, mono = c.theme.size, c.theme.mono
    dark = c.rng.random() < 0.4
    ground: Colour = (30, 30, 30) if dark else WHITE
    c.fill(c.box, ground)
    width, height = c.image.size
    plain = (212, 212, 212) if dark else BLACK
    y = 4
    while y < height:
        indent = c.rng.randint(0, 4) * s * 2
        ink = c.rng.choice([plain, plain, (86, 156, 214) if dark else (0, 0, 255), (43, 145, 175), (163, 21, 21)])
        text = f"{c.words.code_name()} {c.words.code_name().lower()} = {c.words.code_name()}.{c.words.code_name()}();"
        if c.rng.random() < 0.85:
            c.text((14 + indent, y), c.rng.choice([text, text[: c.rng.randint(5, 30)], "{", "}"]), 0, ink, face=mono)
        y += round(s * 1.4)
    wide, high = round(width * c.rng.uniform(0.5, 0.9)), round(height * c.rng.uniform(0.3, 0.7))
    x, y = c.rng.randint(0, width - wide), c.rng.randint(round(height * 0.08), max(round(height * 0.08), height - high))
    c.fill((0, y - round(s * 1.5), min(width, x + wide // 2), y - 2), c.rng.choice([(255, 238, 98), (255, 120, 120)]))
    c.text((14, y - round(s * 1.4)), f"{c.words.code_name()}.{c.words.code_name()}();", 0, BLACK, face=mono)
    c.restyle(page=WHITE, panel=(246, 246, 246), ink=BLACK, dark=False, field=WHITE, line=(200, 200, 200))
    c.fill((x, y, x + wide, y + high), WHITE, (120, 120, 120))
    bar = round(s * 2)
    c.fill(
        (x, y, x + wide, y + bar), c.rng.choice([(255, 230, 170), (246, 246, 246), (253, 220, 220)]), (160, 160, 160)
    )
    w.error_icon(c, (x + bar // 2 + 3, y + bar // 2), bar // 3)
    c.text((x + bar + 8, y + bar // 2), c.clip(f"{c.words.fault()}", wide - bar - 10), 0, BLACK, bold=True, anchor="lm")
    below = c.wrap((x + 10, y + bar + 6), _cause(c), wide - 20, 0, BLACK, bottom=y + high)
    errors.trace_lines(c, (x + 8, below + 6, x + wide - 8, y + high - 6), WHITE, c.rng.choice([BLACK, (90, 90, 90)]))


def exception_table(c: Canvas) -> None:
    """A log entry or a mail from the server: names at the left, values and the trace at the right."""
    common.pale(c)
    box = program(c, c.box, title=c.words.pick("oops")) if c.rng.random() < 0.5 else c.box
    c.fill(box, c.theme.page)
    left, top, right, bottom = inset(box, 10)
    s = c.theme.size
    y = c.wrap((left, top), c.words.pick("oops"), right - left, s + c.rng.randint(4, 10), bold=True) + 6
    edge = left + (right - left) // c.rng.randint(4, 6)
    while y + 2 * s < bottom:
        high = round(s * c.rng.choice([1.8, 1.8, 3.2]))
        c.fill((left, y, edge, y + high), c.theme.panel, c.theme.line)
        c.fill((edge, y, right, y + high), c.theme.page, c.theme.line)
        c.text((edge - 5, y + 4), c.clip(f"{c.words.pick('field')}:", edge - left - 6), 0, bold=True, anchor="ra")
        c.wrap(
            (edge + 6, y + 4),
            c.rng.choice([_cause(c), c.words.fault(), c.words.date()]),
            right - edge - 10,
            0,
            bottom=y + high,
        )
        y += high
        if c.rng.random() < 0.25:
            break
    errors.trace_lines(c, (edge, y, right, bottom), c.theme.page, c.theme.ink)


def log(c: Canvas) -> None:
    """A console or log, no frame: most lines tell of work, those at the end of what went wrong."""
    ground: Colour = c.rng.choice([(12, 12, 12), (1, 36, 86), (48, 10, 36), (30, 30, 30), WHITE, WHITE])
    c.fill(c.box, ground)
    plain = mix(WHITE if sum(ground) < 380 else BLACK, ground, 0.2)
    red: Colour = c.rng.choice([(240, 80, 70), (220, 40, 40), plain])
    s = c.theme.size
    top = title_bar(c, c.box, c.rng.choice(["PowerShell", "bash", "Output"]), "flat") if c.rng.random() < 0.4 else 0
    y, begins = top + 6, round(c.image.height * c.rng.uniform(0.1, 0.6))
    while y + s < c.image.height:
        if y < begins:
            text, ink = f"{c.words.date()} INFO {c.words.code_name()} {c.words.sentence(4)}", plain
        else:
            text, ink = (
                c.rng.choice([c.words.trace_line(), c.words.trace_line(), f"ERROR {c.words.fault()}: {_cause(c)}"]),
                red,
            )
        c.text((8, y), text, 0, ink, face=c.theme.mono)
        y += round(s * 1.4)
