import json
from typing import Any

import msgspec
import pytest

from lamplighter_protocol.bundle import (
    Manifest,
    ParityCertificate,
    VariantParity,
    decode_manifest,
    encode_manifest,
)
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


def certificate(*variants: str) -> ParityCertificate:
    return ParityCertificate(
        estimator="MLPClassifier",
        rows=100,
        rows_sha256="0" * 64,
        variants=tuple(
            VariantParity(
                variant=name, recipe="static", agreement=0.99, max_error=0.1, flips={"1": 1}
            )
            for name in variants
        ),
    )


def test_a_parity_certificate_is_signed_with_the_rest(manifest: Manifest) -> None:
    names = [variant.name for variant in manifest.variants]
    certified = msgspec.structs.replace(manifest, parity=certificate(*names))
    assert decode_manifest(encode_manifest(certified)) == certified
    assert b'"parity"' not in encode_manifest(manifest)  # older releases keep their bytes


def test_a_certificate_of_other_variants_is_refused(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="of other variants"):
        msgspec.structs.replace(manifest, parity=certificate("another"))
