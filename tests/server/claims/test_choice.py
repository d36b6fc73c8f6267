from typing import Any

import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.claims.choice import choose

FIRST, SECOND = "3f2a-91c0-1111-2222", "3f2a-91c1-1111-2222"
PENDING: list[dict[str, Any]] = [
    {"device": "cam-1", "fingerprint": FIRST},
    {"device": "cam-1", "fingerprint": SECOND},
    {"device": "cam-2", "fingerprint": "0000-0000-0000-0000"},
]


@pytest.mark.parametrize(
    ("device", "said", "fingerprint"),
    [
        ("cam-2", "", "0000-0000-0000-0000"),
        ("cam-1", FIRST, FIRST),
        ("cam-1", "3f2a-91c1", SECOND),
        ("cam-1", "3F2A 91C0", FIRST),
    ],
)
def test_the_one_that_is_meant(device: str, said: str, fingerprint: str) -> None:
    assert choose(PENDING, device, said)["fingerprint"] == fingerprint


@pytest.mark.parametrize(
    ("device", "said", "code"),
    [
        ("cam-3", "", "ENROLMENT_UNKNOWN"),
        ("cam-2", FIRST, "ENROLMENT_UNKNOWN"),
        ("cam-1", "", "ENROLMENT_AMBIGUOUS"),
        ("cam-1", "3f2a", "ENROLMENT_AMBIGUOUS"),
        ("cam-2", "0000", "ENROLMENT_AMBIGUOUS"),
    ],
)
def test_in_doubt_nobody_is_meant(device: str, said: str, code: str) -> None:
    with pytest.raises(LamplighterError) as error:
        choose(PENDING, device, said)
    assert error.value.code == code
