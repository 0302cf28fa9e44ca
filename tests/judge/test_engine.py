"""Loading a bundle: what it answers, and what must be refused before, while and after loading."""

import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bundles import CLASSES, make_bundle, picture
from ticketbot.contracts import bundle
from ticketbot.contracts.bundle import Stage
from ticketbot.errors import BundleRefused
from ticketbot.judge import golden, graph, trust
from ticketbot.judge.engine import Engine
from ticketbot.judge.probe import probe

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ticketbot[dev]')")


def onnx_model(*, nodes=None, px=32, n_classes=4, tensors=(), domain="", input_name="pixels"):
    """A small valid model; name what is wrong with it."""
    helper, proto = onnx.helper, onnx.TensorProto
    nodes = nodes or [
        helper.make_node("Cast", [input_name], ["numbers"], to=proto.FLOAT, domain=domain),
        helper.make_node("ReduceMean", ["numbers", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "weights"], ["logits"]),
    ]
    weights = [
        onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        onnx.numpy_helper.from_array(np.ones((3, n_classes), np.float32), "weights"),
        *tensors,
    ]
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(input_name, proto.UINT8, ["n", px, px, 3])],
        [helper.make_tensor_value_info("logits", proto.FLOAT, ["n", n_classes])],
        weights,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def external(location):
    tensor = onnx.TensorProto(name="secret", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "bundle"


def test_it_answers_by_what_the_network_sees(folder):
    make_bundle(folder)
    engine = Engine(folder)
    pictures = [picture(number, px=96, seed=3) for number in range(4)]
    answers = engine.answer(pictures)
    assert answers.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert answers.sum(axis=1) == pytest.approx(np.ones(4))
    assert engine.classes == CLASSES


def test_no_pictures_get_no_answers(folder):
    make_bundle(folder)
    assert Engine(folder).answer([]).shape == (0, 4)


def test_more_pictures_than_one_chunk_keep_their_order(folder):
    make_bundle(folder)
    numbers = [number % 4 for number in range(37)]
    assert Engine(folder).answer([picture(one) for one in numbers]).argmax(axis=1).tolist() == numbers


def test_the_temperature_is_applied(folder):
    make_bundle(folder, temperature=10.0)
    assert Engine(folder).answer([picture(0)]).max() < 0.8


def test_a_picture_leaves_the_cascade_when_it_is_sure_enough(folder):
    make_bundle(folder / "first")
    stages = (Stage("model.onnx", 32, "squish", exit_threshold=0.9), Stage("second.onnx", 48, "pad"))
    make_bundle(folder, stages=stages, golden=False)
    (folder / "second.onnx").write_bytes(onnx_model(px=48))  # says the same about everything
    bundle.write(folder, bundle.read(folder, check_files=False))
    answers = Engine(folder).answer([picture(0), picture(1, strength=0.02), picture(2)])
    assert answers[1] == pytest.approx(np.full(4, 0.25))
    assert (answers[[0, 2]].max(axis=1) > 0.9).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a model"),
        (b"\x00" * 100, "not an ONNX model"),
        (os.urandom(500), "model.onnx"),
        (pickle.dumps({"a": 1}), "model.onnx"),
    ],
    ids=["empty", "zeros", "random", "pickle"],
)
def test_bytes_that_are_no_model_are_refused(folder, content, said):
    make_bundle(folder, graph=content)
    with pytest.raises(BundleRefused, match=said):
        Engine(folder)


def test_a_cut_off_model_is_refused(folder):
    make_bundle(folder, graph=onnx_model()[:-20])
    with pytest.raises(BundleRefused, match=r"cut off|cannot be loaded"):
        Engine(folder)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "weights.bin"])
def test_data_in_another_file_is_refused_before_loading(folder, location):
    make_bundle(folder, graph=onnx_model(tensors=[external(location)]))
    with pytest.raises(BundleRefused, match="another file"):
        graph.check(folder / "model.onnx")


def test_data_in_another_file_is_found_in_attributes_of_nested_graphs(folder):
    helper = onnx.helper
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=external("../secret.bin"))],
        "inner",
        [],
        [helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [4])],
    )
    nodes = [helper.make_node("If", ["pixels"], ["logits"], then_branch=inner, else_branch=inner)]
    with pytest.raises(BundleRefused, match="another file"):
        graph.check_bytes(memoryview(onnx_model(nodes=nodes)))


def test_unknown_operators_are_refused_before_loading(folder):
    make_bundle(folder, graph=onnx_model(domain="evil.ops"))
    with pytest.raises(BundleRefused, match=r"unknown domain 'evil\.ops'"):
        Engine(folder)


def test_too_many_nodes_are_refused(folder):
    nodes = [onnx.helper.make_node("Identity", ["pixels"], [f"n{number}"]) for number in range(graph.MAX_NODES + 1)]
    make_bundle(folder, graph=onnx_model(nodes=nodes))
    with pytest.raises(BundleRefused, match="nodes"):
        Engine(folder)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"input_name": "image"}, "'pixels'"), ({"px": 33}, "not uint8"), ({"n_classes": 3}, "not float N x 4")],
)
def test_a_model_with_other_ports_is_refused(folder, wrong, said):
    make_bundle(folder, graph=onnx_model(**wrong))
    with pytest.raises(BundleRefused, match=said):
        Engine(folder)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_model_is_counted_or_refused_and_nothing_else(data):
    whole = bytearray(onnx_model())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert graph.check_bytes(memoryview(bytes(whole[: data.draw(st.integers(1, len(whole)))]))) > 0
    except BundleRefused:
        pass


def test_a_changed_file_is_refused(folder):
    make_bundle(folder)
    (folder / "model.onnx").write_bytes(onnx_model())
    with pytest.raises(BundleRefused, match="sha256"):
        Engine(folder)


def test_an_export_pkl_is_never_read(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    folder.mkdir()
    (folder / "export.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BundleRefused, match="not a bundle"):
        Engine(folder)
    make_bundle(folder)
    Engine(folder)
    assert not (tmp_path / "ran").exists()


# --- golden pictures -------------------------------------------------------------------------------------------------


def test_the_golden_pictures_are_answered_as_recorded(folder):
    make_bundle(folder, temperature=1.7)
    assert golden.check(Engine(folder)) < 1e-5


def test_other_answers_than_recorded_are_refused(folder):
    make_bundle(folder)
    golden.write(folder, [(np.stack([picture(0, px=32)]), np.array([[0.1, 0.9, 0.0, 0.0]]))])
    bundle.write(folder, bundle.read(folder, check_files=False))
    with pytest.raises(BundleRefused, match="other answers here"):
        golden.check(Engine(folder))


@pytest.mark.parametrize(
    ("first", "last", "passes"), [(0.03, 0.0, True), (0.06, 0.0, False), (0.0, 0.03, False), (0.0, 0.0005, True)]
)
def test_only_what_stands_before_another_network_may_answer_a_little_differently(folder, first, last, passes):
    stages = (Stage("model.onnx", 32, "squish", exit_threshold=0.9), Stage("second.onnx", 32, "squish"))
    make_bundle(folder, stages=stages, golden=False)
    (folder / "second.onnx").write_bytes((folder / "model.onnx").read_bytes())
    pixels = np.stack([picture(0, px=32)])
    bundle.write(folder, bundle.read(folder, check_files=False))
    said = Engine(folder).probabilities(pixels)
    golden.write(folder, [(pixels, said + first), (pixels, said + last)])
    bundle.write(folder, bundle.read(folder, check_files=False))
    if passes:
        golden.check(Engine(folder))
    else:
        with pytest.raises(BundleRefused, match="other answers here"):
            golden.check(Engine(folder))


def test_weights_that_are_not_numbers_are_refused(folder):
    make_bundle(folder, rule="nan")
    with pytest.raises(BundleRefused, match="finite"):
        golden.check(Engine(folder))


def test_a_bundle_without_golden_pictures_is_refused(folder):
    make_bundle(folder, golden=False)
    with pytest.raises(BundleRefused, match="has no golden"):
        golden.check(Engine(folder))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY"])
def test_golden_pictures_that_cannot_be_read_are_refused(folder, content):
    make_bundle(folder)
    (folder / "golden.npz").write_bytes(content)
    bundle.write(folder, bundle.read(folder, check_files=False))
    with pytest.raises(BundleRefused, match="cannot be read"):
        golden.check(Engine(folder))


# --- the first run, in a child ---------------------------------------------------------------------------------------


def test_the_first_run_says_what_it_took(folder):
    make_bundle(folder)
    said = probe(folder)
    assert said["model"] == "test-1"
    assert said["worst"] < 1e-5


def test_the_first_run_refuses_with_the_reason(folder):
    make_bundle(folder, rule="nan")
    with pytest.raises(BundleRefused, match="finite"):
        probe(folder)


def hungry():
    """A few bytes that ask for 34 GB."""
    helper, proto = onnx.helper, onnx.TensorProto
    shape = onnx.numpy_helper.from_array(np.array([2**33], np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["pixels"], ["numbers"], to=proto.FLOAT),
        helper.make_node("Add", ["numbers", "sum"], ["more"]),
        helper.make_node("ReduceMean", ["more", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "weights"], ["logits"]),
    ]
    return onnx_model(nodes=nodes, tensors=[shape])


def endless():
    """A loop of 2**40 rounds."""
    helper, proto = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", proto.INT64, []),
            helper.make_tensor_value_info("go", proto.BOOL, []),
            helper.make_tensor_value_info("x", proto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("on", proto.BOOL, []), helper.make_tensor_value_info("y", proto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=proto.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "axes"], ["mean"], keepdims=0),
        helper.make_node("Loop", ["rounds", "", "mean"], ["mean2"], body=body),
        helper.make_node("Gemm", ["mean2", "weights"], ["logits"]),
    ]
    return onnx_model(nodes=nodes, tensors=[onnx.numpy_helper.from_array(np.int64(2**40), "rounds")])


@pytest.mark.parametrize(("make", "timeout_s"), [(hungry, 60), (endless, 3)])
def test_a_model_that_eats_the_machine_only_kills_its_child(folder, make, timeout_s):
    make_bundle(folder, graph=make())
    with pytest.raises(BundleRefused):
        probe(folder, timeout_s=timeout_s, memory_mb=1024)


# --- trust -----------------------------------------------------------------------------------------------------------

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))


def admit(manifest, *keys, categories=CLASSES):
    trust.admit(manifest, categories=categories, trusted_keys=keys)


def test_a_signed_bundle_is_admitted_by_who_knows_the_key(folder):
    make_bundle(folder)
    signed = trust.sign(folder, SECRET)
    assert bundle.read(folder) == signed
    admit(signed, trust.public_key(OTHER), trust.public_key(SECRET))
    admit(signed)


def test_with_trusted_keys_a_missing_or_foreign_signature_is_refused(folder):
    unsigned = make_bundle(folder)
    admit(unsigned)
    with pytest.raises(BundleRefused, match="not signed"):
        admit(unsigned, trust.public_key(SECRET))
    with pytest.raises(BundleRefused, match=r"not in model\.trusted_keys"):
        admit(trust.sign(folder, OTHER), trust.public_key(SECRET))


@pytest.mark.parametrize("broken", ["value", "key", "manifest", "rubbish"])
def test_a_wrong_signature_is_refused_even_without_trusted_keys(folder, broken):
    make_bundle(folder)
    trust.sign(folder, SECRET)
    value = json.loads((folder / "manifest.json").read_text())
    if broken == "manifest":
        value["temperature"] = 1.5
    elif broken == "rubbish":
        value["signature"] = {"key": "§", "value": 3}
    else:
        value["signature"][broken] = trust.public_key(OTHER)
    with pytest.raises(BundleRefused, match="signature is wrong"):
        admit(bundle.parse(value))


def test_an_unknown_class_is_refused_and_fewer_classes_are_served(folder):
    manifest = make_bundle(folder)
    admit(manifest, categories=(*CLASSES, "letters"))
    with pytest.raises(BundleRefused, match="'tickets'"):
        admit(manifest, categories=CLASSES[:3])
