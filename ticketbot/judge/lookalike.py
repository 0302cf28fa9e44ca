"""Are these two the same picture to a person's eye?

A 256-bit perceptual hash: 64 x 64 grey, the 16 x 16 lowest waves of its cosine transform, each above or below their
median. Distance <= 12 is "the same picture" (saved again, scaled, recompressed). 64-bit hashes cannot tell a form from
the same form with another text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

GRID_PX = 64
WAVES = 16
HASH_BYTES = WAVES * WAVES // 8
SAME = 12
BLOCK = 1024  # hashes compared with a bucket at once
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def phash(rgb: NDArray[np.uint8]) -> bytes:
    """The 32-byte hash of a picture (uint8, H x W x 3)."""
    grey = rgb.astype(np.float32) @ GREY
    waves = _cosines() @ _shrunk(_shrunk(grey, 0), 1) @ _cosines().T
    # Rounded: an empty picture has only arithmetic noise here, which must not become random bits.
    waves = np.round(waves, 2)
    return np.packbits(waves > np.median(waves)).tobytes()


def distance(a: bytes, b: bytes) -> int:
    """In how many of the 256 bits do two hashes differ?"""
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def groups(hashes: Sequence[bytes], max_distance: int = SAME) -> list[int]:
    """Number the groups of look-alikes: equal numbers are linked by steps of at most `max_distance`.

    A group's number is the index of its first member. Hashes that differ in d bits agree in at least one of d + 1
    bands, so only those that share a band are compared.
    """
    if not hashes:
        return []
    table = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), HASH_BYTES)
    unique, inverse = np.unique(table, axis=0, return_inverse=True)
    forest = _Forest(len(unique))
    words = np.ascontiguousarray(unique).view(np.uint64)
    for keys in _bands(unique, max_distance + 1):
        for bucket in _buckets(keys):
            _link(words, bucket, forest, max_distance)
    return _numbered(forest.roots()[inverse.reshape(-1)])


class _Forest:
    """Union-find over numbers, with path halving."""

    def __init__(self, size: int) -> None:
        self.parent = np.arange(size)

    def find(self, one: int) -> int:
        parent = self.parent
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = int(parent[one])
        return one

    def join(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        self.parent[max(a, b)] = min(a, b)

    def roots(self) -> NDArray[np.int64]:
        """The root of every number; afterwards all trees are flat."""
        while True:
            above = self.parent[self.parent]
            if (above == self.parent).all():
                return self.parent
            self.parent = above


def _bands(table: NDArray[np.uint8], count: int) -> list[NDArray[np.void]]:
    """`count` keys a hash; neighbouring bits go to different bands, for neighbours are alike in all pictures."""
    bits = np.unpackbits(table, axis=1)
    return [_as_keys(np.packbits(bits[:, band::count], axis=1)) for band in range(count)]


def _as_keys(rows: NDArray[np.uint8]) -> NDArray[np.void]:
    return np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1]))).reshape(-1)


def _buckets(keys: NDArray[np.void]) -> list[NDArray[np.int64]]:
    """Index arrays of equal keys, two or more each."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(counts)
    return [order[end - count : end] for end, count in zip(ends, counts, strict=True) if count > 1]


def _link(words: NDArray[np.uint64], bucket: NDArray[np.int64], forest: _Forest, max_distance: int) -> None:
    roots = forest.roots()[bucket] if len(bucket) > BLOCK else None
    if roots is not None and (roots == roots[0]).all():
        return  # an earlier band found all of it
    for start in range(0, len(bucket), BLOCK):
        rows = bucket[start : start + BLOCK]
        rest = bucket[start:]
        differ = np.bitwise_count(words[rows, None, :] ^ words[None, rest, :]).sum(axis=2, dtype=np.uint16)
        near, other = np.nonzero(differ <= max_distance)
        for a, b in zip(rows[near[near < other]], rest[other[near < other]], strict=True):
            forest.join(int(a), int(b))


def _numbered(roots: NDArray[np.int64]) -> list[int]:
    first: dict[int, int] = {}
    return [first.setdefault(int(root), index) for index, root in enumerate(roots)]


def _shrunk(values: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """One side made GRID_PX long: each cell is the mean of the area it covers.

    By sums over its lines, not by a matrix product: with threads in the BLAS and other work on the processor, that took
    5 to 50 times as long. And cell by cell: reduceat converts what it adds up, which took 5 times as long.
    """
    lines = np.moveaxis(values, axis, 0)
    size = len(lines)
    edges = np.linspace(0, size, GRID_PX + 1)
    first = np.minimum(edges.astype(int), size - 1)
    ends = [*first[1:-1], size]  # two edges may lie within one line: then no line begins between them
    cells = np.empty((GRID_PX, lines.shape[1]))
    for cell, begin, end in zip(cells, first[:-1], ends, strict=True):
        np.add.reduce(lines[begin:end], axis=0, dtype=np.float64, out=cell)
    before = lines[first] * (edges - first)[:, None]  # of each edge's line, what lies in front of the edge
    cells -= before[:-1]
    cells[:-1] += before[1:-1]
    return np.moveaxis(cells * (GRID_PX / size), 0, axis)


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """The first WAVES rows of the cosine transform (DCT-II) of GRID_PX values, orthonormal."""
    wave, place = np.arange(WAVES)[:, None], np.arange(GRID_PX)[None, :]
    rows = np.cos(np.pi * wave * (2 * place + 1) / (2 * GRID_PX)) * np.sqrt(2 / GRID_PX)
    rows[0] /= np.sqrt(2)
    return rows
