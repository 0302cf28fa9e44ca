"""What do people cut out of a screen before they attach it? Small dialogs, cards, a page without its frame.

Next to the frame the letters are large, and what tells the class is small: a sign, a line of text, a column of figures.
The classes are drawn in pairs, so that neither size nor frame tells them apart: a dialog that asks and one that failed,
a page that serves and one that does not, a list to work in and a list to read.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ticketbot.render import reports, screens
from ticketbot.render.canvas import Canvas
from ticketbot.render.clippings import common, failures, figures, forms, pages

Kinds = list[tuple[Callable[[Canvas], None], int]]
_ERRORS: Kinds = [
    (failures.failed_dialog, 18),
    (failures.failed_over, 22),
    (failures.failed_page, 12),
    (failures.browser_page, 10),
    (failures.failed_card, 12),
    (failures.failed_form, 10),
    (failures.code_stopped, 7),
    (failures.exception_table, 4),
    (failures.log, 5),
]
_SCREENS: Kinds = [
    (forms.options, 30),
    (forms.card, 22),
    (forms.site_form, 12),
    (forms.register, 18),
    (screens.draw_screen, 18),
]
_REPORTS: Kinds = [
    (figures.tableau, 34),
    (figures.bare_table, 20),
    (pages.viewer, 26),
    (pages.document, 4),
    (reports.draw_report, 16),
]
_PAGES: Kinds = [(pages.document, 50), (pages.key_figures, 15), (pages.viewer, 15), (reports.draw_report, 20)]
ALL = (_ERRORS, _SCREENS, _REPORTS, _PAGES)


def pick_size(category: str, rng: random.Random) -> tuple[int, int]:
    """Width and height: most often a cut-out, sometimes a phone, reports also as whole pages and whole screens."""
    luck = rng.random()
    if category == "reports" and luck < 0.55:
        width = rng.randint(700, 1280)
        return width, round(width * rng.choice([0.5625, 0.62, 0.75, 1.294, 1.414]))
    if luck < 0.1 and category != "reports":
        width = rng.randint(320, 480)
        return width, round(width * rng.uniform(1.7, 2.1))
    if luck < 0.3:
        width = rng.randint(640, 1100)
        return width, round(width * rng.uniform(0.45, 0.8))
    width = rng.randint(300, 640)
    return width, round(width * rng.uniform(0.4, 1.1))


def draw(c: Canvas, category: str) -> None:
    """Fills the canvas with a clipping of the category: errors, reports or screens."""
    if c.image.width < 640:
        c.restyle(size=c.rng.choice([11, 12, 12, 13, 14, 16]))
    upright = c.image.height > c.image.width * 1.2
    kinds = {"errors": _ERRORS, "screens": _SCREENS, "reports": _PAGES if upright else _REPORTS}[category]
    c.rng.choices([kind for kind, _ in kinds], weights=[weight for _, weight in kinds])[0](c)
    if c.rng.random() < 0.1:
        common.mark(c)
