"""Pictures can be decoded, the champion can be served, the trainer can be started."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import sys
from collections.abc import Iterator

from PIL import Image
from sqlalchemy import select

from ticketbot.db import migrate
from ticketbot.db.models import Model
from ticketbot.errors import BundleRefused
from ticketbot.imaging.decode import DecoderPool
from ticketbot.operate.checks.finding import Finding, Patient, fault, note, ok


def decoder(patient: Patient) -> Iterator[Finding]:
    """A small picture through the guarded child, as every picture goes."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), "white").save(picture, "JPEG")
    with DecoderPool(1, timeout_s=max(10.0, patient.settings.classify.decode_timeout_s)) as pool:
        pool.decode(picture.getvalue())
    yield ok("decoder", "a picture came through the guarded child")


def champion(patient: Patient) -> Iterator[Finding]:
    db = patient.db
    if db is None or migrate.current(db) != migrate.head(db):
        return
    with db.read() as session:
        found = session.scalar(select(Model).where(Model.state == "champion"))
        others = session.scalars(select(Model.id).where(Model.state == "challenger")).all()
    if found is None:
        do = f"ticketbot models promote {others[0]} --reason …" if others else "label pictures, then ticketbot retrain"
        yield note("model", "none is in service: pictures are collected and wait", do)
        return
    from ticketbot.classify.serving import load  # brings onnxruntime

    try:
        engine = load(patient.settings, found.id)
    except BundleRefused as error:
        yield fault(
            "model", f"{found.id} cannot be served: {error}", "ticketbot models rollback, or restore its bundle"
        )
        return
    unproven = [name for name, one in engine.manifest.thresholds.items() if not one.proven]
    if unproven and patient.settings.model.unproven == "review":
        yield note("model", f"{found.id}: {', '.join(unproven)} not proven yet, so people decide these", "label more")
    else:
        yield ok("model", f"{found.id} answers its golden pictures as recorded")


def trainer(patient: Patient) -> Iterator[Finding]:
    command = patient.settings.retrain.command
    program = command[0].replace("{python}", sys.executable)
    for key in ("recipe", "sign_key"):
        path = getattr(patient.settings.retrain, key)
        if path and not os.access(path, os.R_OK):
            yield fault("trainer", f"retrain.{key} names {path}, which cannot be read", f"correct retrain.{key}")
            return
    if shutil.which(program) is None:
        yield fault("trainer", f"retrain.command starts {program}, which is not there", "correct retrain.command")
    elif command[:1] == ("{python}",) and importlib.util.find_spec("torch") is None:
        do = "pip install 'ticketbot[train]' here, or train elsewhere and: ticketbot models import"
        yield note("trainer", "torch is not installed, so nothing is trained on this machine", do)
    else:
        yield ok("trainer", f"{program} can be started")
