"""A model bundle in a call, without torch: a tiny ONNX graph whose answer a test steers by the picture's colour.

make_bundle(path, classes=("red", "green", "blue"), rule="colour"): the class is the number of the strongest colour
channel of the picture's mean (red 0, green 1, blue 2), and a fourth class wins for pictures brighter than all that
(white). The stronger the colour, the surer the answer.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.support.needs import missing
from ticketbot.contracts import bundle
from ticketbot.contracts.bundle import Manifest, Stage, Threshold

# Which colour gets which class, in the order of `classes`.
COLOURS = ((220, 20, 20), (20, 220, 20), (20, 20, 220), (250, 250, 250))
CLASSES = ("reports", "errors", "screens", "tickets")


def picture(number: int = 0, *, px: int = 64, seed: int = 0, strength: float = 1.0) -> np.ndarray:
    """A canonical picture (uint8 RGB) that a colour bundle puts into class `number`; other seeds, other pictures.

    strength: 1 sure, 0 grey (the classes are equal).
    """
    rng = np.random.default_rng((number, seed))
    base = np.array(COLOURS[number]) * strength + 128 * (1 - strength)
    blocks = rng.normal(0, 25, size=(8, 8, 1)).repeat(px // 8, 0).repeat(px // 8, 1)
    return np.clip(base + blocks, 0, 255).astype(np.uint8)


def make_bundle(
    path,
    *,
    classes=CLASSES,
    rule="colour",
    model_id="test-1",
    input_px=32,
    geometry="squish",
    tag_from=None,
    shift=0,
    created_at=1000.0,
    golden=True,
    graph=None,
    **changes,
) -> Manifest:
    """Write a bundle into the folder `path` and return its manifest.

    rule: "colour" (see above), "nan" (answers that are no numbers), or "flat" (all classes equal). shift: the class
    number a colour gets is moved on by so many, for a second model that answers otherwise. tag_from: a proven
    threshold for all classes; None: nothing proven. graph: bytes to write instead of the ONNX file. changes: fields of
    the manifest.
    """
    onnx_bytes = graph if graph is not None else _onnx(len(classes), input_px, rule, shift)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(onnx_bytes)
    (folder / "report.html").write_text("<p>a test model</p>")
    manifest = replace(_manifest(classes, model_id, input_px, geometry, tag_from, created_at), **changes)
    if golden:
        _write_golden(folder, len(classes), input_px, shift, manifest.temperature)
    return bundle.write(folder, manifest)


def _manifest(classes, model_id, input_px, geometry, tag_from, created_at):
    threshold = Threshold(tag_from, tag_from is not None, 100 if tag_from is not None else 0, 0, 0)
    return Manifest(
        model_id=model_id,
        arch="colour",
        weights="none",
        classes=tuple(classes),
        canonical_px=640,
        stages=(Stage("model.onnx", input_px, geometry),),
        temperature=1.0,
        thresholds=dict.fromkeys(classes, threshold),
        promise={"precision": 0.95, "delta": 0.05},
        metrics={"n": 100, "accuracy": 0.9, "accuracy_low": 0.82, "accuracy_high": 0.95, "majority_share": 0.25},
        parity={"max_abs_diff": 0.0, "n": 1},
        gate={"promote": True, "reason": "a test", "champion": None, "p_value": None},
        snapshot={"hash": "0" * 64, "n": 400, "per_class": dict.fromkeys(classes, 100), "holdout": 100},
        recipe={},
        versions={},
        created_at=created_at,
        took_s=1.0,
    )


def _weights(n_classes, shift):
    """logits = mean colour (0 to 1) @ weights + bias: a channel against the others, and white as the fourth."""
    weights, bias = np.zeros((3, n_classes), np.float32), np.full(n_classes, -12.0, np.float32)
    for colour in range(min(4, n_classes)):
        number = (colour + shift) % n_classes
        weights[:, number] = -8.0 if colour < 3 else 8.0
        bias[number] = 0.0 if colour < 3 else -16.0
        if colour < 3:
            weights[colour, number] = 16.0
    return weights, bias


def logits_of(pixels, n_classes, shift=0):
    """What the colour graph calculates, in numpy."""
    weights, bias = _weights(n_classes, shift)
    return (pixels.astype(np.float64).mean(axis=(1, 2)) / 255) @ weights + bias


def _onnx(n_classes, px, rule, shift):
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        missing("onnx is not installed (pip install 'ticketbot[dev]')")
    weights, bias = _weights(n_classes, shift)
    if rule == "nan":
        weights[0, 0] = np.nan
    if rule == "flat":
        weights[:], bias[:] = 0, 0
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "full"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"]),
    ]
    tensors = {"full": np.float32(255), "axes": np.array([1, 2], np.int64), "weights": weights, "bias": bias}
    made = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", px, px, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", n_classes])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


def _write_golden(folder, n_classes, px, shift, temperature):
    from ticketbot.judge import golden
    from ticketbot.judge.temperature import softmax

    pixels = np.stack([picture(number % 4, px=px, seed=9) for number in range(4)])
    golden.write(folder, [(pixels, softmax(logits_of(pixels, n_classes, shift), temperature))])
