import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lamplighter_agent.app.status import Status, describe, read_status
from lamplighter_protocol.reported import TrustState

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def trust(hours: int) -> TrustState:
    return TrustState(
        root_version=1,
        targets_version=1,
        floor_utc=NOW - timedelta(hours=30),
        changes_until_utc=NOW + timedelta(hours=hours),
    )


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (trust(24), "newest metadata is 30 h old; changes are allowed until 2026-11-24 12:00 UTC"),
        (trust(-1), "newest metadata is 30 h old; no changes since 2026-11-23 11:00 UTC"),
        (None, "nothing verified since the start, so nothing is changed"),
    ],
)
def test_the_offline_policy_is_told_in_one_line(state: TrustState | None, line: str) -> None:
    status = Status(
        pid=os.getpid(),
        device="pi-1",
        fleet="main",
        connected=False,
        connection_problem="no route",
        models=(),
        serve={},
        trust=state,
        problem=None,
        at_utc=NOW,
    )
    told = describe(status).splitlines()[-1]
    assert told == f"trust: {line}; serving never stops"


@pytest.mark.parametrize("raw", [b"\xff", b'{"a":' * 5000, b'{"pid":18446744073709551616}'])
def test_a_damaged_file_says_nothing(tmp_path: Path, raw: bytes) -> None:
    place = tmp_path / "status.json"
    place.write_bytes(raw)
    assert read_status(place) is None
