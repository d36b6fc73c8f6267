from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.runtime.golden import compare, read_golden
from lamplighter_protocol.bundle import ClassOutput, Variant
from lamplighter_protocol.errors import LamplighterError

ANSWER = ClassOutput(
    label_tensor="label",
    probability_tensor="p",
    labels=("a", "b"),
    confidence_edges=(0.0, 1.0),
)


def variant(tolerance_abs: float, min_agreement: float) -> Variant:
    return Variant(
        name="onnx-fp32",
        runtime="onnxruntime",
        file="model.onnx",
        tolerance_abs=tolerance_abs,
        min_agreement=min_agreement,
    )


def tensors(labels: list[int], first: list[float]) -> dict[str, npt.NDArray[Any]]:
    p = np.array(first)
    return {"label": np.array(labels), "p": np.stack([p, 1 - p], axis=1)}


@given(
    st.lists(st.tuples(st.booleans(), st.floats(-0.3, 0.3)), min_size=1, max_size=20),
    st.floats(0, 0.3),
    st.floats(0, 1),
)
def test_it_passes_exactly_within_what_was_signed(
    rows: list[tuple[bool, float]], tolerance_abs: float, min_agreement: float
) -> None:
    wanted = tensors([0] * len(rows), [0.5] * len(rows))
    answered = tensors([int(flipped) for flipped, _ in rows], [0.5 + off for _, off in rows])
    agreement = sum(not flipped for flipped, _ in rows) / len(rows)
    difference = float(np.abs(answered["p"] - wanted["p"]).max())
    within = agreement >= min_agreement and difference <= tolerance_abs
    verdict: AbstractContextManager[object] = nullcontext()
    if not within:
        verdict = pytest.raises(LamplighterError, match="GOLDEN_MISMATCH")
    with verdict:
        compare(answered, wanted, ANSWER, variant(tolerance_abs, min_agreement))


@pytest.mark.parametrize(
    "answered",
    [
        tensors([0, 1], [0.5, float("nan")]),
        tensors([0], [0.5]),
        tensors([0, 1, 1], [0.5, 0.5, 0.5]),
        {**tensors([0, 1], [0.5, 0.5]), "label": np.array([[0], [1]])},
    ],
)
def test_nan_and_other_shapes_never_pass(answered: dict[str, npt.NDArray[Any]]) -> None:
    with pytest.raises(LamplighterError, match="GOLDEN_MISMATCH"):
        compare(answered, tensors([0, 1], [0.5, 0.5]), ANSWER, variant(1.0, 0.0))


@pytest.mark.parametrize("raw", [b"", b"hello", b"\x93NUMPY", b"PK\x03\x04 torn", b"\x80\x04."])
def test_a_damaged_file_is_refused_with_a_code(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "golden.npz").write_bytes(raw)
    with pytest.raises(LamplighterError, match="GOLDEN_MISMATCH"):
        read_golden(tmp_path / "golden.npz")


def test_one_bare_array_is_no_golden_file(tmp_path: Path) -> None:
    with (tmp_path / "golden.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(LamplighterError, match="GOLDEN_MISMATCH"):
        read_golden(tmp_path / "golden.npz")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", image=np.array([{"a": 1}], dtype=object))
    with pytest.raises(LamplighterError, match="GOLDEN_MISMATCH"):
        read_golden(tmp_path / "golden.npz")
