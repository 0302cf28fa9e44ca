"""How do many pictures become one to look at? Tiles with a caption, in rows under a heading, as one PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ticketbot.errors import Refused
from ticketbot.imaging.decode import DecoderPool
from ticketbot.imaging.resize import to_input
from trainer.data.pictures import DECODERS, TIMEOUT_S

TILE_PX, GAP_PX, LINE_PX = 160, 8, 16
INK, PAPER, EDGE = (30, 30, 30), (255, 255, 255), (210, 210, 210)


@dataclass(frozen=True)
class Tile:
    """rgb: uint8, TILE_PX x TILE_PX x 3. `notes`: at most two lines under it."""

    rgb: NDArray[np.uint8]
    notes: tuple[str, ...]


def thumbnails(paths: Sequence[Path], px: int = TILE_PX) -> list[NDArray[np.uint8] | None]:
    """Each picture padded to px x px; None for what cannot be read."""
    with DecoderPool(DECODERS, TIMEOUT_S) as pool:
        return [_thumbnail(path, pool, px) for path in paths]


def tiles(paths: Sequence[Path], notes: Sequence[tuple[str, ...]]) -> list[Tile]:
    """A tile for each picture that can be read."""
    found = zip(thumbnails(paths), notes, strict=True)
    return [Tile(rgb, lines) for rgb, lines in found if rgb is not None]


def sheet(parts: Iterable[tuple[str, Sequence[Tile]]], columns: int = 8) -> Image.Image:
    """Each part's heading with its tiles below, in rows of `columns`."""
    parts = list(parts)
    high = TILE_PX + 2 * LINE_PX + GAP_PX
    rows = [-(-len(found) // columns) for _, found in parts]
    size = (columns * (TILE_PX + GAP_PX) + GAP_PX, sum(rows) * high + len(parts) * 2 * LINE_PX + GAP_PX)
    page = Image.new("RGB", size, PAPER)
    pen, top = ImageDraw.Draw(page), GAP_PX
    for (heading, found), count in zip(parts, rows, strict=True):
        pen.text((GAP_PX, top), heading, fill=INK, font=_font(15))
        top += 2 * LINE_PX
        for number, tile in enumerate(found):
            left, below = GAP_PX + number % columns * (TILE_PX + GAP_PX), top + number // columns * high
            _draw(page, pen, tile, left, below)
        top += count * high
    return page


def _draw(page: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    page.paste(Image.fromarray(tile.rgb), (left, top))
    pen.rectangle([left, top, left + TILE_PX - 1, top + TILE_PX - 1], outline=EDGE)
    for number, text in enumerate(tile.notes[:2]):
        pen.text((left, top + TILE_PX + number * LINE_PX), _cut(text), fill=INK, font=_font(12))


def _cut(text: str, most: int = 22) -> str:
    """The end of a name tells pictures apart, so the middle goes."""
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}"


def _font(px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(px)


def _thumbnail(path: Path, pool: DecoderPool, px: int) -> NDArray[np.uint8] | None:
    try:
        return to_input(pool.decode(path.read_bytes(), max_px=2 * px).rgb, px, "pad")
    except (Refused, OSError):
        return None
