from pathlib import Path

import pytest

from lamplighter_agent.store.high_water import HighWaterFile
from lamplighter_protocol.assignment import Generation, HighWater

MARK = HighWater(Generation(2, 7), "a" * 64)
PINNED, OTHER = "1" * 64, "2" * 64


def test_the_mark_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "high-water.json"
    HighWaterFile(path, PINNED).raise_to(MARK)
    assert HighWaterFile(path, PINNED).mark == MARK


def test_a_new_first_trust_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "high-water.json"
    HighWaterFile(path, PINNED).raise_to(MARK)
    assert HighWaterFile(path, OTHER).mark is None


@pytest.mark.parametrize("raw", [b"", b"{", b"null", b'{"mark": 1}', b"\xff", b'{"x":' * 5000])
def test_a_damaged_file_is_set_aside(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "high-water.json"
    path.write_bytes(raw)
    file = HighWaterFile(path, PINNED)
    assert file.mark is None
    assert path.with_name("high-water.json.damaged").read_bytes() == raw
    file.raise_to(MARK)
    assert HighWaterFile(path, PINNED).mark == MARK
