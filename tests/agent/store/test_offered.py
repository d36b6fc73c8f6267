from pathlib import Path

import pytest

from lamplighter_agent.store.offered import Offered, load_or_make


def numbers(keys: Offered) -> tuple[int, bytes]:
    return keys.key.private_numbers().private_value, keys.agreement.private_bytes_raw()


def test_keys_outlive_a_restart_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "data" / "offered.pem"
    first = load_or_make(path)
    assert numbers(load_or_make(path)) == numbers(first)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", [0, 40, 300])
def test_damaged_keys_are_replaced(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "offered.pem"
    first = load_or_make(path)
    path.write_bytes(path.read_bytes()[:kept])
    second = load_or_make(path)
    assert numbers(second) != numbers(first)
    assert numbers(load_or_make(path)) == numbers(second)


def test_keys_in_the_wrong_order_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "offered.pem"
    first = load_or_make(path)
    key, end, agreement = path.read_bytes().partition(b"-----END PRIVATE KEY-----\n")
    path.write_bytes(agreement + key + end)
    assert numbers(load_or_make(path)) != numbers(first)
