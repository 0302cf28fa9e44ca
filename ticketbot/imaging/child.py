"""The decoder child: a stranger's bytes in, canonical pixels or a code out. Run as `python -m ticketbot.imaging.child`.

The only place where such bytes are decoded. It has 1.5 GB of address space, can open no file, reach no network and
start no process (jail.py), and is killed by its parent when one picture takes too long. It imports Pillow and no numpy,
to be small and quick to start.
"""

from __future__ import annotations

import codecs
import io
import os
import resource
import select
import signal
import struct
import sys
import warnings

from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ticketbot.errors import ImageError
from ticketbot.imaging import headers, jail
from ticketbot.imaging.protocol import ANSWER, JOB, READY

# Opened by class, not by Image.open(): that would import other plugins, and read a JPEG with a second picture inside
# (MPO) through the TIFF one. Nearly all of Pillow's CVEs are in formats that are not here.
OPENERS: dict[str, type[ImageFile.ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

MAX_MEMORY_BYTES = 1536 * 2**20
PARENT_CHECK_S = 10.0
STRIP_ROWS = 256
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def main() -> None:
    """Answer jobs until the parent closes the pipe or is gone."""
    parent_pid, job_s = int(sys.argv[1]), float(sys.argv[2])
    out = os.dup(1)
    os.dup2(2, 1)  # a stray print must not become part of an answer
    _limit()
    _configure_pillow()
    _import_the_rest()
    jail.lock()
    _write(out, READY)
    while (head := _read(JOB.size, parent_pid)) is not None:
        size_bytes, max_px = JOB.unpack(head)
        data = _read(size_bytes, parent_pid)
        if data is None:
            return
        signal.setitimer(signal.ITIMER_REAL, job_s)  # SIGALRM ends us, should the parent no longer be there to do it
        for part in answer(data, max_px):
            _write(out, part)
        signal.setitimer(signal.ITIMER_REAL, 0)


def answer(data: bytes, max_px: int) -> tuple[bytes, bytes]:
    """What to send back for one file: ANSWER and pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            name, (width, height), image = canonical(data, max_px)
    except ImageError as error:
        return _refusal(error.code)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return _refusal("image_too_large")
    except Exception as error:  # Pillow's plugins raise anything from SyntaxError to struct.error
        return _refusal("image_truncated" if _says_truncated(error) or headers.is_cut_short(data) else "bad_image")
    return ANSWER.pack(b"", name.encode(), width, height, image.height, image.width), image.tobytes()


def canonical(data: bytes, max_px: int) -> tuple[str, tuple[int, int], Image.Image]:
    """Format, size of the original after its EXIF turn, and the picture as RGB with its long side at most `max_px`."""
    seen = headers.look(data)
    headers.check(seen)
    with _open(seen.format, data) as image:
        width, height = image.size
        headers.check_size(seen.format, width, height)
        wanted = _fit(width, height, max_px)
        # A JPEG is decoded at 1/2, 1/4 or 1/8 right away: 49 Mpx in 30 MB, progressive ones in 170 MB.
        drafted = image.draft("RGB", wanted) if seen.format == "JPEG" else None
        image.load()
        factor = max(1, min(image.width // wanted[0], image.height // wanted[1]))
        small = _reduced(image, factor)
        turn = TURNS.get(_orientation(image))
        if small is not image:
            image.close()  # the large one goes before the next copy is made
    if small.size != wanted:
        edges = [edge / factor for edge in (drafted[1] if drafted else (0, 0, width, height))]
        small = small.resize(wanted, Image.Resampling.BILINEAR, box=(edges[0], edges[1], edges[2], edges[3]))
    if turn is None:
        return seen.format, (width, height), small
    swapped = turn not in (TURNS[2], TURNS[3], TURNS[4])
    return seen.format, (height, width) if swapped else (width, height), small.transpose(turn)


def _open(name: str, data: bytes) -> ImageFile.ImageFile:
    try:
        return OPENERS[name](io.BytesIO(data))
    except (SyntaxError, IndexError, TypeError, struct.error) as error:  # how a plugin says "this is not mine"
        raise ImageError("not_an_image") from error


def _fit(width: int, height: int, max_px: int) -> tuple[int, int]:
    scale = min(1.0, max_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """RGB on white at 1/factor, worked on in strips: the whole of a 49 Mpx PNG in two modes would be 400 MB."""
    if factor == 1 and image.mode == "RGB" and not image.has_transparency_data:
        return image
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    rows = max(1, STRIP_ROWS // factor) * factor
    for top in range(0, image.height, rows):
        strip = _on_white(image.crop((0, top, image.width, min(top + rows, image.height))))
        small.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return small


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):  # 16 bits are scaled; convert() alone would clip to white
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # EXIF is an ornament: whatever is wrong with it, the picture counts
        return 1


def _says_truncated(error: Exception) -> bool:
    return "truncated" in str(error).lower()


def _refusal(code: str) -> tuple[bytes, bytes]:
    return ANSWER.pack(code.encode(), b"", 0, 0, 0, 0), b""


def _limit() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; we end when it closes the pipe
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))


def _configure_pillow() -> None:
    Image.MAX_IMAGE_PIXELS = headers.MAX_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    PngImagePlugin.MAX_TEXT_CHUNK = 2**20
    PngImagePlugin.MAX_TEXT_MEMORY = 4 * 2**20


def _import_the_rest() -> None:
    """What Pillow and Python import at the first picture that needs it: later no file can be opened."""
    from PIL import ImageColor, ImageFilter, ImagePalette, TiffImagePlugin  # noqa: F401  the last reads EXIF

    for name in ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"):
        codecs.lookup(name)


def _read(size_bytes: int, parent_pid: int) -> bytes | None:
    """Exactly so many bytes from the parent, or None when it is gone."""
    data = bytearray()
    while len(data) < size_bytes:
        # A process that our parent forked may still hold the other end, so the end of the pipe is not enough.
        if not select.select([0], [], [], PARENT_CHECK_S)[0]:
            if os.getppid() != parent_pid:
                return None
            continue
        block = os.read(0, min(size_bytes - len(data), 2**20))
        if not block:
            return None
        data += block
    return bytes(data)


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        pass  # the parent is gone, and so are we
