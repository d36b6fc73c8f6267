"""Reports of devices, as they stand after verification."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from lamplighter_protocol.assignment import Generation
from lamplighter_protocol.reported import (
    Active,
    Attempt,
    Failure,
    Inventory,
    ModelReport,
    Phase,
    Reported,
    Shadowed,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MakeReport = Callable[..., Reported]


@pytest.fixture(scope="session")
def make_report() -> MakeReport:
    def make(
        device: str,
        *,
        counter: int = 1,
        generation: Generation | None = None,
        committed: int | None = None,
        manifest_sha256: str = "a" * 64,
        trying: int | None = None,
        phase: Phase = "fetching",
        failure: Failure | None = None,
        shadow: Shadowed | None = None,
        problem: Failure | None = None,
        waits: Failure | None = None,
        model: str = "digits",
    ) -> Reported:
        active = attempt = None
        if committed is not None:
            active = Active(
                release=committed,
                manifest_sha256=manifest_sha256,
                variant="onnx-fp32",
                committed=True,
                since_utc=NOW,
            )
        if trying is not None and generation is not None:
            attempt = Attempt(
                release=trying,
                generation=generation,
                phase=phase,
                started_utc=NOW,
                failure=failure,
                shadow=shadow,
                timings_s={"rollback": 0.4} if phase == "rolled-back" else {},
            )
        return Reported(
            device=device,
            fleet="main",
            boot="b1",
            counter=counter,
            generation=generation,
            assignment_sha256=None,
            inventory=Inventory(
                machine="aarch64",
                runtimes={"onnxruntime": "1.23.2"},
                ram_mb=4096,
                python="3.11",
                agent_version="0.1.0",
                system="linux",
            ),
            trust=None,
            models=(ModelReport(model=model, active=active, attempt=attempt),),
            wants=(),
            waiting={model: waits} if waits else {},
            problem=problem,
            clock_synchronised=True,
            at_utc=NOW,
        )

    return make
