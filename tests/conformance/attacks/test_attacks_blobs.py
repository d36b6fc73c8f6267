"""Against what a device fetches and keeps: chunks, the card they lie on, and what loads them."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.attacks.refusal import refused

from lamplighter_agent.durable import replace
from lamplighter_agent.runtime.load import load
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_protocol.blobs import BlobRef, describe, split
from lamplighter_protocol.names import CHUNK_SIZE_BYTES

RAW = os.urandom(CHUNK_SIZE_BYTES + 1000)
BLOB = describe(RAW)
FIRST, LAST = split(RAW)


def fetched(store: BlobStore) -> Path:
    partial = store.partial(BLOB)
    for number, chunk in enumerate(split(RAW)):
        partial.write(number, chunk)
    partial.finish()
    partial.close()
    return store.verified(BLOB.sha256)


@pytest.mark.parametrize(
    ("number", "payload"),
    [(0, LAST), (1, FIRST), (0, RAW), (1, LAST + b"x"), (2, b""), (-1, LAST), (2**31, FIRST)],
)
def test_a_chunk_swap(tmp_path: Path, number: int, payload: bytes) -> None:
    partial = BlobStore(tmp_path).partial(BLOB)
    with refused("CHUNK_REFUSED"):
        partial.write(number, payload)
    assert partial.lacking == {0, 1}
    partial.close()


def test_a_length_that_lies() -> None:
    with pytest.raises(ValueError, match="do not make"):
        BlobRef(sha256=BLOB.sha256, size_bytes=2**31, chunk_sha256=BLOB.chunk_sha256)


def test_a_link_in_the_place_of_a_model(tmp_path: Path) -> None:
    """It shows the right bytes when they are checked, and others when they are loaded."""
    store = BlobStore(tmp_path / "store")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(RAW)
    place = fetched(store)
    place.unlink()
    place.symlink_to(elsewhere)
    with refused("STORE_CORRUPT"):
        store.verified(BLOB.sha256)
    assert not fetched(store).is_symlink()
    assert elsewhere.read_bytes() == RAW


def test_a_link_that_makes_the_agent_write_elsewhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "journal.json.new").symlink_to(victim)
    replace(tmp_path / "journal.json", b"{}")
    assert (tmp_path / "journal.json").read_bytes() == b"{}"
    assert not (tmp_path / "journal.json").is_symlink()
    assert victim.read_bytes() == b"precious"


def graph(location: str) -> bytes:
    """A model whose weights lie in another file."""
    from onnx import TensorProto, helper

    weights: Any = TensorProto(name="w", data_type=1, dims=[4])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        weights.external_data.add(key=key, value=value)
    inside = helper.make_tensor_value_info("x", 1, [4])
    outside = helper.make_tensor_value_info("y", 1, [4])
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    made = helper.make_graph(nodes, "g", [inside], [outside], [weights])
    opset = helper.make_opsetid("", 17)
    raw: bytes = helper.make_model(made, opset_imports=[opset], ir_version=8).SerializeToString()
    return raw


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "a/../../secret"])
def test_a_graph_that_reads_files_of_the_board(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 16)
    (tmp_path / "models").mkdir()
    path = tmp_path / "models/model.onnx"
    path.write_bytes(graph(location))
    with refused("MODEL_LOAD_FAILED"):
        load("onnxruntime", path)


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
@pytest.mark.parametrize("raw", [b"", b"\x08" * 999, b"\x0a\xff\xff\xff\xff\x0f", b"TFL3" * 99])
def test_a_file_that_is_no_graph(tmp_path: Path, runtime: Any, raw: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(raw)
    with refused("MODEL_LOAD_FAILED"):
        load(runtime, path)
