"""Keys and a bundle, without a server."""

from pathlib import Path

import pytest
from tests.protocol.conftest import make_manifest

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.bundle import decode_manifest, encode_manifest
from lamplighter_server.publishing import keys

PASSPHRASE = "correct horse"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def offline(folder: Path) -> keys.OfflineKeys:
    return keys.create(folder, PASSPHRASE)


def make_bundle(release: int = 1) -> Bundle:
    raw = encode_manifest(make_manifest(release))
    files = {"model.onnx": b"m" * 70_000, "golden.npz": b"g"}
    return Bundle(manifest=decode_manifest(raw), manifest_raw=raw, files=files)
