"""Which drawn pictures help to learn the classes everybody has: errors, reports, screens, tickets?

A few hundred real pictures come from few sources, and a model learns the sources; drawn ones show other layouts. They
are learned from and never measured on. They are kept beside the cache under the version of what drew them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

from ticketbot import render
from ticketbot.contracts.files import write_whole
from trainer.data.cache import Cache
from trainer.progress import Progress

CLIPPING = "clip"  # begins the file names of those that are cut out


def folder(cache: Cache, classes: Sequence[str], each: int, clippings: int, progress: Progress) -> Path | None:
    """A folder per class with `each` pictures and, except of tickets, `clippings` more; drawn where they are missing.

    None when none are wanted or one of the classes cannot be drawn: drawn pictures of some classes alone would teach
    that what is drawn is one of those.
    """
    if not each or not can_draw(classes):
        return None
    top = cache.folder / f"rendered-{_version()}-{each}-{clippings}" / "-".join(sorted(classes))
    wanted = [(render.render_jpeg, "trainer", name, at) for name in sorted(classes) for at in range(each)]
    cut_out = [name for name in sorted(classes) if name in render.CLIPPED]
    wanted += [(render.clipping_jpeg, CLIPPING, name, at) for name in cut_out for at in range(clippings)]
    for number, (draw, kind, name, at) in enumerate(wanted):
        path = top / name / f"{kind}-{at}.jpg"
        if not path.exists():
            progress.say("drawing", number, len(wanted))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, draw(name, random.Random(f"{kind}-{name}-{at}")))  # noqa: S311
    return top


def unseen(cache: Cache, classes: Sequence[str], count: int, progress: Progress) -> Path | None:
    """A folder per class with `count` pictures in all, every second one cut out, that are never learned from.

    None when one of the classes cannot be drawn.
    """
    if not can_draw(classes):
        return None
    top = cache.folder / f"unseen-{_version()}" / "-".join(sorted(classes)) / str(count)
    names = sorted(classes)
    for number in range(count):
        path = top / names[number % len(names)] / f"unseen-{number}.jpg"
        if not path.exists():
            progress.say("drawing", number, count)
            path.parent.mkdir(parents=True, exist_ok=True)
            name = names[number % len(names)]
            cut_out = name in render.CLIPPED and number // len(names) % 2
            draw = render.clipping_jpeg if cut_out else render.render_jpeg
            write_whole(path, draw(name, random.Random(f"unseen-{number}")))  # noqa: S311
    return top


def can_draw(classes: Sequence[str]) -> bool:
    return set(classes) <= set(render.CATEGORIES)


def _version() -> str:
    """Of the code and the words that draw."""
    sources = sorted(one for one in Path(render.__file__).parent.rglob("*") if one.suffix in (".py", ".toml"))
    return hashlib.sha256(b"".join(one.read_bytes() for one in sources)).hexdigest()[:12]
