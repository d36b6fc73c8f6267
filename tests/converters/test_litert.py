"""Our LiteRT files on LiteRT's own runtime, beside the ONNX graphs that they are made of."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.converters.families import FAMILIES, fitted
from tests.converters.graphs import PICTURE, Net, small_cnn

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.litert.from_graph import read_network
from lamplighter_converters.litert.session import LitertSession
from lamplighter_converters.litert.writer import write_float, write_int8
from lamplighter_converters.session import run
from lamplighter_protocol.errors import LamplighterError

GRAPHS: dict[str, Callable[[], Net]] = {
    "cnn": small_cnn,
    "valid padding, stride, flatten": lambda: (
        Net(PICTURE, 2).conv(2, 5, strides=[2, 2]).add("Relu").add("Flatten").dense(60, 3)
    ),
    "same padding of a stride": lambda: (
        Net(PICTURE, 3)
        .conv(2, 4, strides=[2, 2], auto_pad="SAME_UPPER")
        .add("GlobalMaxPool")
        .add("Flatten")
        .dense(4, 3)
        .add("Sigmoid")
    ),
    "average pool and batch norm": lambda: (
        Net(PICTURE, 4)
        .conv(2, 4, pads=[1, 1, 1, 1])
        .add(
            "BatchNormalization",
            *(np.linspace(0.5, 2, 4, dtype=np.float32) for _ in range(4)),
        )
        .add("Relu")
        .add("AveragePool", kernel_shape=[3, 2], strides=[3, 2])
        .add("Flatten")
        .dense(48, 3)
    ),
    "dense with tanh": lambda: Net((7,), 5).dense(7, 16).add("Tanh").dense(16, 2),
    "arithmetic around products": lambda: (
        Net((3,), 6)
        .add("Sub", np.array([[1, -2, 300]], np.float32))
        .add("Div", np.array([[1, 2, 100]], np.float32))
        .dense(3, 8)
        .add("Mul", np.array(2, np.float32))
        .add("Relu")
        .dense(8, 2)
        .add("Add", np.array([1, -1], np.float32))
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_sequential_graph_answers_the_same_in_float_and_nearly_so_in_int8(name: str) -> None:
    net = GRAPHS[name]()
    rows = net.rows(200)
    (wanted,) = run(net.model(), rows).values()
    network = read_network(net.model())
    (exact,) = LitertSession(write_float(network)).run(rows).values()
    np.testing.assert_allclose(exact, wanted, atol=1e-4)
    quantized = write_int8(network, rows["x"])
    (near,) = LitertSession(quantized).run(rows).values()
    assert np.abs(near - wanted).max() < 0.08 * max(1, np.ptp(wanted))
    assert write_int8(network, rows["x"]) == quantized


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    activation=st.sampled_from(["Relu", "Tanh", "Sigmoid"]),
    seed=st.integers(0, 1000),
    rows=st.integers(1, 20),
)
def test_dense_networks_of_any_shape(
    widths: list[int], activation: str, seed: int, rows: int
) -> None:
    net = Net((widths[0],), seed)
    for before, after in itertools.pairwise(widths):
        net.dense(before, after).add(activation)
    asked = net.rows(rows)
    (wanted,) = run(net.model(), asked).values()
    session = LitertSession(write_float(read_network(net.model())))
    (answered,) = session.run(asked).values()
    np.testing.assert_allclose(answered, wanted, atol=1e-4)
    (alone,) = session.run({"x": asked["x"][:1]}).values()
    np.testing.assert_allclose(alone, wanted[:1], atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "MLPClassifier",
        "MLPClassifier, two classes",
        "MLPClassifier, tanh",
        "MLPRegressor",
        "LogisticRegression",
        "LogisticRegression, two classes",
        "LinearSVC",
        "Ridge",
        "MinMaxScaler > PCA > MLPClassifier",
    ],
)
def test_networks_and_linear_models_of_scikit_learn(name: str) -> None:
    table = FAMILIES[name].table()
    raw = to_onnx(fitted(name), table.inputs)
    rows = table.inputs.feeds(table.held_out)
    wanted = run(raw, rows)
    answered = LitertSession(write_float(read_network(raw))).run(rows)
    assert answered.keys() == wanted.keys()
    for output, values in wanted.items():
        assert answered[output].dtype == values.dtype
        np.testing.assert_allclose(answered[output], values, rtol=1e-4, atol=1e-4)


REFUSED: dict[str, tuple[Callable[[], Net], str]] = {
    "no product": (lambda: Net((4,), 1).add("Relu"), "no product of weights"),
    "an operator without counterpart": (lambda: Net((4,), 1).dense(4, 3).add("Erf"), "Erf"),
    "padding of its own": (
        lambda: Net(PICTURE, 1).conv(2, 2, pads=[2, 0, 0, 1]).add("Flatten").dense(144, 2),
        "padded",
    ),
    "a dilated filter": (
        lambda: Net(PICTURE, 1).conv(2, 2, dilations=[2, 2]).add("Flatten").dense(40, 2),
        "dilated",
    ),
    "groups of channels": (
        lambda: Net((4, 6, 6), 1).conv(4, 4, group=2).add("Flatten").dense(64, 2),
        "groups",
    ),
    "weights that do not fit": (lambda: Net((4,), 1).dense(5, 3), "does not fit"),
    "a custom operator": (lambda: Net((4,), 1).add("Solve", domain="com.evil"), "Solve"),
    "features in another order": (
        lambda: (
            Net((4,), 1)
            .add("ArrayFeatureExtractor", np.array([3, 2, 1, 0]), domain="ai.onnx.ml")
            .dense(4, 2)
        ),
        "ArrayFeatureExtractor",
    ),
    "softmax over channels": (
        lambda: Net(PICTURE, 1).conv(2, 2).add("Softmax", axis=1).add("Flatten").dense(84, 2),
        "Softmax",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_writer_cannot_say_is_refused_with_the_reason(name: str) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(LamplighterError, match=reason) as refused:
        read_network(make().model())
    assert refused.value.code == "CONVERSION_REFUSED"


@pytest.mark.parametrize(
    "calibration",
    [np.zeros((0, 7)), np.full((3, 7), np.inf), np.zeros((3, 6))],
    ids=["no rows", "not finite", "too narrow"],
)
def test_calibration_that_does_not_fit_a_network_is_refused(calibration: np.ndarray) -> None:
    network = read_network(GRAPHS["dense with tanh"]().model())
    with pytest.raises(LamplighterError, match="CONVERSION_REFUSED"):
        write_int8(network, calibration.astype(np.float32))


def test_rows_that_the_file_does_not_take_are_refused() -> None:
    session = LitertSession(write_float(read_network(GRAPHS["dense with tanh"]().model())))
    for rows in ({"x": np.zeros((1, 6), np.float32)}, {"y": np.zeros((1, 7), np.float32)}):
        with pytest.raises(LamplighterError, match="refuses the input"):
            session.run(rows)
    assert session.run({"x": np.zeros((1, 7), np.float32)})


def test_a_file_that_is_none_is_refused() -> None:
    with pytest.raises(LamplighterError, match="refuses the model"):
        LitertSession(b"not a LiteRT file, but long enough to be looked at")
