from datetime import datetime, timezone
from pathlib import Path

import pytest
from tests.agent.tuf_repository import Repository

from lamplighter_agent.trust.client import MAX_TIMESTAMP_BYTES, Client
from lamplighter_agent.trust.fetch import InboxFetch
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES


def test_the_inbox_gives_a_file_in_full_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    fetch = InboxFetch(tmp_path)
    assert fetch("x", 5) == b"12345"
    assert fetch("y", 5) is None
    with pytest.raises(LamplighterError, match="MESSAGE_TOO_LARGE"):
        fetch("x", 4)


@pytest.mark.parametrize(
    ("name", "size_bytes"),
    [
        ("2.root.json", MAX_TRUST_FILE_BYTES + 1),
        ("timestamp.json", MAX_TIMESTAMP_BYTES + 1),
        ("1.snapshot.json", MAX_TRUST_FILE_BYTES + 1),
        ("1.targets.json", MAX_TRUST_FILE_BYTES + 1),
        ("2.snapshot.json", 0),  # its length is signed
        ("2.targets.json", 0),
    ],
)
def test_endless_metadata_is_not_read(tmp_path: Path, name: str, size_bytes: int) -> None:
    repository = Repository()
    if name.startswith("2.") and not size_bytes:
        repository.hashes = True
        repository.publish()
    raw = repository.files.get(name, b"")
    repository.files[name] = raw + b" " * (size_bytes or 1)
    repository.fill(tmp_path)
    files = {"root.json": repository.root_bytes}
    client = Client(files, InboxFetch(tmp_path), datetime.now(timezone.utc))
    with pytest.raises(LamplighterError, match="MESSAGE_TOO_LARGE"):
        client.refresh()
    assert repository.files[name] not in client.files.values()
