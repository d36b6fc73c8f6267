from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import Generation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import (
    Active,
    Inventory,
    ModelReport,
    Reported,
    accept_reported,
    runs_committed,
    sign_reported,
)

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
PRIVATE = ec.generate_private_key(ec.SECP256R1())
DIGEST = "a" * 64


def report(counter: int = 4, device: str = "pi-1", **active: Any) -> Reported:
    fields = {
        "release": 2,
        "manifest_sha256": DIGEST,
        "variant": "onnx-int8",
        "committed": True,
        "since_utc": NOW,
    }
    return Reported(
        device=device,
        fleet="main",
        boot="b",
        counter=counter,
        generation=Generation(1, 3),
        assignment_sha256=DIGEST,
        inventory=Inventory(
            machine="aarch64",
            runtimes={"onnxruntime": "1.23.2"},
            ram_mb=4096,
            python="3.11",
            agent_version="0.1.0",
            system="Linux",
        ),
        trust=None,
        models=(ModelReport(model="digits", active=Active(**{**fields, **active})),),
        wants=(),
        clock_synchronised=True,
        at_utc=NOW,
    )


def accept(raw: bytes, last_counter: int = 3) -> Reported:
    return accept_reported(
        raw, device="pi-1", fleet="main", key=PRIVATE.public_key(), last_counter=last_counter
    )


def test_a_signed_report_is_accepted_once() -> None:
    raw = sign_reported(report(), dsse.SoftwareSigner(PRIVATE))
    assert accept(raw) == report()
    with pytest.raises(LamplighterError, match="REPORT_STALE"):
        accept(raw, last_counter=4)


def test_a_report_by_another_key_or_for_another_device_is_refused() -> None:
    stranger = dsse.SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
    for raw in (
        sign_reported(report(), stranger),
        sign_reported(report(device="pi-2"), dsse.SoftwareSigner(PRIVATE)),
    ):
        with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
            accept(raw)


def test_done_means_committed_on_this_very_release() -> None:
    assert runs_committed(report(), "digits", 2, DIGEST)
    assert not runs_committed(report(committed=False), "digits", 2, DIGEST)
    assert not runs_committed(report(), "digits", 1, DIGEST)
    assert not runs_committed(report(), "digits", 2, "b" * 64)
    assert not runs_committed(report(), "other", 2, DIGEST)
