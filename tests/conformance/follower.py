"""A TUF client in memory that keeps what it has verified, as the store does."""

from datetime import datetime, timezone

import pytest
from tests.agent.tuf_repository import Repository
from tuf.api.metadata import Metadata

from lamplighter_agent.trust.client import Client
from lamplighter_agent.trust.fetch import Fetch
from lamplighter_protocol.errors import LamplighterError


class Follower:
    """Follows one repository from its first root on."""

    def __init__(self, repository: Repository) -> None:
        self.files = {"root.json": repository.root_bytes}
        self.fetch: Fetch = repository.fetch
        self.now_utc = datetime.now(timezone.utc)

    def update(self) -> Client:
        client = Client(self.files, self.fetch, self.now_utc)
        try:
            client.refresh()
        finally:
            self.files = client.files
        return client

    def refuses(self, code: str) -> None:
        with pytest.raises(LamplighterError) as refused:
            self.update()
        assert refused.value.code == code

    def version(self, role: str) -> int | None:
        """The version that is kept of a role."""
        raw = self.files.get(f"{role}.json")
        if raw is None:
            return None
        version: int = Metadata.from_bytes(raw).signed.version
        return version

    @property
    def versions(self) -> tuple[int | None, ...]:
        """Of root, timestamp, snapshot and targets."""
        return tuple(map(self.version, ("root", "timestamp", "snapshot", "targets")))
