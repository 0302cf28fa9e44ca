"""Does a network in eight bits say the same? Then it serves: about half the time, a third of the size. Else fp32 does.

The body is quantized, activations by their range over some training pictures; the last layer stays fp32, so that a
newly fitted head needs no new quantizing. Whether it says the same is asked of the held-out pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketbot.judge.engine import INPUT
from ticketbot.judge.intervals import enough, lower_bound
from ticketbot.judge.mcnemar import LEVEL, one_sided

DELTA = 0.05
KINDS = ["Conv", "Add", "Clip", "Relu", "MaxPool"]


@dataclass(frozen=True)
class Agreement:
    """`same` of `n` held-out pictures get the same class; right_*: rightly answered; max_abs_diff: of a probability."""

    n: int
    same: int
    right_fp32: int
    right_int8: int
    max_abs_diff: float
    passes: bool
    reason: str


def least(share: float) -> int:
    """Held-out pictures needed to show it, when all of them agree."""
    return enough(0, share, DELTA)


def too_few(n: int, share: float) -> str:
    return f"{n} held-out pictures are too few to show that int8 says the same: {least(share)} are needed"


def agreement(fp32: NDArray[np.float64], int8: NDArray[np.float64], y: NDArray[np.int64], share: float) -> Agreement:
    """Judge the probabilities of both (N x C) for pictures of the classes y (N).

    Passes when it is proven (95 %) that at least `share` of pictures get the same class, and fp32 is not proven better.
    """
    said, also = fp32.argmax(axis=1), int8.argmax(axis=1)
    right, right_too = said == y, also == y
    same, n = int((said == also).sum()), len(y)
    proven = lower_bound(same, n, DELTA) >= share if n else False
    better = one_sided(int((right & ~right_too).sum()), int((right_too & ~right).sum())) < LEVEL
    if n < least(share):
        reason = too_few(n, share)
    elif not proven:
        reason = f"int8 says the same of {same} of {n} held-out pictures: at least {share:.0%} is not proven"
    elif better:
        reason = f"int8 is worse: {int(right_too.sum())} of {n} held-out pictures right, fp32 {int(right.sum())}"
    else:
        reason = f"int8 says the same of {same} of {n} held-out pictures"
    worst = float(np.abs(fp32 - int8).max()) if n else 0.0
    return Agreement(n, same, int(right.sum()), int(right_too.sum()), worst, proven and not better, reason)


def to_int8(source: Path, target: Path, inputs: NDArray[np.uint8]) -> None:
    """The network of `source` in eight bits. inputs: N x px x px x 3, by which the ranges of activations are found."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    nodes = onnx.load(source).graph.node
    logging.getLogger().addFilter(_no_advice)
    try:
        quantize_static(
            source,
            target,
            _reader(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=KINDS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[one.name for one in nodes if one.op_type in ("Gemm", "MatMul")],
            calibrate_method=CalibrationMethod.MinMax,
        )
    finally:
        logging.getLogger().removeFilter(_no_advice)


def with_values(source: Path, target: Path, values: Mapping[str, NDArray[np.float32]]) -> None:
    """The same network with other constants, by their names. Raises KeyError when it has no such constant."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(source)
    places = {one.name: one for one in model.graph.initializer}
    for name, value in values.items():
        places[name].CopyFrom(numpy_helper.from_array(value, name))
    onnx.save(model, target)


def _no_advice(record: logging.LogRecord) -> bool:
    """onnxruntime advises a preparation that changes nothing here: the exporter has folded all constants."""
    return "pre-processing" not in record.getMessage()


def _reader(inputs: NDArray[np.uint8]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows: Iterator[NDArray[np.uint8]] = iter(inputs)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            row = next(self.rows, None)
            return None if row is None else {INPUT: row[None]}

    return Reader()
