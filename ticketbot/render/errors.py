"""How does it look when something broke? Dialogs, server pages, stack traces, blue screens: the class `errors`."""

from __future__ import annotations

from collections.abc import Callable

from ticketbot.render import screens
from ticketbot.render import widgets as w
from ticketbot.render.canvas import BLACK, WHITE, Box, Canvas, Colour, hue, inset, mix
from ticketbot.render.fonts import pick_face
from ticketbot.render.windows import browser, dialog, title_bar, url


def draw_error(c: Canvas) -> None:
    """Fills the canvas with an error of one of the kinds below."""
    kinds: list[Callable[[Canvas], None]] = [
        _dialog_alone, _dialog_over, _yellow_page, _status_page, _went_wrong, _trace, _blue_screen, _banner, _terminal,
    ]  # fmt: skip
    c.rng.choices(kinds, weights=[20, 21, 13, 10, 10, 8, 6, 9, 6])[0](c)
    if c.rng.random() < 0.06:
        screens.annotate(c)


def _message(c: Canvas) -> str:
    tail = c.rng.choice(
        [
            f"{c.words.pick('help')}.",
            f"(0x{c.rng.getrandbits(32):08X})",
            f"{c.words.fault()}: {c.words.code_name()}",
            f"ID: {c.rng.getrandbits(64):016x}",
        ]
    )
    return f"{c.words.pick('why')}. {tail}"


def _error_dialog(c: Canvas, box: Box) -> None:
    """Icon, what happened, what to do, buttons; sometimes the trace below."""
    left, top, right, bottom = dialog(c, box, title=c.rng.choice([c.words.pick("oops"), c.words.firm()]))
    radius = max(16, min(70, (right - left) // 11, (bottom - top) // 4))
    w.error_icon(c, (left + radius + 6, top + radius + 8), radius)
    x = left + radius * 2 + 26
    y = top + 4
    if c.rng.random() < 0.55:
        y = (
            c.wrap((x, y), c.words.pick("oops"), right - x, round(c.theme.size * 1.4), bold=True, bottom=bottom - 50)
            + 6
        )
    floor = w.buttons_row(c, right, bottom, c.words.some("retry", c.rng.choice([1, 1, 2, 3])))
    y = c.wrap((x, y), _message(c), right - x, 0, bottom=floor - 8)
    y = max(y, top + radius * 2 + 14)
    if floor - y > 90 and c.rng.random() < 0.6:
        trace_lines(c, (left, y + 14, right, floor - 12), c.theme.field, w.ink_on(c, c.theme.field))
    elif floor - y > 60:
        c.wrap((x, y + 12), f"{_message(c)} {c.words.sentence(9)}", right - x, 0, c.theme.muted, bottom=floor - 8)


def trace_lines(c: Canvas, box: Box, ground: Colour, ink: Colour) -> None:
    """A frame full of a stack trace."""
    c.fill(box, ground, c.theme.line)
    size = round(c.theme.size * 0.9)
    y = box[1] + 6
    while y + size < box[3]:
        c.text((box[0] + 8, y), c.clip(c.words.trace_line(), box[2] - box[0] - 14, size, face=c.theme.mono), size, ink,
               face=c.theme.mono)  # fmt: skip
        y += round(size * 1.35)


def _dialog_alone(c: Canvas) -> None:
    # Such pictures are small cut-outs: next to the frame, the letters are large.
    c.restyle(size=round(c.theme.size * max(1.0, c.image.width / 800) * c.rng.uniform(1.1, 1.7)))
    edge = c.rng.choice([0, 0, 6, 40])
    c.fill(c.box, hue(c.rng, 0.4, 0.6) if edge else c.theme.page)
    _error_dialog(c, inset(c.box, edge))


def _dialog_over(c: Canvas) -> None:
    """The error over the program it happened in."""
    screens.background(c)
    w.shade(c, c.rng.choice([0.0, 0.0, 0.3, 0.5]))
    wide = c.rng.uniform(0.58, 0.9)
    _error_dialog(c, screens.centred(c, wide, wide * c.rng.uniform(0.55, 0.85)))


def _page(c: Canvas, ground: Colour) -> Box:
    """The inside of a browser, or the page alone."""
    box = c.box
    if c.rng.random() < 0.55:
        box = browser(c, box, address=url(c), title=c.words.pick("oops"))
    c.fill(box, ground)
    return inset(box, c.rng.randint(8, 30))


def _yellow_page(c: Canvas) -> None:
    """ASP.NET's server error, and its relatives of Java, Django and PHP."""
    c.restyle(face=pick_face(c.rng, c.rng.choice(["sans", "serif"])))
    left, top, right, bottom = _page(c, WHITE)
    red: Colour = c.rng.choice([(255, 0, 0), (128, 0, 0), (190, 20, 20), (82, 93, 118)])
    size = c.theme.size
    top = c.wrap((left, top), c.words.pick("oops"), right - left, round(size * 1.8), red)
    c.rule((left, top + 4), (right, top + 4), (120, 120, 120))
    top = c.wrap((left, top + 16), _message(c), right - left, round(size * 1.35), mix(red, BLACK, 0.4), bold=True)
    box_colour: Colour = c.rng.choices([(255, 255, 204), (238, 238, 238), (255, 235, 230)], weights=[7, 2, 1])[0]
    while top + 120 < bottom:
        name = c.text((left, top + 12), f"{c.words.pick('field')}:", 0, BLACK, bold=True)
        top = c.wrap((name + 8, top + 12), _message(c), right - name - 10, 0, BLACK, bottom=bottom)
        height = c.rng.randint(90, 330)
        trace_lines(c, (left, top + 10, right, min(bottom, top + height)), box_colour, BLACK)
        top += height + 8


def _status_page(c: Canvas) -> None:
    """404, 500, no connection: a large number or sign and a few centred lines."""
    ground = c.rng.choice([c.theme.page, c.theme.page, c.theme.panel, hue(c.rng, 0.3, 0.9)])
    left, top, right, bottom = _page(c, ground)
    ink = mix(BLACK if sum(ground) > 380 else WHITE, ground, 0.15)
    centred, middle = c.rng.random() < 0.6, (left + right) // 2
    y = top + round((bottom - top) * c.rng.uniform(0.08, 0.25))
    large = round(min(bottom - top, (right - left) * 0.8) * c.rng.uniform(0.24, 0.36))
    x, anchor = (middle, "ma") if centred else (left + 20, "la")
    if c.rng.random() < 0.65:
        c.text((x, y), c.rng.choice(["404", "500", "503", "403", "502"]), large, c.rng.choice([ink, c.theme.accent]),
               bold=True, anchor=anchor)  # fmt: skip
    else:
        w.error_icon(c, (x if centred else x + large // 2, y + large // 2), large // 2)
    y += round(large * 1.25)
    size = round(c.theme.size * c.rng.uniform(2.0, 2.8))
    c.text((x, y), c.clip(c.words.pick("oops"), right - left - 30, size), size, ink, anchor=anchor)
    y += size // 2
    for text in (c.words.pick("why"), c.words.pick("help"), f"ERR_{c.words.code_name().upper()}_{c.words.number(900)}"):
        y += round(c.theme.size * 2.2)
        c.text((x, y), c.clip(text, right - left - 30), 0, mix(ink, ground, 0.3), anchor=anchor)
    width = c.measure(c.words.table["retry"][:7]) + 50
    start = middle - width // 2 if centred else left + 20
    w.button(c, (start, y + 40, start + width, y + 76), c.words.pick("retry"), primary=True)


def _went_wrong(c: Canvas) -> None:
    """The large friendly sentence of Office, SharePoint and Exchange, with the details nobody reads."""
    left, top, right, bottom = _page(c, c.theme.page)
    colour = c.rng.choice([c.theme.accent, c.theme.ink, (0, 114, 198), (210, 71, 38)])
    y = top + round((bottom - top) * c.rng.uniform(0.03, 0.15))
    large = round((right - left) * c.rng.uniform(0.045, 0.075))
    if c.rng.random() < 0.6:
        c.text((left + 20, y), c.rng.choice([":-(", ":(", "X"]), large * 2, colour)
        y += round(large * 2.6)
    else:
        w.error_icon(c, (left + 20 + large, y + large), large)
        y += round(large * 2.5)
    y = c.wrap((left + 20, y), c.words.pick("oops"), right - left - 40, large, colour)
    y = c.wrap((left + 20, y + 10), _message(c), right - left - 60, round(c.theme.size * 1.2), bottom=bottom)
    for _ in range(c.rng.randint(0, 6)):
        if y + 30 < bottom:
            y += round(c.theme.size * 1.6)
            c.text((left + 20, y), f"{c.words.pick('field')}: {c.rng.getrandbits(48):x}", 0, c.theme.muted)


def _trace(c: Canvas) -> None:
    """A program with its error list or console full of exceptions."""
    screens.background(c)
    box = (0, round(c.image.height * c.rng.uniform(0.15, 0.4)), c.image.width, c.image.height)
    top = title_bar(c, box, c.words.pick("oops"), "flat")
    ground, ink = c.rng.choice([(WHITE, (180, 20, 20)), (WHITE, BLACK), ((30, 30, 30), (240, 110, 100))])
    c.fill((box[0], top, box[2], top + 76), c.theme.panel, c.theme.line)
    w.error_icon(c, (box[0] + 40, top + 38), 28)
    c.wrap((box[0] + 84, top + 14), _message(c), box[2] - box[0] - 110, round(c.theme.size * 1.3), bold=True,
           bottom=top + 70)  # fmt: skip
    trace_lines(c, (box[0], top + 76, box[2], box[3]), ground, ink)


def _blue_screen(c: Canvas) -> None:
    """Windows stopped: the old one in letters of a terminal, the new one with its sad face."""
    grounds = [(0, 0, 170), (0, 120, 215), (10, 60, 140), (0, 0, 128), (30, 30, 30), (140, 20, 30)]
    ground: Colour = c.rng.choices(grounds, weights=[3, 4, 3, 3, 1, 1])[0]
    c.fill(c.box, ground)
    width, height = c.image.size
    if c.rng.random() < 0.5:
        x, y, size = width // 10, height // 8, width // 44
        c.text((x, y), ":(", width // 9, WHITE)
        y = c.wrap((x, y + width // 7), f"{c.words.pick('oops')}. {c.words.pick('why')}.", width * 3 // 4, size, WHITE)
        c.text((x, y + 20), f"{c.rng.randint(0, 100)}%", size, WHITE)
        _square_code(c, (x, y + 60, x + width // 9, y + 60 + width // 9))
        c.wrap((x + width // 8, y + 64), _message(c), width // 2, max(11, size // 2), WHITE)
        return
    size = max(12, width // c.rng.randint(56, 76))
    y = height // 14
    while y + size * 3 < height:
        y = c.wrap((20, y), _message(c).upper() if c.rng.random() < 0.3 else _message(c), width - 60, size, WHITE,
                   face=c.theme.mono) + size  # fmt: skip
        c.text((20, y), f"*** STOP: 0x{c.rng.getrandbits(32):08X} (0x{c.rng.getrandbits(32):08X}, 0x00000001)", size,
               WHITE, face=c.theme.mono)  # fmt: skip
        y += size * 2


def _square_code(c: Canvas, box: Box) -> None:
    c.fill(box, WHITE)
    step = max(2, (box[2] - box[0]) // 22)
    for x in range(box[0] + step, box[2] - step, step):
        for y in range(box[1] + step, box[3] - step, step):
            if c.rng.random() < 0.5:
                c.fill((x, y, x + step, y + step), BLACK)


def _banner(c: Canvas) -> None:
    """An ordinary page with a large red box: the form was not saved."""
    screens.background(c)
    colour = c.rng.choice([(253, 231, 233), (250, 215, 215), (200, 40, 40), (255, 244, 206)])
    box = screens.centred(c, c.rng.uniform(0.7, 0.98), c.rng.uniform(0.28, 0.45))
    ink = WHITE if sum(colour) < 400 else (150, 20, 25)
    c.fill(box, colour, mix(w.RED, BLACK, 0.2), c.theme.radius, 2)
    radius = min(40, (box[3] - box[1]) // 4)
    w.error_icon(c, (box[0] + radius + 20, box[1] + radius + 18), radius)
    x = box[0] + radius * 2 + 40
    y = c.wrap((x, box[1] + 14), c.words.pick("oops"), box[2] - x - 10, round(c.theme.size * 1.5), ink, bold=True)
    while y + 20 < box[3] - 8:
        below = c.wrap((x, y + 4), _message(c), box[2] - x - 14, round(c.theme.size * 1.1), ink, bottom=box[3] - 10)
        if below <= y + 4:
            break
        y = below


def _terminal(c: Canvas) -> None:
    """A console in which a command failed."""
    ground: Colour = c.rng.choice([(12, 12, 12), (1, 36, 86), (48, 10, 36), (250, 250, 250)])
    red: Colour = c.rng.choice([(240, 80, 70), (255, 60, 60), (220, 40, 40)])
    plain = mix(WHITE if sum(ground) < 380 else BLACK, ground, 0.2)
    top = title_bar(c, c.box, c.rng.choice(["PowerShell", "bash", "Command Prompt"]), c.rng.choice(["flat", "mac"]))
    c.fill((0, top, c.image.width, c.image.height), ground)
    size = max(12, c.image.width // c.rng.randint(60, 85))
    y = top + 8
    prompt = c.rng.choice(["PS C:\\>", "$", "C:\\Users\\admin>"])
    while y + size * 2 < c.image.height:
        c.text((8, y), f"{prompt} {c.words.code_name().lower()} --{c.words.code_name().lower()}", size, plain,
               face=c.theme.mono)  # fmt: skip
        y = c.wrap((8, y + round(size * 1.4)), f"{c.words.fault()}: {_message(c)}", c.image.width - 40, size, red,
                   face=c.theme.mono, bottom=c.image.height)  # fmt: skip
        for _ in range(c.rng.randint(2, 9)):
            c.text((8, y), c.words.trace_line(), size, red, face=c.theme.mono)
            y += round(size * 1.4)
