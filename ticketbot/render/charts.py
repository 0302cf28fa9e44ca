"""Which chart shows it? Bars, lines, areas, pies, rings, gauges and tiles, each drawn into a box."""

from __future__ import annotations

import math
from collections.abc import Callable

from ticketbot.render.canvas import WHITE, Box, Canvas, Colour, hue, inset, mix


def chart(c: Canvas, box: Box, *, title: bool = True) -> None:
    """A chart of any kind, with its title above and most often a legend."""
    left, top, right, bottom = box
    if title:
        name = c.clip(c.words.pick("report"), right - left)
        c.text(((left + right) // 2, top + 2), name, round(c.theme.size * 1.15), bold=True, anchor="ma")
        top += round(c.theme.size * 1.9)
    colours = palette(c)
    if c.rng.random() < 0.6 and right - left > 260:
        names = c.words.some("goods", len(colours))
        for row, (colour, label) in enumerate(zip(colours, names, strict=True)):
            y = top + 16 + row * round(c.theme.size * 1.6)
            if y + 12 > bottom:
                break
            c.fill((right - 92, y, right - 80, y + 12), colour)
            c.text((right - 74, y), c.clip(label, 72), round(c.theme.size * 0.9))
        right -= 100
    kinds: list[Callable[[Canvas, Box, list[Colour]], None]] = [_columns, _bars, _lines, _area, _pie]
    c.rng.choices(kinds, weights=[5, 3, 2, 2, 3])[0](c, (left, top, right, bottom), colours)


def palette(c: Canvas) -> list[Colour]:
    """Three to six colours that go together."""
    count = c.rng.randint(3, 6)
    if c.rng.random() < 0.4:
        return [mix(c.theme.accent, c.rng.choice([WHITE, c.theme.ink]), i / (count + 1)) for i in range(count)]
    return [hue(c.rng, c.rng.uniform(0.4, 0.8), c.rng.uniform(0.55, 0.95)) for _ in range(count)]


def _axes(c: Canvas, box: Box) -> Box:
    """Grid lines, numbers at the left, months below; returns the box for the marks."""
    size = round(c.theme.size * 0.85)
    left, top, right, bottom = box[0] + size * 3, box[1] + 6, box[2] - 6, box[3] - size * 2
    lines, unit = c.rng.randint(3, 7), c.rng.choice([10, 20, 50, 500, 2000])
    for i in range(lines + 1):
        y = bottom - (bottom - top) * i // lines
        c.rule((left, y), (right, y), c.theme.line)
        c.text((left - 5, y), str(i * unit), size, c.theme.muted, anchor="rm")
    c.rule((left, top), (left, bottom), c.theme.muted)
    c.rule((left, bottom), (right, bottom), c.theme.muted, 2)
    months = c.words.table["month"].split("|")
    count = max(2, min(12, (right - left) // 44))
    for i in range(count):
        x = left + (right - left) * (2 * i + 1) // (2 * count)
        c.text((x, bottom + 5), months[i], size, c.theme.muted, anchor="ma")
    return (left, top, right, bottom)


def _columns(c: Canvas, box: Box, colours: list[Colour]) -> None:
    left, top, right, bottom = _axes(c, box)
    groups = c.rng.randint(3, 12)
    stacked, width = c.rng.random() < 0.4, (right - left) / groups
    series = colours[: c.rng.randint(1, 3)]
    for group in range(groups):
        start, base = left + group * width + width * 0.12, bottom
        for position, colour in enumerate(series):
            height = round((bottom - top) * c.rng.uniform(0.1, 0.95) / (len(series) if stacked else 1))
            if stacked:
                c.fill((round(start), base - height, round(start + width * 0.76), base), colour)
                base -= height
            else:
                bar = width * 0.76 / len(series)
                x = start + bar * position
                c.fill((round(x), bottom - height, round(x + bar), bottom), colour)


def _bars(c: Canvas, box: Box, colours: list[Colour]) -> None:
    """Lying bars with names at the left, most often sorted."""
    rows = max(3, min(12, (box[3] - box[1]) // c.rng.randint(22, 40)))
    step = (box[3] - box[1]) // rows
    start = box[0] + min(110, (box[2] - box[0]) // 3)
    lengths = sorted((c.rng.uniform(0.05, 1.0) for _ in range(rows)), reverse=True)
    for row, length in enumerate(lengths):
        y = box[1] + row * step
        name = c.clip(c.words.person(), start - box[0] - 6)
        c.text((start - 5, y + step // 2), name, round(c.theme.size * 0.9), anchor="rm")
        end = start + round((box[2] - start - 8) * length)
        c.fill(
            (start, y + step // 6, end, y + step * 5 // 6), colours[0] if len(colours) < 5 else c.rng.choice(colours)
        )
    c.rule((start, box[1]), (start, box[3]), c.theme.muted)


def _walk(c: Canvas, box: Box, points: int) -> list[tuple[int, int]]:
    level, path = c.rng.uniform(0.2, 0.8), []
    for i in range(points):
        level = min(0.97, max(0.03, level + c.rng.uniform(-0.2, 0.22)))
        path.append((box[0] + (box[2] - box[0]) * i // (points - 1), round(box[3] - (box[3] - box[1]) * level)))
    return path


def _lines(c: Canvas, box: Box, colours: list[Colour]) -> None:
    plot = _axes(c, box)
    width = max(2, (box[2] - box[0]) // c.rng.randint(110, 220))
    for colour in colours[: c.rng.randint(1, 4)]:
        path = _walk(c, plot, c.rng.randint(5, 24))
        c.draw.line(path, fill=colour, width=width, joint="curve")
        if len(path) < 12:
            for x, y in path:
                c.draw.ellipse((x - width * 2, y - width * 2, x + width * 2, y + width * 2), fill=colour)


def _area(c: Canvas, box: Box, colours: list[Colour]) -> None:
    plot = _axes(c, box)
    for depth, colour in enumerate(colours[:3]):
        lower = (plot[0], plot[1] + (plot[3] - plot[1]) * depth // 4, plot[2], plot[3])
        path = _walk(c, lower, c.rng.randint(6, 14))
        c.draw.polygon([(plot[0], plot[3]), *path, (plot[2], plot[3])], fill=colour)


def _pie(c: Canvas, box: Box, colours: list[Colour]) -> None:
    radius = min(box[2] - box[0], box[3] - box[1]) // 2 - 14
    if radius < 12:
        return
    x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    ring, angle = c.rng.random() < 0.4, float(c.rng.randrange(360))
    shares = [c.rng.uniform(0.3, 1.0) for _ in range(c.rng.randint(3, 9))]
    for i, share in enumerate(shares):
        end = angle + 360 * share / sum(shares)
        colour = colours[i % len(colours)]
        c.draw.pieslice((x - radius, y - radius, x + radius, y + radius), angle, end, fill=colour, outline=c.theme.page)
        turn = math.radians((angle + end) / 2)
        at = (round(x + (radius + 12) * math.cos(turn)), round(y + (radius + 12) * math.sin(turn)))
        c.text(at, f"{100 * share / sum(shares):.0f}%", round(c.theme.size * 0.8), anchor="mm")
        angle = end
    if ring:
        inner = radius * 3 // 5
        c.draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=c.theme.page)


def tile(c: Canvas, box: Box) -> None:
    """One large number with its name, as dashboards have in a row."""
    c.fill(box, c.theme.panel, c.theme.line, c.theme.radius)
    inside = inset(box, 10)
    c.text(inside[:2], c.clip(c.words.pick("report"), inside[2] - inside[0]), round(c.theme.size * 0.9), c.theme.muted)
    number = c.rng.choice([f"{c.rng.uniform(1, 99):.2f}%", f"{c.rng.uniform(1, 9):.2f}K", c.words.number(9000)])
    size = min(round((box[3] - box[1]) * 0.42), (box[2] - box[0]) // 5)
    c.text(((box[0] + box[2]) // 2, (box[1] + box[3]) // 2 + 8), number, size, c.theme.accent, bold=True, anchor="mm")
