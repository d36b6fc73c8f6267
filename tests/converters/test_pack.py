from typing import Any

import msgspec
import pytest
from tests.protocol.conftest import make_manifest

from lamplighter_converters.pack import pack
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError

FILES = {"model.onnx": b"m" * 70_000, "golden.npz": b"g"}


def fields(**changed: Any) -> dict[str, Any]:
    manifest = make_manifest()
    own = {name: getattr(manifest, name) for name in manifest.__struct_fields__}
    return {k: v for k, v in own.items() if k not in {"format", "requires", "files"}} | changed


def test_the_same_parts_give_the_same_bytes_in_any_order() -> None:
    bundle = pack(FILES, **fields())
    assert bundle.manifest_raw == pack(dict(reversed(FILES.items())), **fields()).manifest_raw
    assert decode_manifest(bundle.manifest_raw) == bundle.manifest
    assert bundle.sha256 == sha256(bundle.manifest_raw)
    assert bundle.size_bytes == len(bundle.manifest_raw) + 70_001
    assert bundle.manifest.files["model.onnx"].chunk_count == 2


def test_one_changed_byte_is_another_bundle() -> None:
    assert pack(FILES | {"golden.npz": b"h"}, **fields()).sha256 != pack(FILES, **fields()).sha256


@pytest.mark.parametrize(
    ("files", "changed", "code"),
    [
        ({"golden.npz": b"g"}, {}, "CONVERSION_REFUSED"),
        (FILES | {"../up": b""}, {}, "CONVERSION_REFUSED"),
        (FILES, {"variants": ()}, "CONVERSION_REFUSED"),
        (FILES, {"model": "No Name"}, "MESSAGE_MALFORMED"),
        (FILES, {"release": 0}, "MESSAGE_MALFORMED"),
    ],
)
def test_parts_that_do_not_hold_together_are_refused(
    files: dict[str, bytes], changed: dict[str, Any], code: str
) -> None:
    with pytest.raises(LamplighterError) as refused:
        pack(files, **fields(**changed))
    assert refused.value.code == code


def test_a_reference_in_other_bins_is_refused() -> None:
    short = msgspec.structs.replace(make_manifest().reference, predictions=[[1, 2]])
    with pytest.raises(LamplighterError, match="CONVERSION_REFUSED"):
        pack(FILES, **fields(reference=short))
