"""Pictures by name: `make("made/scanbomb_6000x6000_2000.jpg")` draws what the name describes, and gives its bytes.

A family is a pattern and a function; what the name says (size, mode, number of scans) is passed on. `NAMES` lists
examples of every family with the code that decoding must answer with (None: a picture).
"""

import io
import re
import struct
import zlib
from collections.abc import Callable

from PIL import Image, ImageDraw

FAMILIES: list[tuple[re.Pattern[str], Callable[..., bytes]]] = []
FORMAT_OF = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP"}
SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def make(name: str) -> bytes:
    """The bytes that `name` (with or without a folder) describes. Raises LookupError for a name nobody can draw."""
    base = name.rsplit("/", 1)[-1]
    for pattern, draw in FAMILIES:
        if match := pattern.fullmatch(base):
            try:
                return draw(**{key: _number(value) for key, value in match.groupdict().items()})
            except LookupError:  # another family may know this kind
                continue
    raise LookupError(f"no family of pictures draws {name!r}")


def family(pattern: str) -> Callable[[Callable[..., bytes]], Callable[..., bytes]]:
    def register(draw: Callable[..., bytes]) -> Callable[..., bytes]:
        FAMILIES.append((re.compile(pattern.replace("WxH", r"(?P<width>\d+)x(?P<height>\d+)")), draw))
        return draw

    return register


def _number(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdigit() else text


def sample(mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Something to look at: a gradient with a box, dark above and light below."""
    grey = Image.linear_gradient("L").resize(size)
    ImageDraw.Draw(grey).rectangle([0, 0, size[0] // 4, size[1] // 4], fill=200)
    if mode == "I;16":
        return grey.convert("I").point(lambda value: value * 257).convert("I;16")
    return grey.convert(mode)


def encode(image: Image.Image, ext: str = "jpg", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, FORMAT_OF[ext], **options)
    return stream.getvalue()


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_after_header(data: bytes, extra: bytes) -> bytes:
    """`extra` chunks right after IHDR."""
    return data[:33] + extra + data[33:]


def deflated_zeros(size_bytes: int) -> bytes:
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    whole, rest = divmod(size_bytes, len(block))
    return b"".join(packer.compress(block) for _ in range(whole)) + packer.compress(bytes(rest)) + packer.flush()


def without_segment(data: bytes, marker: int) -> bytes:
    """A JPEG less its segments of one kind."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != marker:
            out += data[at:end]
        at = end
    return out + data[at:]


# --- good ones --------------------------------------------------------------------------------------------------------


@family(r"(?:ok_)?WxH(?:_.*)?\.(?P<ext>\w+)")
@family(r"(?:thin|ok|wide|tall)_WxH\.(?P<ext>\w+)")
@family(r"big_real_WxH(?:_.*)?\.(?P<ext>\w+)")
def plain(width, height, ext):
    return encode(sample("L" if ext == "gif" else "RGB", (width, height)), ext)


@family(r"ok_(?P<kind>[a-z]\w*)\.(?P<ext>\w+)")
def good(kind, ext):
    image = sample()
    if kind in ("gray", "grey", "l"):
        return encode(sample("L"), ext)
    if kind == "cmyk":
        return encode(sample("CMYK"), ext)
    if kind in ("prog", "progressive"):
        return encode(image, ext, progressive=True)
    if kind in ("exif", "icc", "rgb", "444", "420", "small", "comment", "opt", "lossless", "interlaced", "animated"):
        options = {"exif": {"exif": Image.Exif()}, "lossless": {"lossless": True}, "opt": {"optimize": True}}
        return encode(image, ext, **options.get(kind, {}))
    raise LookupError(f"no good picture of kind {kind!r}")


@family(r"orient_(?P<turn>\d)\.(?P<ext>\w+)")
def oriented(turn, ext):
    exif = Image.Exif()
    exif[0x0112] = turn
    return encode(sample(), ext, exif=exif)


@family(r"mode_(?P<mode>\w+)\.(?P<ext>\w+)")
def with_mode(mode, ext):
    if mode == "I16":
        return encode(sample("I;16"), ext)
    if mode in (1, "LA", "RGBA", "P", "L", "RGB", "CMYK"):
        return encode(sample(str(mode)), ext)
    if mode == "PA":
        return encode(sample("P"), ext, transparency=0)
    if mode == "RGB16":
        rows = b"".join(b"\0" + bytes([200, 1] * 3) * 40 for _ in range(20))
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 20, 16, 2, 0, 0, 0))
        return PNG_MAGIC + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    raise LookupError(f"no picture of mode {mode!r}")


@family(r"(?P<actual>png|gif|webp|bmp|jpg|jpeg)_named\.\w+")
def other_extension(actual):
    return encode(sample("P" if actual == "gif" else "RGB"), actual)


@family(r"gif_(?P<frames>\d+)frames\.gif")
def many_frames(frames):
    single = encode(sample("P"), "gif")
    start = single.index(b"\x2c")
    frame = single[start:-1]
    return single[:start] + frame * frames + b"\x3b"


@family(r"anim(?:ated)?\.(?:a?png\.)?(?P<ext>\w+)")
def animated(ext):
    frames = [sample("RGB", (40, 20)).rotate(90 * turn) for turn in range(4)]
    return encode(frames[0], "png" if ext == "apng" else ext, save_all=True, append_images=frames[1:])


@family(r"trail_(?P<what>\w+)\.(?P<ext>\w+)")
def trailing(what, ext):
    tails = {"garbage": bytes(range(256)) * 40, "zip": b"PK\x03\x04" + bytes(99), "html": b"<script>alert(1)</script>"}
    return encode(sample(), ext) + tails.get(what, b"\0" * 999)


@family(r"polyglot_(?P<what>\w+)\.(?:jpg|jpeg)")
def polyglot(what):
    return with_segment(0xFE, f"<{what}><script>alert(1)</script>*/=1".encode())


def with_segment(marker: int, body: bytes) -> bytes:
    return SOI + jpeg_segment(marker, body) + encode(sample())[2:]


# --- EXIF, text, profiles ---------------------------------------------------------------------------------------------


@family(r"exif_(?P<what>\w+)\.jpg")
def strange_exif(what):
    if what == "selfref_ifd":  # one entry that points back at its own directory, which is also its own successor
        body = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8769, 4, 1, 8, 8)
    elif what == "huge":
        body = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x010E, 2, 0xFFFFFFF0, 26, 0)
    elif what == "badorient":
        body = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 999, 0)
    else:
        body = bytes((n * 37) % 256 for n in range(500))
    return with_segment(0xE1, b"Exif\0\0" + body)


@family(r"iccp?_bomb\.png")
def profile_bomb():
    return png_after_header(encode(sample(), "png"), png_chunk(b"iCCP", b"icc\0\0" + deflated_zeros(300 * 2**20)))


@family(r"z?text?_bomb\.png|ztxt_bomb\.png")
def text_bomb():
    return png_after_header(encode(sample(), "png"), png_chunk(b"zTXt", b"Comment\0\0" + deflated_zeros(300 * 2**20)))


@family(r"itxt_bomb\.png")
def international_text_bomb():
    body = b"Comment\0\1\0\0\0" + deflated_zeros(300 * 2**20)
    return png_after_header(encode(sample(), "png"), png_chunk(b"iTXt", body))


@family(r"many_text(?:_(?P<count>\d+))?\.png")
def many_texts(count=None):
    texts = b"".join(png_chunk(b"tEXt", b"key%d\0value" % n) for n in range(count or 50_000))
    return png_after_header(encode(sample(), "png"), texts)


# --- bombs ------------------------------------------------------------------------------------------------------------


@family(r"(?:bomb_hdr|hdr|bomb|dim|zero|gif_bomb|webp_bomb|bmp_bomb)_WxH\.(?P<ext>\w+)")
def claims(width, height, ext):
    """A small file whose header claims this size."""
    data = bytearray(encode(sample("P" if ext == "gif" else "RGB"), ext))
    if ext in ("jpg", "jpeg"):
        at = re.search(rb"\xff[\xc0-\xc2]\0\x11", bytes(data)).start()
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif ext == "png":
        data[8:33] = png_chunk(b"IHDR", struct.pack(">II", width, height) + bytes(data[24:29]))
    elif ext == "gif":
        data[6:10] = struct.pack("<HH", width, height)
        at = data.index(b"\x2c")
        data[at + 5 : at + 9] = struct.pack("<HH", width, height)
    elif ext == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    elif ext == "webp":
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        extended = b"VP8X" + struct.pack("<II", 10, 0) + size
        data = bytearray(b"RIFF" + struct.pack("<I", len(data) - 8 + 18) + b"WEBP" + extended + data[12:])
    return bytes(data)


@family(r"bomb_hdr_(?P<mantissa>\d)e(?P<exponent>\d)\.png")
def claims_powers(mantissa, exponent):
    side = mantissa * 10**exponent
    return claims(side, side, "png")


@family(r"bomb_WxH_(?P<kind>1bit|gray|grey|rgb)\.png")
def real_bomb(width, height, kind):
    """All its rows are there: zeros, which deflate packs 1,000 to 1."""
    bits, colour, row_bytes = {"1bit": (1, 0, -(-width // 8)), "rgb": (8, 2, width * 3)}.get(kind, (8, 0, width))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = deflated_zeros((row_bytes + 1) * height)
    return PNG_MAGIC + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


@family(r"scanbomb_WxH_(?P<scans>\d+)\.jpg")
def scan_bomb(width, height, scans):
    """A progressive JPEG whose every scan says "nothing changes" of all its blocks, in a hundred bytes or so."""
    blocks = -(-width // 8) * -(-height // 8)
    frame = jpeg_segment(0xC2, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
    table = jpeg_segment(0xDB, b"\0" + b"\1" * 64)
    one_code = b"\1" + bytes(15)  # a Huffman table of a single code, the bit 0
    codes = jpeg_segment(0xC4, b"\0" + one_code + b"\0") + jpeg_segment(0xC4, b"\x10" + one_code + b"\xe0")
    first = jpeg_segment(0xDA, bytes([1, 1, 0x00, 0, 0, 0])) + bytes(-(-blocks // 8))
    runs = "".join("0" + "1" * 14 for _ in range(-(-blocks // 32767)))  # the code for a run of 32,767 empty blocks
    packed = int(runs.ljust(-(-len(runs) // 8) * 8, "1"), 2).to_bytes(-(-len(runs) // 8), "big")
    again = jpeg_segment(0xDA, bytes([1, 1, 0x00, 1, 63, 0])) + packed.replace(b"\xff", b"\xff\0")
    return SOI + table + frame + codes + first + again * (scans - 1) + EOI


# --- broken ones ------------------------------------------------------------------------------------------------------


@family(r"trunc_(?P<what>\w+)\.(?P<ext>\w+)")
def truncated(what, ext):
    whole = encode(sample("P" if ext == "gif" else "RGB", (400, 300)), ext)
    if what == "no_eoi":
        return whole[:-2]
    share = {"half": 50}.get(what, what)
    if not isinstance(share, int):
        raise LookupError(f"nobody knows where {what!r} cuts")
    return whole[: len(whole) * share // 100]


@family(r"no_(?P<what>dqt|dht|sof|app0|sos|eoi)\.jpg")
def lacking(what):
    whole = encode(sample())
    if what == "eoi":
        return whole[:-2]
    if what == "sos":
        return whole[: whole.index(b"\xff\xda")] + EOI
    return without_segment(whole, {"dqt": 0xDB, "dht": 0xC4, "sof": 0xC0, "app0": 0xE0}[what])


@family(r"(?:chunk_)?no_fctl\.png")
def frame_without_control():
    whole = encode(sample(), "png")
    return png_after_header(whole, png_chunk(b"acTL", struct.pack(">II", 2, 0)))[:-12] + (
        png_chunk(b"fdAT", struct.pack(">I", 0) + zlib.compress(b"\0" * 2420)) + png_chunk(b"IEND", b"")
    )


@family(r"bad_crc\.png")
def wrong_checksum():
    whole = bytearray(encode(sample(), "png"))
    whole[whole.index(b"IDAT") + 4] ^= 0xFF
    return bytes(whole)


PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
NOT_PICTURES = {
    "empty": b"",
    "one": b"\xff",
    "soi": SOI,
    "soi_eoi": SOI + EOI,
    "magic": PNG_MAGIC,
    "zeros": bytes(4096),
    "text": b"hello\n" * 99,
    "html": b"<!doctype html><html><body><script>alert(1)</script></body></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "xml": b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    "php": b"<?php system($_GET['c']); ?>",
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n",
    "ps": b"%!PS-Adobe-3.0\nshowpage\n",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(99),
    "exe": b"MZ" + bytes(99),
    "zip": b"PK\x03\x04" + bytes(99),
    "gz": b"\x1f\x8b\x08" + bytes(99),
    "tiff": b"II*\0" + bytes(99),
    "tif": b"II*\0" + bytes(99),
    "ico": b"\0\0\1\0\1\0" + bytes(99),
    "psd": b"8BPS\0\1" + bytes(99),
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99),
    "avif": b"\0\0\0\x20ftypavif" + bytes(99),
    "heic": b"\0\0\0\x20ftypheic" + bytes(99),
    "ppm": b"P6 2 2 255\n" + bytes(12),
    "mp4": b"\0\0\0\x20ftypisom" + bytes(99),
    "json": b'{"a": 1}',
    "random": bytes((n * 7919 + n * n) % 251 for n in range(4096)),
}


@family(r"(?P<what>" + "|".join(NOT_PICTURES) + r")(?:_named)?\.\w+")
def not_a_picture(what):
    return NOT_PICTURES[what]


# --- one of each ------------------------------------------------------------------------------------------------------

GOOD = """
    ok_rgb.jpg ok_gray.jpg ok_cmyk.jpg ok_prog.jpg ok_1x1.jpg ok_rgb.png ok_rgb.webp ok_lossless.webp ok_rgb.bmp
    ok_l.gif ok_exif.jpg orient_1.jpg orient_2.jpg orient_3.jpg orient_4.jpg orient_5.jpg orient_6.jpg orient_7.jpg
    orient_8.jpg orient_6.png orient_6.webp mode_1.png mode_L.png mode_LA.png mode_P.png mode_PA.png mode_RGBA.png
    mode_I16.png mode_RGB16.png mode_RGBA.webp png_named.jpg gif_named.jpg webp_named.jpg bmp_named.jpg jpg_named.png
    gif_3000frames.gif anim.apng.png anim.gif anim.webp trail_garbage.jpg trail_zip.jpg trail_html.png
    trail_garbage.gif polyglot_html.jpg exif_selfref_ifd.jpg exif_garbage.jpg exif_huge.jpg exif_badorient.jpg
    many_text.png no_app0.jpg no_dht.jpg thin_20000x1.png thin_1x20000.jpg big_real_7000x7000_49MP.jpg
    scanbomb_2000x2000_50.jpg
"""
BAD = {
    "image_dimensions": """thin_65500x1.jpg thin_1x65500.jpg thin_20001x1.png thin_1x20001.bmp dim_0x9.png dim_9x0.jpg
        dim_0x0.bmp bomb_hdr_30000x1000.gif""",
    "image_too_large": """bomb_hdr_13000x13000.jpg bomb_hdr_65500x65500.jpg scanbomb_8000x8000_2000.jpg
        bomb_50000x50000_1bit.png bomb_hdr_2e9.png bomb_hdr_65535x65535.gif bomb_hdr_16000x16000.webp
        bomb_hdr_4001x4000.webp bomb_hdr_20000x20000.bmp bomb_hdr_7072x7072.png""",
    "too_many_scans": "scanbomb_6000x6000_2000.jpg scanbomb_6000x6000_51.jpg scanbomb_100x100_1000.jpg",
    "bad_image": "iccp_bomb.png ztxt_bomb.png itxt_bomb.png no_dqt.jpg chunk_no_fctl.png bad_crc.png",
    "image_truncated": """trunc_no_eoi.jpg trunc_half.jpg trunc_90.jpg trunc_half.png trunc_90.png trunc_half.gif
        trunc_half.webp trunc_half.bmp no_eoi.jpg""",
    "not_an_image": " ".join(f"{name}.jpg" for name in NOT_PICTURES) + " no_sof.jpg",
}
NAMES: dict[str, str | None] = {
    **dict.fromkeys(GOOD.split()),
    **{name: code for code, names in BAD.items() for name in names.split()},
}

from tests.support import pictures_odd  # noqa: E402, F401 (registers its families; it needs what stands above)
