"""Is this a picture, and which pixels?

`decode` turns a stranger's bytes into one canonical picture, in a guarded child process (child.py, pool.py). Training
and serving both start from it. `encode_jpeg` and `encode_png` make files for browsers out of our own pixels, so that no
byte of the original ever reaches one.
"""

from __future__ import annotations

import atexit
import functools
import io

import numpy as np
from PIL import Image

from ticketbot.imaging.pool import MAX_PX, Canonical, DecoderPool

__all__ = ["MAX_PX", "Canonical", "DecoderPool", "decode", "encode_jpeg", "encode_png"]


def decode(data: bytes, *, max_px: int = 640, timeout_s: float = 5.0) -> Canonical:
    """The canonical picture of `data`, its long side at most `max_px` (1 to 2560; smaller pictures stay as they are).

    Raises ImageError with one of body_too_large, not_an_image, bad_image, image_truncated, image_dimensions,
    image_too_large, too_many_scans, decode_timeout; Refused("busy") when no decoder is free for 30 s.
    """
    return _default_pool().decode(data, max_px=max_px, timeout_s=timeout_s)


def encode_jpeg(rgb: np.ndarray, quality: int = 85) -> bytes:
    """uint8 rows x columns x 3 as a JPEG, without any metadata."""
    return _encoded(rgb, "JPEG", quality=quality)


def encode_png(rgb: np.ndarray) -> bytes:
    """uint8 rows x columns x 3 as a PNG: the same pixels come back."""
    return _encoded(rgb, "PNG", compress_level=3)


def _encoded(rgb: np.ndarray, name: str, **options: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, name, **options)
    return stream.getvalue()


@functools.cache
def _default_pool() -> DecoderPool:
    pool = DecoderPool()
    atexit.register(pool.close)
    return pool
