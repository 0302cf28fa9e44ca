"""How does a trained network become files that serve, and are they the same network?

The ONNX graph takes pixels and gives logits; onnxruntime and torch must agree on every validation picture to 1e-3, or
nothing is written. Of that graph an int8 one is made, which serves when it is shown to say the same (trainer.quantize).
"""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
from trainer import cascade, graphs, pickled, quantize, report
from trainer.data import pictures
from trainer.data.cache import Cache
from trainer.data.pictures import DECODERS, TIMEOUT_S, Dataset, Picture, View
from trainer.recipe import Export
from trainer.trained import Trained, logits_of

if TYPE_CHECKING:
    from trainer.run import Measured

ONNX, INT8 = "model.onnx", "model.int8.onnx"
PARITY = 1e-3
GOLDEN_PICTURES = 8
CHUNK = 64
PACKAGES = ("torch", "torchvision", "fastai", "onnx", "onnxruntime", "scikit-learn", "numpy", "pillow")


@dataclass(frozen=True)
class Network:
    """The file that serves, and the one that is asked first, with its exit, if there is one. parity: for the manifest.
    logits: int8's answers for the held-out pictures (N x C), by the network that is measured; None when fp32 serves or
    decides as it would, whose answers are torch's.
    """

    file: str
    parity: dict[str, Any]
    logits: NDArray[np.float32] | None = None
    first: tuple[str, float] | None = None

    def stages(self, view: View) -> tuple[bundle.Stage, ...]:
        """For the manifest."""
        last = bundle.Stage(self.file, view.px, view.geometry)
        if self.first is None:
            return (last,)
        file, exit_threshold = self.first
        return (bundle.Stage(file, view.px, view.geometry, exit_threshold), last)


@dataclass(frozen=True)
class Hand:
    """Pictures at hand that `before` did not learn from, what it says of them (N x C, fp32), and from which probability
    on each class is tagged (C).
    """

    pictures: Sequence[Picture]
    view: View
    logits: NDArray[np.float32]
    limits: Sequence[float]


def network(
    folder: Path,
    module: nn.Module,
    before: nn.Module,
    shown: NDArray[np.uint8],
    y: NDArray[np.int64],
    samples: NDArray[np.uint8],
    temperature: float,
    recipe: Export,
    cache: Cache,
    known: NDArray[np.float32] | None = None,
    hand: Hand | None = None,
) -> Network:
    """Make the ONNX file of `module` in `folder`: int8 when it says the same as fp32 does, else fp32 and why.

    before: the network as it was measured (module, or the same with another head). shown (N x px x px x 3): what fp32
    is compared with torch on; y: their classes when they are held out, else empty. samples: to find int8's ranges by.
    known: what torch's module says of `shown` (N x C) when that was calculated before. hand: to prove a cascade by.
    Raises TrainingFailed when ONNX and torch differ by more than 1e-3.
    """
    graphs.write(module, shown.shape[1], folder / ONNX, cache)
    exact = _logits(folder / ONNX, shown)
    said = parity(exact, logits_of(module, shown) if known is None else known)
    if not recipe.int8:
        return Network(ONNX, {**said, "precision": "fp32", "reason": "the recipe wants no int8"})
    if hand is not None:
        quantize.to_int8(folder / ONNX, folder / INT8, samples)
        proof = _proof(folder, module, before, hand, temperature, cache, recipe.cascade)
        said["cascade"] = asdict(proof)
        if proof.passes:
            reason = f"int8 is asked first: {proof.reason}"
            return Network(ONNX, {**said, "precision": "fp32", "reason": reason}, first=(INT8, proof.exit_threshold))
    if len(y) < quantize.least(recipe.int8_same):
        (folder / INT8).unlink(missing_ok=True)
        return Network(ONNX, {**said, "precision": "fp32", "reason": quantize.too_few(len(y), recipe.int8_same)})
    if hand is None:
        quantize.to_int8(folder / ONNX, folder / INT8, samples)
    agreed = quantize.agreement(
        softmax(exact, temperature), _served(folder / INT8, shown, temperature), y, recipe.int8_same
    )
    said |= {"precision": "int8" if agreed.passes else "fp32", "reason": agreed.reason, "int8": asdict(agreed)}
    (folder / (ONNX if agreed.passes else INT8)).unlink()
    if not agreed.passes:
        return Network(ONNX, said)
    return Network(INT8, said, _before(folder, module, before, shown))


def _proof(
    folder: Path, module: nn.Module, before: nn.Module, hand: Hand, temperature: float, cache: Cache, least: int
) -> cascade.Proof:
    """Does int8, with the head of the network that is measured, decide as that network does?"""
    parts = [hand.pictures[at : at + CHUNK] for at in range(0, len(hand.pictures), CHUNK)]
    with _with_head(folder, module, before) as path:
        quick = [_logits(path, pictures.inputs(some, cache, hand.view)) for some in parts]
    mixed = np.random.default_rng(0).permutation(len(hand.pictures))
    full, quick_ = softmax(hand.logits, temperature), softmax(np.concatenate(quick), temperature)
    return cascade.prove(full[mixed], quick_[mixed], hand.limits, max(least, cascade.LEAST))


def _before(folder: Path, module: nn.Module, before: nn.Module, shown: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The int8 answers of the network that is measured: with its own head."""
    with _with_head(folder, module, before) as path:
        return _logits(path, shown)


@contextmanager
def _with_head(folder: Path, module: nn.Module, before: nn.Module) -> Iterator[Path]:
    """The int8 file of `module` with what is different in `before`: its head."""
    now, then = module.state_dict(), before.state_dict()
    other = {name: value.numpy() for name, value in then.items() if not torch.equal(value, now[name])}
    if not other:
        yield folder / INT8
        return
    path = folder / ".before.onnx"
    quantize.with_values(folder / INT8, path, other)
    try:
        yield path
    finally:
        path.unlink()


def fill(
    folder: Path,
    manifest: bundle.Manifest,
    trained: Trained,
    shown: NDArray[np.uint8],
    data: Dataset,
    measured: Measured,
    recipe: Export,
) -> None:
    """What stands beside the network: golden answers, the report, and export.pkl when it is wanted."""
    stage = manifest.stages[-1]
    some = shown[np.linspace(0, len(shown) - 1, min(GOLDEN_PICTURES, len(shown))).astype(int)]
    golden.write(folder, [(some, _served(folder / one.file, some, manifest.temperature)) for one in manifest.stages])
    (folder / "report.html").write_text(report.page(manifest, trained, data, measured), "utf-8")
    if recipe.fastai:
        pickled.write(
            trained.module.get_submodule("body"),
            manifest.temperature,
            manifest.classes,
            stage.input_px,
            stage.geometry,
            folder,
        )


def seal(folder: Path, manifest: bundle.Manifest, secret: bytes | None) -> bundle.Manifest:
    """Write the manifest with every hash, signed when there is a key; then check the bundle as the service will."""
    manifest = bundle.write(folder, manifest)
    if secret is not None:
        manifest = trust.sign(folder, secret)
    golden.check(Engine(folder))
    return manifest


def parity(found: NDArray[np.float32], trained: NDArray[np.float32]) -> dict[str, Any]:
    """The largest difference of a logit (N x C) between onnxruntime and torch. Raises TrainingFailed above 1e-3."""
    worst = float(np.abs(found - trained).max())
    if not worst <= PARITY:
        raise TrainingFailed(f"the exported model differs from the trained one by {worst:.3g}; allowed {PARITY}")
    return {"max_abs_diff": worst, "n": len(found)}


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
