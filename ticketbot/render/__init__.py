"""Pictures like those people attach to tickets, drawn on demand: errors, reports, screens, tickets.

Everything comes from the given dice: the same dice and the same fonts give the same picture. The classes differ in what
stands where; colours, themes, sizes and languages they share, so that a model has to look at the content.
"""

from __future__ import annotations

import random

from PIL import Image

from ticketbot.render import clippings, lens
from ticketbot.render.canvas import Canvas, pick_size
from ticketbot.render.errors import draw_error
from ticketbot.render.reports import draw_report
from ticketbot.render.screens import draw_screen
from ticketbot.render.tickets import ticket_picture

CATEGORIES = ("errors", "reports", "screens", "tickets")
_DRAWN = {"errors": draw_error, "reports": draw_report, "screens": draw_screen}
_PORTRAIT_SHARE = {"errors": 0.2, "reports": 0.4, "screens": 0.25}
_DARK_SHARE = {"errors": 0.2, "reports": 0.1, "screens": 0.2}
_CLIPPING_DARK_SHARE = 0.15
CLIPPED = tuple(_DRAWN)


def render(category: str, rng: random.Random) -> Image.Image:
    """An RGB picture of the category, 600 to 1400 px wide. Raises KeyError for an unknown category."""
    if category == "tickets":
        picture = ticket_picture(rng)
    else:
        canvas = Canvas(pick_size(rng, _PORTRAIT_SHARE[category]), rng, dark_share=_DARK_SHARE[category])
        _DRAWN[category](canvas)
        picture = canvas.image
    return lens.handle(picture, rng, category)


def render_jpeg(category: str, rng: random.Random) -> bytes:
    """The same as JPEG bytes."""
    return lens.jpeg(render(category, rng), rng)


def clipping(category: str, rng: random.Random) -> Image.Image:
    """What people cut out of a screen, 300 to 1280 px wide. Raises KeyError for tickets: those are photographed."""
    if category not in _DRAWN:
        raise KeyError(category)
    canvas = Canvas(clippings.pick_size(category, rng), rng, dark_share=_CLIPPING_DARK_SHARE)
    clippings.draw(canvas, category)
    return lens.handle(canvas.image, rng, category)


def clipping_jpeg(category: str, rng: random.Random) -> bytes:
    """The same as JPEG bytes."""
    return lens.jpeg(clipping(category, rng), rng)
