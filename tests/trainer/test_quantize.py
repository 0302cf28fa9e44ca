import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.needs import missing
from ticketbot.judge.engine import INPUT, OUTPUT
from trainer import quantize

SHARE = 0.95


def probabilities(classes):
    return np.eye(3)[np.asarray(classes, dtype=int)] * 0.8 + 0.2 / 3


@pytest.mark.parametrize(
    ("n", "other", "passes", "words"),
    [
        (58, 0, False, "58 held-out pictures are too few"),
        (59, 0, True, "the same of 59 of 59"),
        (59, 1, False, "the same of 58 of 59 held-out pictures: at least 95% is not proven"),
        (93, 1, True, "the same of 92 of 93"),
        (400, 8, False, "int8 is worse: 392 of 400 held-out pictures right, fp32 400"),
        (400, 40, False, "the same of 360 of 400"),
        (0, 0, False, "0 held-out pictures are too few"),
    ],
)
def test_it_serves_when_it_is_shown_to_say_the_same(n, other, passes, words):
    y = np.zeros(n, np.int64)
    also = y.copy()
    also[:other] = 1
    found = quantize.agreement(probabilities(y), probabilities(also), y, SHARE)
    assert (found.passes, found.n, found.same) == (passes, n, n - other)
    assert words in found.reason


def test_other_answers_that_are_no_worse_are_let_pass():
    y = np.zeros(400, np.int64)
    said, also = y.copy(), y.copy()
    said[:4], also[4:8] = 1, 1
    assert quantize.agreement(probabilities(said), probabilities(also), y, SHARE).passes


@given(st.integers(0, 120), st.integers(0, 120))
def test_one_more_difference_never_turns_a_no_into_a_yes(n, other):
    other = min(other, n)
    y = np.zeros(n, np.int64)

    def passes(count):
        also = y.copy()
        also[:count] = 1
        return quantize.agreement(probabilities(y), probabilities(also), y, SHARE).passes

    assert passes(other) or not passes(min(other + 1, n))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small network with a last layer, its ONNX file, and pictures."""
    torch = pytest.importorskip("torch") if _has_torch() else missing("torch is not installed: pip install '.[train]'")
    from trainer import body, graphs

    torch.manual_seed(3)
    layers = [torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    module = body.Served(torch.nn.Sequential(*layers, torch.nn.Linear(8, 3))).eval()
    folder = tmp_path_factory.mktemp("onnx")
    graphs.to_onnx(module, 32, folder / "fp32.onnx")
    return module, folder, np.random.default_rng(5).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)


def _has_torch():
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def answers(path, pictures):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], {INPUT: pictures})[0]


def test_the_eight_bit_network_is_near_and_not_the_same(made):
    _, folder, pictures = made
    quantize.to_int8(folder / "fp32.onnx", folder / "int8.onnx", pictures[:20])
    exact, coarse = answers(folder / "fp32.onnx", pictures), answers(folder / "int8.onnx", pictures)
    assert 0 < np.abs(exact - coarse).max() < 0.1 * exact.std(axis=0).max() + 0.05


def test_a_head_can_be_put_on_it_afterwards(made):
    _, folder, pictures = made
    quantize.to_int8(folder / "fp32.onnx", folder / "int8.onnx", pictures[:20])
    values = {"body.4.weight": np.zeros((3, 8), np.float32), "body.4.bias": np.array([1, 2, 3], np.float32)}
    quantize.with_values(folder / "int8.onnx", folder / "other.onnx", values)
    assert np.allclose(answers(folder / "other.onnx", pictures), [1, 2, 3])
    with pytest.raises(KeyError):
        quantize.with_values(folder / "int8.onnx", folder / "other.onnx", {"nothing": np.zeros(1, np.float32)})


def test_the_exported_file_names_no_path_of_the_machine_it_was_made_on(made):
    _, folder, _ = made
    data = (folder / "fp32.onnx").read_bytes()
    assert b"stack_trace" not in data and __file__.rsplit("/", 3)[0].encode() not in data
