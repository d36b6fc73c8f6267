"""Against what a device believes of the time."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.agent.trust.test_device import Device
from tests.agent.tuf_repository import Repository
from tests.conformance.attacks.refusal import refused

from lamplighter_agent.link.tls import check_dates

THEN = datetime(1970, 1, 1, tzinfo=timezone.utc)
AHEAD = datetime(2099, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def device(tmp_path: Path, repository: Repository) -> Device:
    return Device(tmp_path, repository)


def test_a_clock_at_1970_makes_nothing_young_again(device: Device, repository: Repository) -> None:
    now_utc, device.clock_utc = device.clock_utc, THEN
    repository.issued_utc = now_utc.isoformat()
    repository.publish()
    device.refresh(repository)
    repository.expires["snapshot"] = now_utc - timedelta(seconds=1)
    repository.publish()
    device.refuses(repository, "TRUST_EXPIRED")


def test_a_clock_in_2099_stops_changes_and_nothing_else(
    device: Device, repository: Repository
) -> None:
    view, now_utc, kept = device.refresh(repository), device.clock_utc, device.kept
    device.clock_utc = AHEAD
    device.refuses(repository, "TRUST_EXPIRED")
    assert device.kept == kept
    device.clock_utc = now_utc
    assert device.refresh(repository) == view


def test_a_timestamp_from_2099_pushes_nobody_out_of_time(
    device: Device, repository: Repository
) -> None:
    """The floor never passes what offline keys signed, and goes with the thief's key."""
    repository.issued_utc = AHEAD.isoformat()
    repository.publish()
    device.refuses(repository, "TRUST_EXPIRED")
    repository.rotate("timestamp")
    repository.publish_root()
    repository.issued_utc = device.clock_utc.isoformat()
    repository.publish()
    assert device.refresh(repository).issued_floor_utc < AHEAD


def test_an_expired_certificate_of_the_server() -> None:
    """A board whose clock stands still judges by the signed floor."""
    certificate = {"notAfter": "Jan  1 00:00:00 2026 GMT"}
    check_dates(certificate, THEN)
    floor_utc = datetime(2026, 6, 1, tzinfo=timezone.utc)
    with refused("SERVER_UNTRUSTED"):
        check_dates(certificate, max(THEN, floor_utc))
