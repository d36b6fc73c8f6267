import json
from typing import Any

import msgspec
import pytest

from lamplighter_protocol.bundle import Manifest, decode_manifest, encode_manifest
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.errors import LamplighterError


def test_a_manifest_round_trips(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_fields_of_a_later_version_are_tolerated(manifest: Manifest) -> None:
    later = {**msgspec.to_builtins(manifest), "new_field": {"x": 1}}
    assert decode_manifest(encode(later)) == manifest


def damage(document: Any, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for key in parents:
        document = document[int(key)] if isinstance(document, list) else document[key]
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("columns.0.edges", [0.0, 0.0, 1.0]),
        ("columns.0.edges", [1.0]),
        ("columns.0.tensor", "elsewhere"),
        ("columns.0.index", 3),
        ("reference.columns", {}),
        ("reference.rows", -1),
        ("variants", []),
        ("variants.0.file", "missing.onnx"),
        ("files", {"../model.onnx": {}}),
        ("model", "Not A Name"),
        ("release", 0),
        ("task", "regression"),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_refused(
    manifest: Manifest, path: str, value: object
) -> None:
    document = json.loads(encode_manifest(manifest))
    damage(document, path, value)
    with pytest.raises(LamplighterError) as refused:
        decode_manifest(encode(document))
    assert refused.value.code == "MESSAGE_MALFORMED"


@pytest.mark.parametrize("datatype", ["FP16", "INT8", "BYTES"])
def test_newer_tensor_types_are_named_as_a_capability(manifest: Manifest, datatype: Any) -> None:
    tensor = msgspec.structs.replace(manifest.inputs[0], datatype=datatype)
    with pytest.raises(ValueError, match="tensor-types-2"):
        msgspec.structs.replace(manifest, inputs=(tensor,))
    requires = (*manifest.requires, "tensor-types-2")
    newer = msgspec.structs.replace(manifest, inputs=(tensor,), requires=requires)
    assert decode_manifest(encode_manifest(newer)) == newer
