"""Every version reads what every earlier version wrote."""

from datetime import datetime, timezone
from pathlib import Path

import pytest

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import accept_assignment, decode_director_keys
from lamplighter_protocol.bundle import decode_manifest, encode_manifest
from lamplighter_protocol.canonical import decode
from lamplighter_protocol.reported import accept_reported
from lamplighter_protocol.telemetry import Window, unseal
from lamplighter_protocol.trust import TrustIndex

VERSIONS = sorted(path for path in (Path(__file__).parent.parent / "corpus").glob("[0-9]*"))


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def frozen(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def test_there_is_a_corpus() -> None:
    assert VERSIONS


def test_the_manifest_is_read_and_written_back_the_same(frozen: Path) -> None:
    raw = (frozen / "bundle.json").read_bytes()
    assert encode_manifest(decode_manifest(raw)) == raw


def test_the_assignment_is_accepted(frozen: Path) -> None:
    accepted = accept_assignment(
        (frozen / "assignment.dsse.json").read_bytes(),
        device="pi-1",
        fleet="main",
        director=decode_director_keys((frozen / "director-keys.json").read_bytes()),
        last=None,
        now_utc=datetime(2026, 11, 23, tzinfo=timezone.utc),
    )
    assert accepted.models[0].model == "digits"


def test_the_report_is_accepted(frozen: Path) -> None:
    key = dsse.load_public((frozen / "device-key.pem").read_text())
    raw = (frozen / "reported.dsse.json").read_bytes()
    accepted = accept_reported(raw, device="pi-1", fleet="main", key=key, last_counter=0)
    assert accepted.models[0].active is not None


def test_the_window_is_accepted(frozen: Path) -> None:
    key = (frozen / "telemetry.key").read_bytes()
    raw = (frozen / "window.msgpack").read_bytes()
    sealed, window = unseal(raw, Window, key=key, device="pi-1", stream="window")
    assert (sealed.sequence, window.model) == (1, "digits")


def test_the_trust_index_is_read(frozen: Path) -> None:
    raw = (frozen / "trust-index.json").read_bytes()
    assert decode(raw, TrustIndex, what="The index", max_bytes=10_000).files
