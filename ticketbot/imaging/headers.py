"""What does this file say it is, before anything decodes it?

A picture of 2 KB may claim 13,000 x 13,000 pixels, and one of 260 KB may hold 2,000 scans that each repaint 36 million
pixels. Both are told from the headers alone, in microseconds, so they are read first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ticketbot.errors import ImageError

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 50_000_000
MAX_PIXELS_WEBP = 16_000_000  # its decoder holds four copies of the picture: 280 MB, where the others take 60 to 230
MAX_SIDE_PX = 20_000
MAX_SCANS = 50

_MAGIC = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("BMP", re.compile(rb"BM")),
)
FORMATS = tuple(name for name, _ in _MAGIC)

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS, _EOI = 0xDA, 0xD9
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment
# Within a scan 0xFF is followed by 0 (a data byte), a restart marker, or more 0xFF; anything else ends it.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class Look:
    """`width` and `height` are None where the header cannot be read; the decoder then says what is wrong."""

    format: str
    width: int | None = None
    height: int | None = None
    scans: int = 0


def look(data: bytes) -> Look:
    """Format by content and the size it claims. Raises ImageError("not_an_image") for any other format."""
    name = next((name for name, magic in _MAGIC if magic.match(data)), None)
    if name is None:
        raise ImageError("not_an_image")
    if name == "JPEG":
        return _jpeg(data)
    try:
        width, height = _SIZE_OF[name](data)
    except struct.error:
        return Look(name)
    return Look(name, width, height)


def check(seen: Look) -> None:
    """The caps, in the order in which they are told: pixels, sides, scans. Raises ImageError."""
    if seen.width is not None and seen.height is not None:
        check_size(seen.format, seen.width, seen.height)
    if seen.scans > MAX_SCANS:
        raise ImageError("too_many_scans")


def check_size(name: str, width: int, height: int) -> None:
    """Raises ImageError("image_too_large" or "image_dimensions")."""
    if width * height > (MAX_PIXELS_WEBP if name == "WEBP" else MAX_PIXELS):
        raise ImageError("image_too_large")
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX):
        raise ImageError("image_dimensions")


def is_cut_short(data: bytes) -> bool:
    """A WebP names its own length; its decoder only says that something is wrong."""
    return data[:4] == b"RIFF" and len(data) >= 8 and int.from_bytes(data[4:8], "little") + 8 > len(data) + 1


def _jpeg(data: bytes) -> Look:
    size: tuple[int | None, int | None] = (None, None)
    scans = 0
    for marker, start in _segments(data):
        if marker in _SOF and size == (None, None) and start + 7 <= len(data):
            height, width = struct.unpack_from(">HH", data, start + 3)
            size = (width, height)
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                break
    return Look("JPEG", *size, scans)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, offset of its length field) for each segment of the first picture."""
    at = 2
    while (at := data.find(b"\xff", at)) != -1 and at + 1 < len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF):
            at += 1
            continue
        at += 2
        if marker == _EOI:
            return
        if marker in _ALONE:
            continue
        yield marker, at
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
        if marker == _SOS:
            end = _END_OF_SCAN.search(data, at)
            at = end.start() if end else len(data)


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int | None, int | None]:
    width, height = struct.unpack_from("<HH", data, 6)
    return (width, height) if width and height else (None, None)  # the frames may be larger than the screen


def _bmp(data: bytes) -> tuple[int, int]:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", data, 18)
    return width, abs(height)  # a negative height means top-down


def _webp(data: bytes) -> tuple[int | None, int | None]:
    kind = data[12:16]
    if kind == b"VP8X":
        wide, _, tall, _ = struct.unpack_from("<HBHB", data, 24)
        return (wide | data[26] << 16) + 1, (tall | data[29] << 16) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None, None


_SIZE_OF = {"PNG": _png, "GIF": _gif, "BMP": _bmp, "WEBP": _webp}
