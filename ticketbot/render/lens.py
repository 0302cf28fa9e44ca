"""How did the picture get here? Photographed, scanned, shrunk, saved again: what happens to pixels on the way."""

from __future__ import annotations

import io
import random
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from ticketbot.render.canvas import Colour, hue, mix

Corners = list[tuple[float, float]]  # top left, top right, bottom right, bottom left
_TILE = 512
_COARSE = 4  # a surface is made this much smaller: it has no fine detail


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Noise of strength 1, made once: drawing it anew for every picture would take longer than the picture."""
    return np.random.default_rng(7).normal(0, 1, (_TILE, _TILE, 1)).astype(np.float32)


def noise(image: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Grain of a sensor, the same in all three colours."""
    width, height = image.size
    shift = (rng.randrange(_TILE), rng.randrange(_TILE))
    grain = (np.roll(_grain(), shift, (0, 1)) * strength).astype(np.int16)
    grain = np.tile(grain, (height // _TILE + 1, width // _TILE + 1, 1))[:height, :width]
    pixels = np.asarray(image, dtype=np.int16) + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def surface(size: tuple[int, int], rng: random.Random, shadow: Corners | None = None) -> Image.Image:
    """A table, a cloth, a desk: what lies under a photographed paper, and the soft shadow the paper throws."""
    small = (max(2, size[0] // _COARSE), max(2, size[1] // _COARSE))
    base = np.array(rng.choice([hue(rng, 0.45, rng.uniform(0.2, 0.85)), (90, 62, 40), (150, 150, 155), (40, 40, 44)]))
    dice = np.random.default_rng(rng.getrandbits(32))
    if rng.random() < 0.5:  # wood: long stripes
        stripes = dice.normal(0, 1, (small[1], 1)).cumsum(axis=0)
        grain = np.repeat(stripes - stripes.mean(), small[0], axis=1) * 2 + dice.normal(0, 5, small[::-1])
    else:
        grain = dice.normal(0, rng.uniform(3, 16), small[::-1])
    image = Image.fromarray(np.clip(base + grain[..., None], 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        image = image.transpose(Image.Transpose.ROTATE_90).resize(small)
    if shadow:
        ImageDraw.Draw(image).polygon([(x / _COARSE, y / _COARSE) for x, y in shadow], fill=(20, 20, 20))
    return image.resize(size, Image.Resampling.BILINEAR)


def lighting(image: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Light from one side and a shadow or two; `strength` 0..1."""
    coarse = np.array([[rng.uniform(1 - strength, 1.0) for _ in range(4)] for _ in range(4)])
    light = Image.fromarray((coarse * 255).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    pixels = np.asarray(image, dtype=np.uint16) * np.asarray(light, dtype=np.uint16)[..., None] >> 8
    return Image.fromarray(pixels.astype(np.uint8))


def _coefficients(target: Corners, source: Corners) -> list[float]:
    """The eight numbers of the perspective that takes `target` points to `source` points."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(number) for number in np.linalg.solve(np.array(rows), np.array(values))]


def lay(paper: Image.Image, ground: Image.Image, corners: Corners) -> Image.Image:
    """`paper` seen with its four corners at `corners` of `ground`; draws on `ground` and returns it."""
    width, height = paper.size
    left, top = max(0, int(min(x for x, _ in corners))), max(0, int(min(y for _, y in corners)))
    right = min(ground.width, int(max(x for x, _ in corners)) + 1)
    bottom = min(ground.height, int(max(y for _, y in corners)) + 1)
    if right <= left or bottom <= top:
        return ground
    inside = [(x - left, y - top) for x, y in corners]
    matrix = _coefficients(inside, [(0, 0), (width, 0), (width, height), (0, height)])
    size = (right - left, bottom - top)
    warped = paper.transform(size, Image.Transform.PERSPECTIVE, matrix, Image.Resampling.BILINEAR)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon(inside, fill=255)
    ground.paste(warped, (left, top), mask)
    return ground


def jitter(corners: Corners, rng: random.Random, by: float) -> Corners:
    return [(x + rng.uniform(-by, by), y + rng.uniform(-by, by)) for x, y in corners]


def photograph(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture on a monitor or on paper, photographed: skewed, tinted, a little blurred, with what is around it."""
    width, height = image.size
    edge = min(width, height) * rng.uniform(0.0, 0.1)
    corners = jitter([(edge, edge), (width - edge, edge), (width - edge, height - edge), (edge, height - edge)], rng,
                     min(width, height) * 0.04)  # fmt: skip
    seen = lay(image, surface(image.size, rng), corners)
    seen = lighting(tint(seen, hue(rng, 0.3, 0.95), 0.1), rng, 0.25)
    return noise(seen, rng, rng.uniform(2, 7))


def tint(image: Image.Image, colour: Colour, share: float) -> Image.Image:
    return Image.blend(image, Image.new("RGB", image.size, colour), share)


def scan(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture on paper from a scanner: a little turned, grey or yellowed, dark edges."""
    if rng.random() < 0.6:
        image = image.convert("L").convert("RGB")
    ground = rng.choice([(255, 255, 255), (245, 244, 240), (40, 40, 40), (200, 200, 200)])
    image = image.rotate(rng.uniform(-2.2, 2.2), Image.Resampling.BILINEAR, fillcolor=ground)
    if rng.random() < 0.5:
        image = tint(image, mix((150, 140, 120), hue(rng, 0.3, 0.8), 0.3), rng.uniform(0.05, 0.25))
    if rng.random() < 0.6:
        image = lighting(image, rng, rng.uniform(0.1, 0.4))
    return noise(image, rng, rng.uniform(1, 8))


def handle(image: Image.Image, rng: random.Random, category: str) -> Image.Image:
    """What may happen to a picture of any class before somebody attaches it."""
    luck = rng.random()
    if category == "reports" and luck < 0.25:
        image = scan(image, rng)
    elif category != "tickets" and luck > 0.93:
        image = photograph(image, rng)
    if rng.random() < 0.15:
        image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.7, 1.25))
    if rng.random() < 0.1:
        image = image.filter(ImageFilter.BoxBlur(1))
    return image


def jpeg(image: Image.Image, rng: random.Random) -> bytes:
    """JPEG bytes at a quality between a messenger's and an archive's."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(45, 92))
    return buffer.getvalue()
