"""What the parts report, read through the same API that everybody uses."""

from dataclasses import dataclass
from typing import Any

import msgspec

from lamplighter_protocol import dsse
from lamplighter_protocol.reported import ModelReport, Reported, accept_reported
from lamplighter_server.cli.api import Api
from lamplighter_server.demo.stage import MODEL, require


@dataclass(frozen=True)
class SignedReport:
    """A device's newest report; the signature has been verified here, not only by the server."""

    device: str
    online: bool
    document: Reported

    @property
    def model(self) -> ModelReport:
        """What it says of the demo's model."""
        for item in self.document.models:
            if item.model == MODEL:
                return item
        return ModelReport(model=MODEL)

    @property
    def committed(self) -> int | None:
        """The release that it runs and has committed."""
        active = self.model.active
        return active.release if active is not None and active.committed else None


def signed_reports(api: Api, fleet: str) -> list[SignedReport]:
    """Every device's newest signed report, verified with the key that enrolment certified."""
    found = []
    for device in api.get("/api/v1/devices"):
        proof: dict[str, Any] = api.get(f"/api/v1/devices/{device['id']}/report")
        key = dsse.load_public(proof["public_key_pem"])
        envelope = msgspec.json.encode(proof["envelope"])
        document = accept_reported(
            envelope, device=device["id"], fleet=fleet, key=key, last_counter=0
        )
        found.append(SignedReport(device["id"], device["online"], document))
    return found


def roll_out(api: Api, release: int, waves: list[str], deadline_s: int) -> str:
    """Create and start a rollout; returns its id."""
    rollout = api.post(
        "/api/v1/rollouts",
        {
            "model": MODEL,
            "release": release,
            "policy": {"waves": waves, "deadline_s": deadline_s},
        },
    )
    api.post(f"/api/v1/rollouts/{rollout['id']}/start", {})
    return str(rollout["id"])


@dataclass(frozen=True)
class Traffic:
    """Bytes that have left the server and the broker so far."""

    server_bytes: int
    broker_bytes: int

    def __sub__(self, earlier: "Traffic") -> "Traffic":
        """What has left since."""
        return Traffic(
            self.server_bytes - earlier.server_bytes, self.broker_bytes - earlier.broker_bytes
        )


def traffic(api: Api) -> Traffic:
    """Read the figures of the relay and of the broker."""
    figures = api.get("/api/v1/figures")
    require("server_published_bytes" in figures, "The server does not report its traffic.")
    return Traffic(figures["server_published_bytes"], figures["broker_sent_bytes"])
