"""Perceptual hashes and their groups."""

import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from ticketbot.judge import lookalike


def form(text="Invoice 4711", size=(640, 480), lines=12, seed=0):
    """A page with a title and lines of words."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 20, size[0] - 20, 60), fill=(40, 60, 120))
    draw.text((30, 30), text, fill="white")
    for line in range(lines):
        for word in range(8):
            x = 30 + word * 70
            draw.rectangle((x, 90 + line * 28, x + int(rng.integers(10, 60)), 100 + line * 28), fill=(30, 30, 30))
    return picture


def hashed(picture):
    return lookalike.phash(np.asarray(picture.convert("RGB")))


def again(picture, quality):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_saving_again_keeps_the_picture_the_same(quality):
    assert lookalike.distance(hashed(form()), hashed(again(form(), quality))) <= lookalike.SAME


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.7])
def test_another_size_is_the_same_picture(scale):
    small = form().resize((int(640 * scale), int(480 * scale)), Image.Resampling.BILINEAR)
    assert lookalike.distance(hashed(form()), hashed(small)) <= lookalike.SAME


def test_another_form_is_another_picture():
    assert lookalike.distance(hashed(form(seed=0)), hashed(form(seed=1))) > lookalike.SAME


def test_a_hash_has_256_bits_and_an_empty_picture_no_random_ones():
    assert len(hashed(form())) == 32
    white, grey = Image.new("RGB", (300, 200), "white"), Image.new("RGB", (51, 77), (90, 90, 90))
    assert lookalike.distance(hashed(white), hashed(grey)) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (640, 2), (64, 64)])
def test_any_size_has_a_hash(size):
    assert len(hashed(Image.new("RGB", size, (10, 200, 30)))) == 32


def slow_groups(hashes, limit):
    numbers = list(range(len(hashes)))
    for a in range(len(hashes)):
        for b in range(a):
            if lookalike.distance(hashes[a], hashes[b]) <= limit and numbers[a] != numbers[b]:
                numbers = [numbers[b] if one == numbers[a] else one for one in numbers]
    first = {}
    return [first.setdefault(one, index) for index, one in enumerate(numbers)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.sampled_from([0, 3, 12]))
def test_groups_are_those_of_comparing_every_pair(seed, n, limit):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (8, 256), dtype=np.uint8)[rng.integers(0, 8, n)]
    bits ^= (rng.random((n, 256)) < 0.03).astype(np.uint8)
    hashes = [np.packbits(row).tobytes() for row in bits]
    assert lookalike.groups(hashes, limit) == slow_groups(hashes, limit)


@pytest.mark.slow
def test_fifty_thousand_are_grouped_in_seconds():
    rng = np.random.default_rng(0)
    bits = np.unpackbits(rng.integers(0, 256, (5000, 32), dtype=np.uint8), axis=1)[rng.integers(0, 5000, 50_000)]
    for row in bits:
        row[rng.integers(0, 256, rng.integers(0, 6))] ^= 1
    started = time.monotonic()
    numbers = lookalike.groups([np.packbits(row).tobytes() for row in bits])
    assert len(set(numbers)) == 5000
    assert time.monotonic() - started < 60


def test_thousands_of_equal_pictures_are_one_group():
    same = [bytes(32)] * 3000 + [bytes([number % 8, number // 8 % 8]) + bytes(30) for number in range(64)]
    assert set(lookalike.groups(same)) == {0}
