"""What the attacked parts bring with them: a server, its doors, its people and its broker."""

from tests.server.broker.conftest import eventually, running, site
from tests.server.conftest import stage
from tests.server.doors.conftest import door, offline, people, server
from tests.server.people.conftest import clock, code_of, house, open_house

__all__ = [
    "clock",
    "code_of",
    "door",
    "eventually",
    "house",
    "offline",
    "open_house",
    "people",
    "running",
    "server",
    "site",
    "stage",
]
