import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.feed.content import fit, read_json, read_npy
from lamplighter_agent.feed.pictures import Picture
from lamplighter_agent.ports.session import Array
from lamplighter_protocol.bundle import TensorSpec

X = TensorSpec(name="x", datatype="FP32", shape=(-1, 3))


def saved(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("raw", "rows"),
    [
        (b"[1, 2, 3]", 1),
        (b"[[1, 2, 3], [4, 5, 6.5]]", 2),
        (b'{"inputs": [{"name": "x", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}]}', 2),
        (b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [[1,2,3]]}]}', 1),
    ],
)
def test_rows_come_in_several_forms(raw: bytes, rows: int) -> None:
    array = fit(read_json(raw), [X])["x"]
    assert (array.dtype, array.shape) == (np.dtype(np.float32), (rows, 3))
    assert array[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"7", b"null", b'"x"', b"[", b"[[1, 2], [3]]", b'["a"]', b"[" * 100_000),
        *(b"[]", b"{}", b'{"inputs": []}', b"[1, 2]", b"[[[1, 2, 3]]]", b"[null, 1, 2]"),
        b'{"inputs": [{"name": "x", "shape": [9, 9], "data": [1]}]}',
        b'{"inputs": [{"name": "y", "shape": [1, 3], "data": [1, 2, 3]}]}',
    ],
)
def test_what_is_no_row_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        fit(read_json(raw), [X])


@given(raw=st.binary(max_size=300))
def test_no_bytes_do_harm(raw: bytes) -> None:
    for read in (read_json, read_npy):
        try:
            fit(read(raw), [X])
        except ValueError:
            continue


def test_arrays_of_numpy_are_read_and_pickles_are_not() -> None:
    assert read_npy(saved(np.arange(3.0))).tolist() == [0, 1, 2]
    file = io.BytesIO()
    np.save(file, np.array([object()]), allow_pickle=True)
    with pytest.raises(ValueError, match="not an array"):
        read_npy(file.getvalue())


@pytest.mark.parametrize("values", [[300], [-1], [0.5], [float("nan")]])
def test_numbers_are_never_changed_to_fit(values: list[float]) -> None:
    spec = TensorSpec(name="x", datatype="UINT8", shape=(-1, 1))
    with pytest.raises(ValueError, match="no UINT8"):
        fit(np.array(values), [spec])
    assert fit(np.array([255.0]), [spec])["x"].tolist() == [[255]]


def test_text_is_for_models_that_take_text() -> None:
    words = TensorSpec(name="words", datatype="BYTES", shape=(-1, 2))
    assert fit(read_json('["a", "ä"]'.encode()), [words])["words"].tolist() == [["a", "ä"]]
    for raw, spec in ((b"[1, 2]", words), (b'["1", "2", "3"]', X)):
        with pytest.raises(ValueError, match="are no"):
            fit(read_json(raw), [spec])
    for raw in (b'["a", 1]', b'["a", null]', b'[["a"], "b"]'):
        with pytest.raises(ValueError, match=r"."):
            read_json(raw)


def test_several_inputs_must_be_named() -> None:
    specs = [X, TensorSpec(name="y", datatype="INT64", shape=(-1, 1))]
    with pytest.raises(ValueError, match="inputs"):
        fit(np.zeros(3), specs)
    assert fit({"x": np.zeros(3), "y": np.zeros(1)}, specs).keys() == {"x", "y"}


def png(pixels: Array) -> bytes:
    done, raw = cv2.imencode(".png", pixels)
    assert done
    return raw.tobytes()


def test_a_picture_has_the_size_the_channels_and_the_scale_of_the_model() -> None:
    blue = np.zeros((20, 40, 3), np.uint8)
    blue[:, :, 0] = 255
    rgb = Picture(height=4, width=8, channels=3, white=16.0).decode(png(blue))
    assert rgb.dtype == np.float32
    assert rgb.shape == (4, 8, 3)
    assert rgb[0, 0].tolist() == [0, 0, 16]
    assert Picture(height=4, width=8, channels=3, layout="chw").decode(png(blue)).shape == (3, 4, 8)
    white = np.full((20, 40, 3), 255, np.uint8)
    flat = Picture(height=2, width=2, layout="flat").decode(png(white))
    assert flat.tolist() == [1, 1, 1, 1]


_DECODE = """
import sys
from lamplighter_agent.feed.pictures import Picture
Picture(height=2, width=2).decode(sys.stdin.buffer.read())
"""


@pytest.mark.parametrize(("side", "status"), [(8000, 0), (8200, 1)])
def test_a_small_file_that_holds_a_huge_picture_is_refused(side: int, status: int) -> None:
    """In a process of its own: here OpenCV is imported already, with its own limit."""
    raw = png(np.zeros((side, side, 1), np.uint8))
    assert len(raw) < 200_000
    child = subprocess.run([sys.executable, "-c", _DECODE], input=raw, capture_output=True)
    assert child.returncode == status, child.stderr
    assert (b"ValueError: not a picture" in child.stderr) == bool(status)


def test_a_file_that_is_no_picture_is_refused() -> None:
    for raw in (b"", b"no picture", png(np.zeros((9, 9, 3), np.uint8))[:60]):
        with pytest.raises(ValueError, match="not a picture"):
            Picture(height=2, width=2).decode(raw)
    for wrong in ({"height": 0}, {"channels": 2}, {"white": 0.0}, {"layout": "whc"}):
        with pytest.raises(ValueError, match="picture"):
            Picture(**{"height": 2, "width": 2, **wrong})  # type: ignore[arg-type]
