"""More pictures by name (see pictures.py): other spellings, chunks and segments in the wrong place, other formats."""

import io
import re
import struct
import zlib

from tests.support import pictures as base
from tests.support.pictures import PNG_MAGIC, SOI, encode, family, jpeg_segment, png_chunk, sample

MOST_REAL_PX = 60_000_000


# --- other spellings --------------------------------------------------------------------------------------------------


@family(r"ok_(?P<mode>rgba|la|palette|p|1bit|16bit|i16)\.(?P<ext>\w+)")
def good_mode(mode, ext):
    names = {"palette": "P", "1bit": "1", "16bit": "I16", "i16": "I16"}
    return base.with_mode(names.get(mode, mode.upper()), ext)


@family(
    r"ok_(?P<kind>arith\w*|lab|jpe?g|png|gif|webp|bmp|ycck|adobe\w*|srgb|cmyk\w*|\w*subsampl\w*|4\d\d|1px|tiny|xmp|utf8\w*)\.(?P<ext>\w+)"
)
def good_kind(kind, ext):
    if str(kind).startswith(("ycck", "cmyk")):
        return encode(sample("CMYK"), ext)
    if kind in ("1px", "tiny"):
        return encode(sample(size=(1, 1)), ext)
    return encode(sample("P" if ext == "gif" else "RGB"), ext)


@family(r"(?:ok_)?(?:mpo|multi_?picture)(?:_named)?\.\w+")
def several_pictures():
    stream = io.BytesIO()
    sample().save(stream, "MPO", save_all=True, append_images=[sample(size=(20, 10))])
    return stream.getvalue()


@family(r"(?:ok_)?(?:dri|restart(?:_markers)?|rst)\.jpg")
def restart_markers():
    return encode(sample(), restart_marker_blocks=1)


@family(r"(?:ok_)?mode_(?P<mode>RGBX|YCbCr|HSV|LAB|F|I|RGBa)\.(?P<ext>\w+)")
def rare_mode(mode, ext):
    return base.with_mode("I16" if mode in ("I", "F") else "RGB", ext)


@family(r"(?:anim\w*|apng|\w+_anim(?:ated)?|multi_?frame)\.(?P<ext>gif|png|webp)")
def moving(ext):
    return base.animated(ext)


@family(r"(?:\w*frames?_?)?(?P<frames>\d+)_?frames?\.gif")
def frames(frames):
    return base.many_frames(frames)


@family(r"(?:\w*polyglot\w*|gifar|phar|html_?in_?\w+|jpg_html)\.(?P<ext>\w+)")
def both(ext):
    whole = base.polyglot("html") if ext in ("jpg", "jpeg") else encode(sample("P" if ext == "gif" else "RGB"), ext)
    return whole + b"PK\x03\x04<script>alert(1)</script>"


@family(
    r"(?:big|huge|long|many|xmp|app\d*|com)_?(?:comments?|markers?|app\d*\w*|segments?|xmp|exif|icc|huge|iptc)\w*\.jpe?g"
)
def long_segments():
    return (
        SOI + b"".join(jpeg_segment(0xFE if n % 2 else 0xEF, b"x" * 60_000) for n in range(20)) + encode(sample())[2:]
    )


@family(r"icc_(?P<what>bad|garbage|random|broken|cut|invalid|zero)\.(?P<ext>\w+)")
def strange_profile(what, ext):
    return encode(sample(), ext, icc_profile=bytes((n * 91) % 256 for n in range(3000)))


@family(r"iccp?_(?:garbage|bad|random)\.png")
def strange_png_profile():
    return base.png_after_header(encode(sample(), "png"), png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"no" * 99)))


@family(r"(?:icc|iccp|profile|\w*icc\w*)_?bomb\w*\.png")
def profile():
    return base.profile_bomb()


@family(r"(?:text|ztxt|txt|\w*text)_?bomb\w*\.png")
def text():
    return base.text_bomb()


@family(r"many_(?P<kind>ztxt|itxt|text|txt|chunks?)\w*\.png")
def many(kind):
    return base.many_texts(5_000)


@family(r"(?:many|zero|empty|split)_(?:idats?|length_idat)\.png")
def many_data_chunks():
    whole = encode(sample(), "png")
    at = whole.index(b"IDAT") - 4
    size = int.from_bytes(whole[at : at + 4], "big")
    body = whole[at + 8 : at + 8 + size]
    parts = [png_chunk(b"IDAT", b"")] * 3 + [png_chunk(b"IDAT", body[n : n + 1]) for n in range(size)]
    return whole[:at] + b"".join(parts) + png_chunk(b"IEND", b"")


# --- sizes ------------------------------------------------------------------------------------------------------------


@family(r"(?:zero|no)_?(?P<side>size|width|height|w|h)?\.png|(?P<side2>w0|h0|0x0)\.png")
def no_size(side, side2):
    return base.claims(0, 0, "png")


@family(r"(?:real|big|huge|large)_WxH(?:_.*)?\.(?P<ext>\w+)")
@family(r"\w*?bomb\w*?_WxH(?:_.*)?\.(?P<ext>\w+)")
@family(r"(?:gif|png|webp|bmp|jpe?g|hdr|claims?|header|fake|lying)_WxH(?:_.*)?\.(?P<ext>\w+)")
def sized(width, height, ext):
    """A picture of this size; one that is refused by its size need not hold all its pixels."""
    if width * height > MOST_REAL_PX or not width * height:
        return base.claims(width, height, ext)
    return base.plain(width, height, ext)


@family(r"\w*?hdr_(?P<mantissa>\d)e(?P<exponent>\d+)\.png")
def powers(mantissa, exponent):
    return base.claims_powers(mantissa, exponent)


@family(r"(?:idat|png|zlib|deflate|decompression|pixel)_?bomb\w*\.png|bomb\w*?\.png")
def packed_bomb():
    return base.real_bomb(20_000, 20_000, "1bit")


@family(
    r"(?:(?P<kind>gif|webp|bmp|jpe?g|rle|lzw)_?bomb|bomb_?(?P<kind2>gif|webp|bmp|jpe?g)?|\w*bomb)\.(?P<ext>gif|webp|bmp|jpe?g)"
)
def large(kind, kind2, ext):
    return base.claims(*((16_383, 16_383) if ext == "webp" else (60_000, 60_000)), ext)


@family(r"\w*?scans?_?bomb\w*?_(?P<scans>\d+)(?:scans)?\.jpg|(?:many_?scans|scanbomb)\.jpg")
def scans(scans):
    return base.scan_bomb(2_000, 2_000, scans or 1_000)


# --- broken ones ------------------------------------------------------------------------------------------------------


@family(
    r"trunc(?:ated)?_?(?P<what>half|header|hdr|last_?byte|\d+_?bytes?|no_iend|no_trailer|idat|scan|middle|early|late|at_?\w*)?\.(?P<ext>\w+)"
)
def cut(what, ext):
    whole = encode(sample("P" if ext == "gif" else "RGB", (400, 300)), ext)
    if what is None or what in ("half", "middle", "idat", "scan"):
        return whole[: len(whole) // 2]
    if number := re.match(r"\d+", str(what)):
        return whole[: -int(number[0])]
    if what in ("header", "hdr"):
        return whole[: whole.index(b"\xff\xda") - 4] if ext in ("jpg", "jpeg") else whole[:40]
    return whole[:-12] if what == "no_iend" else whole[:-1] if "last" in str(what) else whole[: len(whole) * 9 // 10]


@family(
    r"(?:bad|wrong|broken|corrupt)_(?P<what>huffman|dht|zlib|idat|deflate|ihdr|header|crc\w*|filter|lzw|dqt|sof|sos)\.(?P<ext>\w+)"
)
def spoilt(what, ext):
    if what in ("huffman", "dht"):
        whole = encode(sample())
        at = whole.index(b"\xff\xc4") + 5
        return whole[:at] + b"\xff" * 16 + whole[at + 16 :]
    if what in ("dqt", "sof", "sos"):
        return base.lacking("dqt")
    if what in ("ihdr", "header"):
        whole = bytearray(encode(sample(), "png"))
        whole[24] = 77  # a bit depth that is none
        whole[8:33] = png_chunk(b"IHDR", bytes(whole[16:29]))
        return bytes(whole)
    if what in ("zlib", "idat", "deflate", "filter"):
        whole = encode(sample(), "png")
        body = b"not deflated at all" if what != "filter" else zlib.compress(b"\x09" * (121 * 20))
        return whole[:33] + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    return base.wrong_checksum()


@family(r"no_(?P<what>idat|plte|iend|ihdr)\.png")
def without_chunk(what):
    if what == "iend":
        return encode(sample(), "png")[:-12]
    if what == "plte":
        whole = encode(sample("P"), "png")
        at = whole.index(b"PLTE") - 4
        return whole[:at] + whole[at + 12 + int.from_bytes(whole[at : at + 4], "big") :]
    if what == "ihdr":
        return PNG_MAGIC + png_chunk(b"IEND", b"")
    return encode(sample(), "png")[:33] + png_chunk(b"IEND", b"")


@family(r"(?:two|dup|double|second)_(?P<what>sof|ihdr|soi)\.(?P<ext>\w+)")
def doubled(what, ext):
    if what == "soi":
        return SOI + encode(sample())
    if what == "ihdr":
        whole = encode(sample(), "png")
        return base.png_after_header(whole, whole[8:33])
    whole = encode(sample())
    at = whole.index(b"\xff\xc0")
    end = at + 2 + int.from_bytes(whole[at + 2 : at + 4], "big")
    return whole[:end] + whole[at:]


@family(r"chunk_no_(?P<what>actl|fdat|idat|iend|ihdr)\.png|chunk_(?P<twice>repeat|multi)_actl\.png")
def moving_chunks(what, twice):
    """As Pillow's own tests of APNG name them; the first frame is whole unless IDAT is missing."""
    if what in ("idat", "ihdr"):
        return without_chunk(what)
    whole = base.frame_without_control()
    if what == "actl":
        return whole.replace(png_chunk(b"acTL", struct.pack(">II", 2, 0)), b"")
    if what == "fdat":
        control = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 40, 20, 0, 0, 1, 1, 0, 0))
        return (
            encode(sample(), "png")[:33]
            + png_chunk(b"acTL", struct.pack(">II", 2, 0))
            + control
            + encode(sample(), "png")[33:]
        )
    return whole


@family(r"(?:junk_jpeg_header|jpeg_junk\w*)\.jpg")
def junk_in_header():
    whole = encode(sample())
    return whole[:20] + b"\x00" * 3 + whole[20:]


@family(
    r"hopper\w*\.(?P<ext>jpe?g|png|gif|webp|bmp)|pil\w*_cmyk\.(?P<ext2>jpg)|(?:transparent|empty_gps_ifd|xmp_no_prefix|iptc)\.(?P<ext3>png|gif|jpg)"
)
def a_photograph(ext, ext2, ext3):
    if ext2:
        return encode(sample("CMYK"))
    return encode(sample("P" if (ext or ext3) == "gif" else "RGB"), ext or ext3)


# --- no pictures of ours ----------------------------------------------------------------------------------------------

OTHERS = {
    "mz": b"MZ" + bytes(99),
    "dos": b"MZ" + bytes(99),
    "two": b"\xff\xd8",
    "three": b"\xff\xd8\xff",
    "ff": b"\xff" * 4096,
    "ffs": b"\xff" * 4096,
    "zero": b"",
    "null": bytes(4096),
    "nul": bytes(4096),
    "zero_bytes": b"",
    "0bytes": b"",
    "space": b" " * 99,
    "newline": b"\n",
    "pickle": b"\x80\x04\x95\x0a\0\0\0\0\0\0\0\x8c\x05posix\x94.",
    "wmf": b"\xd7\xcd\xc6\x9a" + bytes(99),
    "emf": b"\x01\0\0\0" + bytes(99),
    "pcx": b"\x0a\x05\x01\x08" + bytes(199),
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "jxl": b"\xff\x0a" + bytes(99),
    "tga": bytes([0, 0, 2]) + bytes(99),
    "icns": b"icns" + bytes(99),
    "dds": b"DDS " + bytes(200),
    "fli": bytes(4) + b"\x11\xaf" + bytes(200),
    "sgi": b"\x01\xda" + bytes(600),
    "im": b"Image type: RGB\r\n" + bytes(600),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(99),
    "riff": b"RIFF" + struct.pack("<I", 99) + b"WAVE" + bytes(99),
    "wav": b"RIFF" + struct.pack("<I", 99) + b"WAVE" + bytes(99),
    "rar": b"Rar!\x1a\x07\0" + bytes(99),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(99),
    "tar": b"a.jpg" + bytes(600),
    "sh": b"#!/bin/sh\nid\n",
    "py": b"import os\n",
    "js": b"alert(1)\n",
    "csv": b"a,b\n1,2\n",
    "docx": b"PK\x03\x04" + bytes(99),
    "doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "rtf": b"{\\rtf1 x}",
    "webm": b"\x1aE\xdf\xa3" + bytes(99),
    "class": b"\xca\xfe\xba\xbe" + bytes(99),
    "sqlite": b"SQLite format 3\0" + bytes(99),
    "pgm": b"P5 2 2 255\n" + bytes(4),
    "pbm": b"P4 8 1\n\0",
    "xpm": b"/* XPM */",
    "xbm": b"#define x_width 8\n",
    "mpeg": b"\x00\x00\x01\xba" + bytes(99),
    "cur": b"\0\0\2\0\1\0" + bytes(99),
    "j2k": b"\xff\x4f\xff\x51" + bytes(99),
    "qoi": b"qoif" + bytes(30),
    "msp": b"DanM" + bytes(99),
    "spider": bytes(1024),
    "webp_riff": b"RIFF" + bytes(4) + b"WAVE",
    "gpl": b"GIMP Palette\n",
    "ras": b"\x59\xa6\x6a\x95" + bytes(99),
    "onnx": b"\x08\x07\x12\x07pytorch",
}
OTHER_FORMATS = {"tiff": "TIFF", "tif": "TIFF", "eps": "EPS", "ico": "ICO", "ppm": "PPM", "pcx": "PCX", "sgi": "SGI"}


@family(r"(?P<what>" + "|".join(OTHERS) + r")(?:_named|_file|_only)?\.\w+")
@family(r"(?:magic|png|gif|jpe?g)_(?:magic|only|header|sig\w*)\.(?P<what>png|gif|jpe?g|bmp|webp)")
def no_picture(what):
    starts = {"png": PNG_MAGIC, "gif": b"GIF89a", "jpg": SOI, "jpeg": SOI, "bmp": b"BM", "webp": b"RIFF\0\0\0\0WEBP"}
    return OTHERS[str(what)] if str(what) in OTHERS else starts[what]


@family(r"\w+\.(?:fli|flc|im\d|ras|gpl|psd|j2k|jp2|avif|heic|icns|bin|dat|mp4|svg|xml|txt|pdf|ps)")
def no_format():
    return bytes(range(1, 256)) * 4


@family(r"(?:broken_data_stream|broken)\.png")
def broken_stream():
    return spoilt("zlib", "png")


@family(r"decompression_bomb\w*\.gif")
def large_gif():
    return base.claims(60_000, 60_000, "gif")


@family(r"\w+\.(?P<ext>tiff?|eps|ico|ppm|pcx|sgi)")
def other_format(ext):
    stream = io.BytesIO()
    sample("RGB", (64, 64)).save(stream, OTHER_FORMATS[ext])
    return stream.getvalue()


@family(r"exif_(?P<what>\w+)\.(?P<ext>png|webp|jpeg)")
def strange_exif_elsewhere(what, ext):
    return encode(sample(), ext, exif=b"Exif\0\0" + bytes((n * 37) % 256 for n in range(500)))
