"""What the attacked parts bring with them: a server, its doors, its people and its broker."""

from tests.agent.link.test_enrol import door as pretender
from tests.server.broker.conftest import eventually, running, site
from tests.server.conftest import stage
from tests.server.doors.conftest import door, offline, people, server
from tests.server.doors.test_claims_door import claim
from tests.server.doors.test_enrolment_door import invite
from tests.server.people.conftest import clock, code_of, house, open_house
from tests.server.people.test_secrets_in_logs import kept
from tests.server.rollouts.test_four_eyes import door as plans

__all__ = [
    "claim",
    "clock",
    "code_of",
    "door",
    "eventually",
    "house",
    "invite",
    "kept",
    "offline",
    "open_house",
    "people",
    "plans",
    "pretender",
    "running",
    "server",
    "site",
    "stage",
]
