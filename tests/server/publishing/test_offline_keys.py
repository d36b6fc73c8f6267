import stat
from pathlib import Path

import pytest
from tests.server.publishing.conftest import PASSPHRASE

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.publishing import keys


def test_keys_are_encrypted_and_for_their_owner_only(
    folder: Path, offline: keys.OfflineKeys
) -> None:
    assert offline.root.public_key.keyid != offline.targets.public_key.keyid
    for role in keys.ROLES:
        path = folder / f"{role}.pem"
        assert b"ENCRYPTED" in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    opened = keys.unlock(folder, PASSPHRASE)
    assert opened.root.public_key.keyid == offline.root.public_key.keyid


@pytest.mark.parametrize("passphrase", ["wrong", ""])
def test_a_wrong_passphrase_opens_nothing(
    folder: Path, offline: keys.OfflineKeys, passphrase: str
) -> None:
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        keys.unlock(folder, passphrase)


def test_keys_are_never_replaced_and_never_made_without_a_passphrase(
    folder: Path, tmp_path: Path, offline: keys.OfflineKeys
) -> None:
    with pytest.raises(LamplighterError, match="CONFLICT"):
        keys.create(folder, PASSPHRASE)
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        keys.create(tmp_path / "other", "")
    assert not keys.exist(tmp_path / "other")


def test_missing_keys_say_so(tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="TRUST_MISSING"):
        keys.unlock(tmp_path, PASSPHRASE)
