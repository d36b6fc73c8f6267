"""Small messages that unpack to what no device can hold."""

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lamplighter_agent.runtime.golden import read_golden
from lamplighter_protocol.errors import LamplighterError

HUGE = 2**30


def header(count: int) -> bytes:
    """What says that an array of `count` numbers follows."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f4", "fortran_order": False, "shape": (count,)}
    )
    return buffer.getvalue()


def archive(content: bytes, compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        made.writestr("image.npy", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        archive(header(HUGE // 64) + bytes(HUGE // 16), zipfile.ZIP_DEFLATED),
        archive(header(2**40), zipfile.ZIP_STORED),
        archive(header(2**62), zipfile.ZIP_STORED),
    ],
    ids=["compressed", "longer than it is", "beyond all bounds"],
)
def test_golden_inputs_are_not_unpacked_beyond_their_size(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(raw)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LamplighterError, match="GOLDEN_MISMATCH"):
        read_golden(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < HUGE // 16 // 1024
