"""A real server, and a person with offline keys who talks to it through somebody who lies."""

from collections.abc import Iterator

import pytest
from tests.server.publishing.conftest import (
    address,
    api,
    established,
    folder,
    server,
    start_server,
)
from tests.server.publishing.test_lying_server import Liar

__all__ = ["address", "api", "established", "folder", "server", "start_server"]


@pytest.fixture
def liar(address: str) -> Iterator[Liar]:
    with Liar(address) as lying:
        yield lying
