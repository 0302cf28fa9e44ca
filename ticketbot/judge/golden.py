"""Does this bundle still answer here as it did where it was made?

`golden.npz` holds, for stage i, `pixels_i` (uint8, N x px x px x 3) and `probabilities_i` (float64, N x C): a few
pictures and the answers recorded by the trainer. A damaged file, NaN weights, or a processor that calculates
differently show here, before the bundle goes live.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts.files import write_whole
from ticketbot.errors import BundleRefused
from ticketbot.judge.engine import Engine

GOLDEN = "golden.npz"
TOLERANCE = 1e-3
# Another processor or library rounds in other places, and in eight bits each rounding is a step: up to .011 was seen.
TOLERANCE_INT8 = 0.05
MAX_PICTURES = 64
MAX_UNPACKED_BYTES = 256 * 2**20


def write(folder: Path, stages: Sequence[tuple[NDArray[np.uint8], NDArray[np.floating]]]) -> None:
    """Write golden.npz into a bundle's folder: per stage its inputs and the probabilities expected for them.

    Before `bundle.write`, which takes its hash.
    """
    arrays: dict[str, Any] = {}
    for number, (pixels, probabilities) in enumerate(stages):
        if not 1 <= len(pixels) <= MAX_PICTURES:
            raise ValueError(f"1 to {MAX_PICTURES} golden pictures, not {len(pixels)}")
        arrays[f"pixels_{number}"] = np.asarray(pixels, dtype=np.uint8)
        arrays[f"probabilities_{number}"] = np.asarray(probabilities, dtype=np.float64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_whole(folder / GOLDEN, buffer.getvalue())


def check(engine: Engine) -> float:
    """The largest difference between recorded and present probabilities; raises BundleRefused above the tolerance."""
    worst, last = 0.0, len(engine.manifest.stages) - 1
    for number, (pixels, expected) in enumerate(_read(engine)):
        found = engine.probabilities(pixels, number)
        if expected.shape != found.shape or not np.isfinite(expected).all():
            raise BundleRefused(f"{GOLDEN}: recorded answers of stage {number} have the wrong shape or are not finite")
        off = float(np.abs(found - expected).max())
        # What stands before another network is in eight bits.
        coarse = number < last or engine.manifest.parity.get("precision") == "int8"
        allowed = TOLERANCE_INT8 if coarse else TOLERANCE
        if not off <= allowed:
            raise BundleRefused(f"the golden pictures get other answers here: off by {off:.3g}, allowed {allowed}")
        worst = max(worst, off)
    return worst


def _read(engine: Engine) -> list[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    if GOLDEN not in engine.manifest.files:
        raise BundleRefused(f"the bundle has no {GOLDEN}: its answers cannot be checked")
    path = engine.folder / GOLDEN
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise BundleRefused(f"{GOLDEN} is too large")
        with np.load(path, allow_pickle=False) as arrays:
            return [_stage(arrays, number, stage.input_px) for number, stage in enumerate(engine.manifest.stages)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BundleRefused(f"{GOLDEN} cannot be read: {error}") from None


def _stage(arrays: Any, number: int, input_px: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    pixels, expected = arrays[f"pixels_{number}"], arrays[f"probabilities_{number}"]
    good = pixels.dtype == np.uint8 and pixels.shape[1:] == (input_px, input_px, 3)
    if not good or not 1 <= len(pixels) <= MAX_PICTURES or expected.dtype != np.float64:
        raise ValueError(f"stage {number}: wrong shape or type")
    return pixels, expected
