"""Packing: a manifest and its files. Pure; the same parts give the same bytes."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import (
    COMMON_CAPABILITIES,
    FORMAT,
    TENSOR_TYPES_2,
    FirstDatatype,
    Manifest,
    decode_manifest,
    encode_manifest,
)
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A release as it is published."""

    manifest: Manifest
    manifest_raw: bytes
    files: dict[str, bytes]

    @property
    def sha256(self) -> str:
        """The digest of `bundle.json`, which names every other file."""
        return sha256(self.manifest_raw)

    @property
    def size_bytes(self) -> int:
        """Everything together."""
        return len(self.manifest_raw) + sum(map(len, self.files.values()))


def pack(files: Mapping[str, bytes], **fields: Any) -> Bundle:  # noqa: ANN401 - Manifest's fields
    """Make a bundle from the manifest's other fields and the files by name.

    Raises:
        LamplighterError: CONVERSION_REFUSED if the parts do not hold together.
    """
    try:
        types = {spec.datatype for spec in (*fields["inputs"], *fields["outputs"])}
        first_types = types <= set(get_args(FirstDatatype))
        needed = COMMON_CAPABILITIES if first_types else COMMON_CAPABILITIES | {TENSOR_TYPES_2}
        manifest = Manifest(
            format=FORMAT,
            requires=tuple(sorted(needed)),
            files={name: describe(raw) for name, raw in sorted(files.items())},
            **fields,
        )
    except ValueError as error:
        raise LamplighterError(
            "CONVERSION_REFUSED", f"The bundle does not hold together: {error}."
        ) from error
    raw = encode_manifest(manifest)
    return Bundle(manifest=decode_manifest(raw), manifest_raw=raw, files=dict(files))
