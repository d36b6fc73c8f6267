"""Model files from elsewhere: honest ones are described, hostile ones refused, nothing crashes."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.converters.families import FAMILIES, fitted
from tests.converters.graphs import Net, small_cnn

from lamplighter_converters.admit.judge import Bounds, judge_file
from lamplighter_converters.admit.litert_file import describe_litert
from lamplighter_converters.admit.onnx_file import describe_onnx
from lamplighter_converters.admit.signature import Signature, require_fits
from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.litert.from_graph import read_network
from lamplighter_converters.litert.writer import write_int8
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

X = TensorSpec(name="x", datatype="FP32", shape=(-1, 2, 9, 8))


@pytest.fixture(scope="module")
def litert_raw() -> bytes:
    net = small_cnn()
    return write_int8(read_network(net.model()), net.rows(50)["x"])


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_from_string(Net((4,), 1).dense(4, 3).add("Softmax", axis=1).model())
    change(model)
    raw: bytes = model.SerializeToString()
    return raw


def elsewhere(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    place = tensor.external_data.add()
    place.key, place.value = "location", "../../../etc/passwd"


def elsewhere_in_a_branch(model: onnx.ModelProto) -> None:
    hidden = numpy_helper.from_array(np.ones(3, np.float32), "hidden")
    hidden.ClearField("raw_data")
    hidden.data_location = TensorProto.EXTERNAL
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["b"], value=hidden)],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [3])],
    )
    model.graph.node.append(
        helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch)
    )


def absurd_shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**40, 2**40]


def negative_shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-4, -3]


def absurd_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**50


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.evil"
    model.opset_import.append(helper.make_opsetid("com.evil", 1))


def function(model: onnx.ModelProto) -> None:
    model.functions.add().name = "Own"


def newer_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def newer_format(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def no_nodes(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def equal_names(model: onnx.ModelProto) -> None:
    model.graph.input.append(model.graph.input[0])


def a_sequence(model: onnx.ModelProto) -> None:
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [None])
    model.graph.output[0].type.CopyFrom(helper.make_sequence_type_proto(kind))


def nested(model: onnx.ModelProto) -> None:
    graph = onnx.GraphProto()
    graph.node.add().op_type = "Relu"
    for _ in range(20):
        outer = onnx.GraphProto()
        node = outer.node.add()
        node.op_type = "If"
        node.attribute.append(helper.make_attribute("then_branch", graph))
        graph = outer
    model.graph.node.extend(graph.node)


HOSTILE: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "weights in another file": (elsewhere, "MODEL_FILE_UNSAFE"),
    "weights in another file, hidden in a branch": (elsewhere_in_a_branch, "MODEL_FILE_UNSAFE"),
    "an absurd shape": (absurd_shape, "MODEL_FILE_UNSAFE"),
    "a negative shape": (negative_shape, "MODEL_FILE_UNSAFE"),
    "an absurd input": (absurd_input, "MODEL_FILE_UNSAFE"),
    "graphs in graphs": (nested, "MODEL_FILE_UNSAFE"),
    "a custom operator": (custom_operator, "MODEL_FILE_UNSUPPORTED"),
    "functions": (function, "MODEL_FILE_UNSUPPORTED"),
    "an operator set to come": (newer_opset, "MODEL_FILE_UNSUPPORTED"),
    "a format to come": (newer_format, "MODEL_FILE_UNSUPPORTED"),
    "dictionaries as output": (a_sequence, "MODEL_FILE_UNSUPPORTED"),
    "no graph": (no_nodes, "MODEL_FILE_MALFORMED"),
    "two inputs of one name": (equal_names, "MODEL_FILE_MALFORMED"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_onnx_file_is_refused_before_the_runtime_sees_it(what: str) -> None:
    change, code = HOSTILE[what]
    with pytest.raises(LamplighterError) as refused:
        describe_onnx(changed(change))
    assert refused.value.code == code


def bomb() -> bytes:
    """A file of 200 bytes that makes a tensor of four terabytes."""
    shape = np.array([1_000_000, 1_000_000], np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["much"]),
            helper.make_node("ReduceSum", ["much"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        "bomb",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(shape, "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    raw: bytes = model.SerializeToString()
    return raw


def endless() -> bytes:
    """A loop of 2**62 rounds."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Sin", ["held"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [None, 1]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)],
        "endless",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(np.array(2**62), "rounds"),
            numpy_helper.from_array(np.array(True), "yes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    raw: bytes = model.SerializeToString()
    return raw


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        (bomb(), {"MODEL_FILE_UNSAFE", "MODEL_FILE_UNSUPPORTED"}),
        (endless(), {"MODEL_FILE_UNSAFE"}),
        (b"", {"MODEL_FILE_MALFORMED"}),
        (b"\x00" * 64, {"MODEL_FILE_MALFORMED"}),
        (b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64, {"MODEL_FILE_MALFORMED"}),
        (changed(elsewhere), {"MODEL_FILE_UNSAFE"}),
    ],
    ids=["bomb", "endless", "empty", "zeros", "broken LiteRT", "other file"],
)
def test_a_file_is_judged_in_a_bounded_process(raw: bytes, codes: set[str]) -> None:
    with pytest.raises(LamplighterError) as refused:
        judge_file(raw, Bounds(cpu_s=3, wall_s=30))
    assert refused.value.code in codes


def test_too_little_memory_is_a_refusal_and_no_crash() -> None:
    with pytest.raises(LamplighterError) as refused:
        judge_file(changed(lambda _: None), Bounds(memory_bytes=2**24))
    assert refused.value.code == "MODEL_FILE_UNSAFE"


def test_an_honest_onnx_file_is_described(tmp_path: Path) -> None:
    table = FAMILIES["ColumnTransformer > LogisticRegression"].table()
    raw = to_onnx(fitted("ColumnTransformer > LogisticRegression"), table.inputs)
    found = judge_file(raw)
    assert found.runtime == "onnxruntime"
    assert [(one.name, one.datatype, one.shape) for one in found.inputs] == [
        ("alcohol", "FP32", (-1, 1)),
        ("proline", "FP32", (-1, 1)),
        ("hue", "BYTES", (-1, 1)),
        ("soil", "BYTES", (-1, 1)),
    ]
    assert [one.name for one in found.outputs] == ["label", "probabilities"]
    assert "ai.onnx.ml:OneHotEncoder" in found.operators


def test_an_honest_litert_file_is_described(litert_raw: bytes) -> None:
    found = judge_file(litert_raw)
    assert found.runtime == "litert"
    assert found.inputs == (X,)
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX"} <= set(found.operators)


def test_a_file_that_answers_otherwise_than_it_says_is_refused() -> None:
    def lie(model: onnx.ModelProto) -> None:
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7

    with pytest.raises(LamplighterError) as refused:
        judge_file(changed(lie))
    assert refused.value.code in {"MODEL_SIGNATURE_MISMATCH", "MODEL_FILE_UNSUPPORTED"}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_described_or_refused(litert_raw: bytes, data: st.DataObject) -> None:
    describe = data.draw(st.sampled_from([describe_litert, describe_onnx]))
    raw = bytearray(litert_raw if describe is describe_litert else changed(lambda _: None))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(raw)))
    with suppress(LamplighterError):  # anything else is what this test looks for
        describe(bytes(raw[:cut]))


SIGNATURE = Signature(
    runtime="onnxruntime",
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 4)),),
    outputs=(
        TensorSpec(name="label", datatype="INT64", shape=(-1,)),
        TensorSpec(name="p", datatype="FP32", shape=(-1, -1)),
    ),
    operators=("Gemm",),
)
P = TensorSpec(name="p", datatype="FP32", shape=(-1, 3))


def test_a_free_dimension_fits_any_size_and_an_output_may_stay_unused() -> None:
    require_fits(SIGNATURE, inputs=SIGNATURE.inputs, outputs=(P,))


def mismatches() -> Iterator[tuple[TensorSpec, TensorSpec, str]]:
    x = SIGNATURE.inputs[0]
    yield TensorSpec(name="x", datatype="FP32", shape=(-1, 5)), P, "declared as FP32 of"
    yield TensorSpec(name="x", datatype="INT64", shape=(-1, 4)), P, "declared as INT64"
    yield TensorSpec(name="y", datatype="FP32", shape=(-1, 4)), P, "also takes"
    yield x, TensorSpec(name="q", datatype="FP32", shape=(-1, 3)), "nothing of that name"
    yield x, TensorSpec(name="p", datatype="FP32", shape=(-1,)), "declared as"


@pytest.mark.parametrize(("taken", "given_", "sentence"), list(mismatches()))
def test_another_signature_is_refused(taken: TensorSpec, given_: TensorSpec, sentence: str) -> None:
    with pytest.raises(LamplighterError, match=sentence) as refused:
        require_fits(SIGNATURE, inputs=(taken,), outputs=(given_,))
    assert refused.value.code == "MODEL_SIGNATURE_MISMATCH"
