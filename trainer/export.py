"""How does a trained network become files that serve, and are they the same network?

The ONNX graph takes pixels and gives logits; onnxruntime and torch must agree on every validation picture to 1e-3, or
nothing is written.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import ticketbot
from ticketbot.contracts import bundle
from ticketbot.contracts.files import canonical_json
from ticketbot.errors import ImageError, TrainingFailed
from ticketbot.imaging.decode import DecoderPool
from ticketbot.judge import golden, trust
from ticketbot.judge.engine import INPUT, OUTPUT, Engine
from ticketbot.judge.temperature import softmax
from trainer import report
from trainer.data.pictures import DECODERS, TIMEOUT_S, Dataset
from trainer.trained import Trained, logits_of

if TYPE_CHECKING:
    from trainer.run import Measured

ONNX = "model.onnx"
PARITY = 1e-3
GOLDEN_PICTURES = 8
OPSET = 20
PACKAGES = ("torch", "torchvision", "fastai", "onnx", "onnxruntime", "scikit-learn", "numpy", "pillow")


def fill(
    folder: Path,
    manifest: bundle.Manifest,
    trained: Trained,
    inputs: NDArray[np.uint8],
    shown: Dataset,
    data: Dataset,
    measured: Measured,
) -> bundle.Manifest:
    """Everything but the manifest into `folder`; returns it with parity. Raises TrainingFailed above 1e-3."""
    to_onnx(trained.module, manifest.stages[0].input_px, folder / ONNX)
    manifest = replace(manifest, parity=parity(trained.module, folder / ONNX, inputs))
    some = inputs[np.linspace(0, len(inputs) - 1, min(GOLDEN_PICTURES, len(inputs))).astype(int)]
    golden.write(folder, [(some, _served(folder / ONNX, some, manifest.temperature))])
    (folder / "report.html").write_text(report.page(manifest, trained, data, measured), "utf-8")
    return manifest


def seal(folder: Path, manifest: bundle.Manifest, secret: bytes | None) -> bundle.Manifest:
    """Write the manifest with every hash, signed when there is a key; then check the bundle as the service will."""
    manifest = bundle.write(folder, manifest)
    if secret is not None:
        manifest = trust.sign(folder, secret)
    golden.check(Engine(folder))
    return manifest


def to_onnx(module: nn.Module, px: int, path: Path) -> None:
    """uint8 N x px x px x 3 -> logits, N free."""
    module = module.to(memory_format=torch.contiguous_format).eval()
    example = torch.randint(0, 256, (2, px, px, 3), dtype=torch.uint8)
    # The exporter talks a lot about itself; what matters is checked by `parity`.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            verbose=False,
        )


def parity(module: nn.Module, path: Path, inputs: NDArray[np.uint8]) -> dict[str, Any]:
    """The largest difference of a logit between torch and onnxruntime over all pictures."""
    found = _logits(path, inputs)
    worst = float(np.abs(found - logits_of(module, inputs)).max())
    if not worst <= PARITY:
        raise TrainingFailed(f"the exported model differs from the trained one by {worst:.3g}; allowed {PARITY}")
    return {"max_abs_diff": worst, "n": len(inputs)}


def answers(engine: Engine, paths: Sequence[Path]) -> NDArray[np.float64]:
    """Probabilities as served, from files; a picture that cannot be read has only nan."""
    found = np.full((len(paths), len(engine.classes)), np.nan)
    with DecoderPool(DECODERS, TIMEOUT_S) as pool:
        for number, path in enumerate(paths):
            try:
                picture = pool.decode(path.read_bytes(), max_px=engine.manifest.canonical_px)
            except ImageError:
                continue
            found[number] = engine.answer([picture.rgb])[0]
    return found


def snapshot_facts(data: Dataset, held: Dataset) -> dict[str, Any]:
    """What the manifest says of the pictures."""
    facts = sorted([one.sha256, data.classes[one.label], one.split] for one in data.pictures)
    counts = Counter(data.classes[one.label] for one in data.pictures)
    name = hashlib.sha256(canonical_json([list(data.classes), facts])).hexdigest()
    per_class = {one: counts[one] for one in data.classes}
    return {"hash": name, "n": len(data.pictures), "per_class": per_class, "holdout": len(held.pictures)}


def versions() -> dict[str, str]:
    found = {"ticketbot": ticketbot.__version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in PACKAGES}


def _served(path: Path, inputs: NDArray[np.uint8], temperature_: float) -> NDArray[np.float64]:
    return softmax(_logits(path, inputs), temperature_)


def _logits(path: Path, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([OUTPUT], {INPUT: inputs[at : at + 16]})[0] for at in range(0, len(inputs), 16)])
