"""What are these files on disk? The core of `ticketbot classify`, with a database or only a bundle."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ticketbot.classify.answer import answer_of
from ticketbot.classify.serving import Serving
from ticketbot.db import Database
from ticketbot.errors import ImageError, Refused
from ticketbot.imaging.decode import DecoderPool
from ticketbot.judge.engine import Engine
from ticketbot.settings import Settings

MAX_BYTES = 25 * 2**20


def classify_files(
    files: Iterable[Path], settings: Settings, *, bundle: Path | None = None, db: Database | None = None
) -> Iterator[dict[str, Any]]:
    """One answer a file, in their order: file, predictions, model, category, unsure, error ({code, message} or None).

    The model is `bundle`, or the champion of `db`. Raises BundleRefused or NotReady before the first answer.
    """
    engine = Engine(bundle) if bundle is not None else _champion(db, settings)
    rules = settings.classify
    decoders = DecoderPool(1, timeout_s=rules.decode_timeout_s)
    try:
        for path in files:
            yield _one(path, engine, decoders, settings)
    finally:
        decoders.close()


def _champion(db: Database | None, settings: Settings) -> Engine:
    if db is None:
        raise ValueError("a bundle or a database is needed")
    return Serving(db, settings).current()


def _one(path: Path, engine: Engine, decoders: DecoderPool, settings: Settings) -> dict[str, Any]:
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    try:
        seen = decoders.decode(read(path), max_px=engine.manifest.canonical_px)
    except Refused as error:
        nothing: dict[str, Any] = {"predictions": [], "model": engine.model_id, "category": None, "unsure": True}
        return {"file": name, **nothing, "error": {"code": error.code, "message": str(error)}}
    return {"file": name, **answer_of(engine, engine.answer([seen.rgb])[0], settings), "error": None}


def read(path: Path) -> bytes:
    """A regular file's bytes, at most MAX_BYTES; raises Refused (not_found, not_an_image, body_too_large)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
    except OSError as error:
        raise Refused("not_found", f"cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ImageError("not_an_image", "not a regular file")
    with open(descriptor, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ImageError("body_too_large", f"larger than {MAX_BYTES // 2**20} MB")
    return data
