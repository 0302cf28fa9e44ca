"""What does this model say about these pictures?

Loads a bundle's ONNX file(s) after they were checked, and answers with probabilities. One picture decoder and one
resize (ticketbot.imaging) stand before it in training and in serving; scaling happens inside the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts import bundle
from ticketbot.errors import BundleRefused
from ticketbot.imaging.resize import Geometry, to_input
from ticketbot.judge import graph
from ticketbot.judge.temperature import softmax

INPUT, OUTPUT = "pixels", "logits"
# Pictures through the network at once. One by one they stay in the processor's cache: at 320 px, 14.7 ms of processor
# time and 112 MB at 1; 22.2 ms and 167 MB at 4; 23.8 ms and 410 MB at 16.
CHUNK = 1


class Engine:
    """A loaded bundle. `answer` is what callers want; safe to call from several threads.

    Raises BundleRefused when the bundle must not be served.
    """

    def __init__(self, folder: Path | str, *, intra_threads: int = 1, spinning: bool = False) -> None:
        self.folder = Path(folder)
        self.manifest = bundle.read(self.folder)
        self._sessions = [
            _session(self.folder / stage.file, stage.input_px, len(self.manifest.classes), intra_threads, spinning)
            for stage in self.manifest.stages
        ]

    @property
    def model_id(self) -> str:
        return self.manifest.model_id

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    def logits(self, inputs: NDArray[np.uint8], stage: int = -1) -> NDArray[np.float32]:
        """Raw scores (N x C) for inputs (uint8, N x px x px x 3) of one stage; the last one unless told."""
        if not len(inputs):
            return np.zeros((0, len(self.classes)), dtype=np.float32)
        session = self._sessions[stage]
        parts = [
            session.run([OUTPUT], {INPUT: np.ascontiguousarray(inputs[start : start + CHUNK])})[0]
            for start in range(0, len(inputs), CHUNK)
        ]
        found = np.concatenate(parts)
        if found.shape != (len(inputs), len(self.classes)) or not np.isfinite(found).all():
            raise BundleRefused(f"{self.model_id}: its answers are not {len(self.classes)} finite numbers a picture")
        return found

    def probabilities(self, inputs: NDArray[np.uint8], stage: int = -1) -> NDArray[np.float64]:
        """softmax(logits / temperature), N x C, float64."""
        return softmax(self.logits(inputs, stage), self.manifest.temperature)

    def answer(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Probabilities (N x C) for canonical pictures (uint8, H x W x 3 each).

        With several stages a picture leaves at the first whose best probability reaches its exit_threshold.
        """
        found = np.zeros((len(pictures), len(self.classes)))
        left = np.arange(len(pictures))
        for number, stage in enumerate(self.manifest.stages):
            for start in range(0, len(left), CHUNK):
                some = left[start : start + CHUNK]
                inputs = np.stack([_input(pictures[index], stage) for index in some])
                found[some] = self.probabilities(inputs, number)
            if stage.exit_threshold is not None:
                left = left[found[left].max(axis=1) < stage.exit_threshold]
        return found


def _input(rgb: NDArray[np.uint8], stage: bundle.Stage) -> NDArray[np.uint8]:
    return to_input(rgb, stage.input_px, cast(Geometry, stage.geometry))  # bundle.read checked its value


def _session(path: Path, input_px: int, n_classes: int, intra_threads: int, spinning: bool) -> Any:
    graph.check(path)
    import onnxruntime  # 0.2 s: not for who only wants the decisions of this package

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A spinning thread answers a little sooner and burns a core while it waits; the web process has better uses.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    # The arena keeps the largest batch's memory for ever.
    options.enable_cpu_mem_arena = False
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes are not exported, and differ by version
        raise BundleRefused(f"{path.name} cannot be loaded: {_first_line(error)}") from None
    _check_ports(session, path.name, input_px, n_classes)
    return session


def _check_ports(session: Any, name: str, input_px: int, n_classes: int) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [one.name for one in inputs] != [INPUT] or [one.name for one in outputs] != [OUTPUT]:
        raise BundleRefused(f"{name}: must have the one input {INPUT!r} and the one output {OUTPUT!r}")
    into, out = inputs[0], outputs[0]
    if into.type != "tensor(uint8)" or list(into.shape[1:]) != [input_px, input_px, 3]:
        raise BundleRefused(f"{name}: takes {into.type} {into.shape}, not uint8 N x {input_px} x {input_px} x 3")
    if isinstance(into.shape[0], int):
        raise BundleRefused(f"{name}: takes batches of {into.shape[0]} only")
    if out.type != "tensor(float)" or len(out.shape) != 2 or out.shape[1] != n_classes:
        raise BundleRefused(f"{name}: gives {out.type} {out.shape}, not float N x {n_classes}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
