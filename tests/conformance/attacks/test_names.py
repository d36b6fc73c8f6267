"""Names that try to be more than names: in topics, in paths, in certificates."""

import pytest
from tests.protocol.conftest import make_manifest

from lamplighter_protocol.bundle import decode_manifest, encode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name
from lamplighter_protocol.topics import Topics


@pytest.mark.parametrize(
    "name",
    ["+", "#", "a/b", "a/#", "..", "$SYS", "", "-", "A", "a b", "a\n", "a\x00", "\u0430", "a" * 64],
)
def test_nobody_is_called_like_a_topic_a_path_or_a_header(name: str) -> None:
    with pytest.raises(LamplighterError, match="NAME_INVALID"):
        check_name(name, "device")


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("lamp/1/main/d/+/reported", "NAME_INVALID"),
        ("lamp/1/main/d/../d/pi-1/reported", "NAME_INVALID"),
        ("lamp/1/main/d/pi-1", "MESSAGE_MALFORMED"),
        ("lamp/1/other/d/pi-1/reported", "MESSAGE_MALFORMED"),
        ("lamp/2/main/d/pi-1/reported", "MESSAGE_MALFORMED"),
    ],
)
def test_a_message_is_of_the_device_that_its_topic_names(topic: str, code: str) -> None:
    with pytest.raises(LamplighterError, match=code):
        Topics("main").parse_device(topic)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", ".hidden", "a/b"])
def test_no_file_of_a_bundle_leaves_its_folder(name: str) -> None:
    raw = encode_manifest(make_manifest()).replace(b'"model.onnx"', f'"{name}"'.encode())
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        decode_manifest(raw)
