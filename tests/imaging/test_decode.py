"""Which bytes are pictures, with which pixels; the others have a code."""

import io
import random

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.support import pictures
from tests.support.mutations import SEEDS, decoder_pid, mutated, peak_mb
from ticketbot.errors import ImageError
from ticketbot.imaging import decode, headers


def code_of(pool, data, **options):
    try:
        pool.decode(data, **options)
    except ImageError as error:
        return error.code
    return None


@pytest.mark.parametrize("name", pictures.NAMES)
def test_a_picture_is_decoded_or_refused_by_name(pool, name):
    assert code_of(pool, pictures.make(name)) == pictures.NAMES[name]


def test_more_bytes_than_the_cap_are_not_even_sent(pool):
    assert code_of(pool, b"\xff\xd8\xff" + bytes(headers.MAX_BYTES)) == "body_too_large"


# --- pixels -----------------------------------------------------------------------------------------------------------


def at(canonical, x, y):
    return tuple(int(value) for value in canonical.rgb[y, x])


@pytest.mark.parametrize(
    "name, kind",
    [("png_named.jpg", "PNG"), ("gif_named.jpg", "GIF"), ("webp_named.jpg", "WEBP"), ("jpg_named.png", "JPEG")],
)
def test_content_decides_the_format(pool, name, kind):
    assert pool.decode(pictures.make(name)).format == kind


def test_a_small_picture_keeps_its_pixels(pool):
    image = pictures.sample("RGB", (40, 20))
    canonical = pool.decode(pictures.encode(image, "png"))
    assert np.array_equal(canonical.rgb, np.array(image))
    assert (canonical.width, canonical.height) == (40, 20)
    assert canonical.rgb.flags.writeable


@pytest.mark.parametrize("max_px", [64, 640, 2560])
@pytest.mark.parametrize("ext", ["jpg", "png"])
def test_the_long_side_becomes_max_px_and_the_shape_stays(pool, ext, max_px):
    canonical = pool.decode(pictures.encode(pictures.sample("RGB", (3000, 2000)), ext), max_px=max_px)
    assert canonical.rgb.shape == (round(max_px * 2 / 3), max_px, 3)
    assert (canonical.width, canonical.height) == (3000, 2000)


def test_shrinking_by_strips_equals_shrinking_at_once(pool):
    # A ramp down and across: a strip that landed a row too low, or an edge that was dropped, would show.
    y, x = np.mgrid[0:1999, 0:1501]
    rgb = np.stack([x * 255 / 1500, y * 255 / 1998, (x + y) * 255 / 3498], axis=-1).round().astype(np.uint8)
    image = Image.fromarray(rgb)
    canonical = pool.decode(pictures.encode(image, "png"), max_px=300)
    at_once = np.array(image.resize((225, 300), Image.Resampling.BOX))
    assert canonical.rgb.shape == at_once.shape
    assert np.abs(canonical.rgb.astype(int) - at_once).max() <= 2


def test_a_jpeg_and_a_png_of_one_picture_look_alike(pool):
    image = pictures.sample("RGB", (2000, 1500))
    jpeg = pool.decode(pictures.encode(image, "jpg", quality=95)).rgb.astype(int)
    png = pool.decode(pictures.encode(image, "png")).rgb.astype(int)
    assert np.abs(jpeg - png).mean() < 2


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_turns_are_applied(pool, turn):
    corners = Image.new("RGB", (40, 20), "black")
    corners.paste((255, 0, 0), (0, 0, 10, 10))  # red marks where the first row and the first column meet
    exif = Image.Exif()
    exif[0x0112] = turn
    canonical = pool.decode(pictures.encode(corners, "png", exif=exif))
    wide = turn <= 4
    assert (canonical.width, canonical.height) == ((40, 20) if wide else (20, 40))
    assert canonical.rgb.shape[:2] == ((20, 40) if wide else (40, 20))
    # Where EXIF says that row 0, column 0 of the file belongs.
    right, bottom = turn in (2, 3, 6, 7), turn in (3, 4, 7, 8)
    x, y = (canonical.width - 3 if right else 2), (canonical.height - 3 if bottom else 2)
    assert at(canonical, x, y) == (255, 0, 0)


def test_sixteen_bits_are_scaled_not_clipped(pool):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(1, 256).repeat(4, axis=0)
    canonical = pool.decode(pictures.encode(Image.fromarray(ramp), "png"))
    assert np.abs(canonical.rgb[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("mode, ext", [("RGBA", "png"), ("LA", "png"), ("RGBA", "webp")])
def test_alpha_lies_on_white(pool, mode, ext):
    clear = Image.new(mode, (8, 8), 0)
    options = {"lossless": True} if ext == "webp" else {}
    assert at(pool.decode(pictures.encode(clear, ext, **options)), 3, 3) == (255, 255, 255)


def test_a_transparent_palette_colour_lies_on_white(pool):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30] + [0] * 765)
    assert at(pool.decode(pictures.encode(image, "png", transparency=0)), 3, 3) == (255, 255, 255)
    assert at(pool.decode(pictures.encode(image, "png")), 3, 3) == (10, 20, 30)


@pytest.mark.parametrize("ext", ["gif", "webp", "png"])
def test_the_first_frame_counts(pool, ext):
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    options = {"lossless": True} if ext == "webp" else {}
    data = pictures.encode(red, ext, save_all=True, append_images=[blue], duration=100, **options)
    assert at(pool.decode(data), 3, 3) == (255, 0, 0)


def test_cmyk_keeps_its_colours(pool):
    red = Image.new("RGB", (16, 16), "red").convert("CMYK")
    r, g, b = at(pool.decode(pictures.encode(red, "jpg", quality=95)), 8, 8)
    assert r > 240
    assert g < 15
    assert b < 15


def test_a_second_picture_in_a_jpeg_is_not_read(pool):
    stream = io.BytesIO()
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (64, 64), "blue")
    first.save(stream, "MPO", save_all=True, append_images=[second])
    canonical = pool.decode(stream.getvalue())
    assert (canonical.format, canonical.width) == ("JPEG", 16)
    assert at(canonical, 8, 8)[0] > 240


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_px", [640, 2560])
@pytest.mark.parametrize("kind", ["jpg", "progressive jpg", "png", "webp"])
def test_the_largest_pictures_fit_in_300_mb(kind, max_px):
    *how, ext = kind.split()
    side = 4000 if ext == "webp" else 7000
    mode = "RGBA" if ext in ("png", "webp") else "RGB"
    options = {"progressive": True} if how else {"compress_level": 1} if ext == "png" else {"method": 0}
    data = pictures.encode(pictures.sample(mode, (side, side)), ext, **options)
    with decode.DecoderPool(1, timeout_s=30) as pool:
        pool.decode(data, max_px=max_px)
        assert peak_mb(pool) < 300


def test_an_idle_decoder_is_small(pool):
    with decode.DecoderPool(1) as fresh:
        fresh.decode(pictures.make("ok_rgb.jpg"))
        assert psutil.Process(decoder_pid(fresh)).memory_full_info().pss < 45 * 2**20


def test_two_thousand_mutations_never_kill_a_decoder():
    """F8: every damaged file gets a code or pixels, within 5 s and 300 MB, and no decoder dies."""
    dice = random.Random(8)
    seeds = [pictures.make(name) for name in SEEDS]
    codes = set()
    with decode.DecoderPool(1, recycle_after=10_000) as pool:
        pool.decode(seeds[0])
        pid = decoder_pid(pool)
        for _ in range(2000):
            codes.add(code_of(pool, mutated(dice.choice(seeds), dice)))
        assert decoder_pid(pool) == pid
        assert peak_mb(pool) < 300
    assert codes >= {None, "bad_image", "image_truncated"}
    assert "decode_timeout" not in codes


# --- our own files ----------------------------------------------------------------------------------------------------


def test_what_a_browser_gets_is_drawn_anew(pool):
    canonical = pool.decode(pictures.make("polyglot_html.jpg"))
    jpeg, png = decode.encode_jpeg(canonical.rgb), decode.encode_png(canonical.rgb)
    assert b"<script" in pictures.make("polyglot_html.jpg")
    assert b"<script" not in jpeg + png
    assert b"Exif" not in decode.encode_jpeg(pool.decode(pictures.make("orient_6.jpg")).rgb)
    assert np.array_equal(pool.decode(png).rgb, canonical.rgb)


def test_the_module_level_decode_works():
    assert decode.decode(pictures.make("ok_rgb.jpg")).rgb.shape == (20, 40, 3)


@pytest.mark.parametrize("max_px", [0, -1, 2561])
def test_a_size_outside_the_range_is_a_programming_error(pool, max_px):
    with pytest.raises(ValueError, match="max_px"):
        pool.decode(pictures.make("ok_rgb.jpg"), max_px=max_px)
