"""What does a bundle say of these files? One answer a file, in the order of the arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ticketbot.errors import ImageError
from ticketbot.imaging.decode import DecoderPool
from ticketbot.judge.decide import category_of, ranked
from ticketbot.judge.engine import Engine


def predict(folder: Path, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """As `ticketbot classify --json`: file, predictions best first, category or None, unsure, error or None."""
    engine = Engine(folder)
    with DecoderPool() as pool:
        for path in files:
            yield {"file": str(path), **_answer(engine, pool, path)}


def _answer(engine: Engine, pool: DecoderPool, path: Path) -> dict[str, Any]:
    manifest = engine.manifest
    try:
        picture = pool.decode(path.read_bytes(), max_px=manifest.canonical_px)
    except ImageError as error:
        return _unread(error.code, str(error))
    except OSError as error:
        return _unread("not_found", error.strerror or "cannot be read")
    row = engine.answer([picture.rgb])[0]
    decision = category_of(row, manifest.classes, manifest.thresholds, "review", 1.0)
    predictions = [list(pair) for pair in ranked(row, manifest.classes)]
    return {"predictions": predictions, "category": decision.category, "unsure": decision.unsure, "error": None}


def _unread(code: str, message: str) -> dict[str, Any]:
    return {"predictions": [], "category": None, "unsure": False, "error": {"code": code, "message": message}}
