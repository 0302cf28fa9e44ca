"""Which ONNX graph is made already? Making one takes seconds, and the small body never changes.

A training of the small body fits only its last layer. So its graph is kept in the cache, by everything that makes it
what it is, and a training puts its own last layer in. Whether the file says what torch says is asked of every export,
wherever the graph came from.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from importlib import metadata
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError
from torch import nn

from ticketbot.judge.engine import INPUT, OUTPUT
from trainer import body, quantize
from trainer.data.cache import Cache

OPSET = 20
KIND = "graphs"
LAST = ("body.1.weight", "body.1.bias")
MAKERS = ("torch", "onnx", "onnxscript")


def write(module: nn.Module, px: int, path: Path, cache: Cache) -> None:
    """The ONNX file of a trained module at `path`: of a kept graph when its body is the small one."""
    if not is_small(module):
        to_onnx(module, px, path)
        return
    kept = cache.file(KIND, f"{name(module, px)}.onnx", lambda new: to_onnx(module, px, new))
    state = module.state_dict()
    try:
        quantize.with_values(kept, path, {key: state[key].numpy() for key in LAST})
    except (DecodeError, KeyError):  # damaged
        kept.unlink()
        to_onnx(module, px, path)


def is_small(module: nn.Module) -> bool:
    """The small body and one layer behind it, as trainer.head makes it."""
    inner = getattr(module, "body", None)
    return isinstance(inner, nn.Sequential) and len(inner) == 2 and isinstance(inner[0], body.SmallBody)


def name(module: nn.Module, px: int) -> str:
    """Of all that decides the graph but the last layer's numbers: code, versions, sizes, and the body's own numbers."""
    found = hashlib.sha256()
    state = module.state_dict()
    small = module.get_submodule("body.0")
    facts = [OPSET, px, sorted(small.blocks), sorted(small.grid), tuple(state[LAST[0]].shape)]
    facts += [metadata.version(one) for one in MAKERS]
    found.update(repr(facts).encode())
    for source in (body.__file__, __file__):
        found.update(Path(source).read_bytes())
    for key, value in state.items():
        if key not in LAST:
            found.update(key.encode() + value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:32]


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
    _without_traces(path)


def _without_traces(path: Path) -> None:
    """The exporter notes where in which files each step was made: paths of this machine, for nobody elsewhere."""
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.save(model, path)
