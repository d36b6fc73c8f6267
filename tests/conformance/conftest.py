import pytest
from tests.agent.tuf_repository import Repository
from tests.conformance.follower import Follower


@pytest.fixture
def repository() -> Repository:
    return Repository()


@pytest.fixture
def follower(repository: Repository) -> Follower:
    return Follower(repository)
