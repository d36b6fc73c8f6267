"""The provenance of a device from a real server: collected by HTTP, judged by command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner, Result

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.enrolment import EnrolmentRequest, decode_invitation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.provenance import decode_provenance
from lamplighter_protocol.reported import (
    Active,
    Inventory,
    ModelReport,
    Reported,
    TrustState,
    sign_reported,
)
from lamplighter_server.assignments import service as assignments
from lamplighter_server.cli.app import app
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.provenance.verify import Pins, verify
from lamplighter_server.releases import service as releases

PATH = "/api/v1/devices/cam-1/provenance"
INVENTORY = Inventory(
    machine="aarch64",
    runtimes={"onnxruntime": "1.23.2"},
    ram_mb=4096,
    python="3.11",
    agent_version="0.1.0",
    system="linux",
)


class Board:
    """A device that has enrolled through the door and can sign."""

    def __init__(self, server: Context) -> None:
        self.server, self.key, self.counter = server, ec.generate_private_key(ec.SECP256R1()), 0

    async def enrol(self, people: httpx.AsyncClient, door: httpx.AsyncClient) -> None:
        invited = await people.post("/api/v1/devices/invitations", json={"device": "cam-1"})
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cam-1")])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject)
        pem = csr.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        request = EnrolmentRequest(
            device="cam-1",
            token=decode_invitation(invited.json()["invitation"]).token,
            csr_pem=pem.decode(),
            agreement_public=X25519PrivateKey.generate().public_key().public_bytes_raw(),
            inventory=INVENTORY,
        )
        answer = await door.post("/api/v1/enrol", content=msgspec.json.encode(request))
        assert answer.status_code == 200, answer.text

    async def assign(self, release: int) -> None:
        now = self.server.clock()
        async with self.server.database.transaction() as session:
            await assignments.want(
                session,
                device="cam-1",
                model="digits",
                release=release,
                variant="onnx-int8",
                rollout=None,
                deadline_utc=now,
            )
            await assignments.issue(self.server, session, ["cam-1"], now)

    async def report(self, release: int, *, targets_version: int) -> None:
        self.counter += 1
        now = self.server.clock()
        async with self.server.database.transaction() as session:
            assigned = await assignments.newest(session, "cam-1")
            assert assigned is not None
            found = await releases.get(session, "digits", release)
            active = Active(
                release=release,
                manifest_sha256=found.manifest_sha256,
                variant="onnx-int8",
                committed=True,
                since_utc=now,
            )
            report = Reported(
                device="cam-1",
                fleet=self.server.settings.fleet,
                boot="b1",
                counter=self.counter,
                generation=None,
                assignment_sha256=assigned.sha256,
                inventory=INVENTORY,
                trust=TrustState(root_version=1, targets_version=targets_version, floor_utc=now),
                models=(ModelReport(model="digits", active=active),),
                wants=(),
                clock_synchronised=True,
                at_utc=now,
            )
            raw = sign_reported(report, dsse.SoftwareSigner(self.key))
            device = await devices.get(session, "cam-1")
            await devices.accept_report(self.server, session, device, raw)


@pytest.fixture
async def board(
    server: Context, people: httpx.AsyncClient, door: httpx.AsyncClient, offline: Any
) -> Board:
    """A device that runs release 1 of digits, while release 2 is published already."""
    await offline.bootstrap()
    await offline.publish("digits", 1)
    made = Board(server)
    await made.enrol(people, door)
    await made.assign(1)
    await made.report(1, targets_version=2)
    await offline.publish("digits", 2)
    return made


@pytest.fixture
def pins(server: Context, offline: Any) -> Pins:
    return Pins(sha256(offline.sign_root().encode()), server.authority.ca_sha256)


async def test_the_versions_are_those_that_the_report_names(
    board: Board, people: httpx.AsyncClient, pins: Pins
) -> None:
    found = verify(decode_provenance((await people.get(PATH)).content), pins)
    facts = {item.name: item.facts for item in found}
    assert (facts["signature"]["release"], facts["signature"]["targets_version"]) == (1, 2)
    assert facts["metrics"]["accuracy"] == 0.97


async def test_a_proof_is_incomplete_until_the_device_has_answered(
    board: Board, people: httpx.AsyncClient, pins: Pins, code_of: Callable[[httpx.Response], str]
) -> None:
    await board.assign(2)
    assert code_of(await people.get(PATH)) == "PROVENANCE_INCOMPLETE"
    await board.report(2, targets_version=3)
    found = verify(decode_provenance((await people.get(PATH)).content), pins)
    assert found[4].facts["release"] == 2
    unknown = await people.get("/api/v1/devices/ghost/provenance")
    assert code_of(unknown) == "DEVICE_UNKNOWN"


async def test_a_device_that_has_said_nothing_proves_nothing(
    server: Context,
    people: httpx.AsyncClient,
    door: httpx.AsyncClient,
    offline: Any,
    code_of: Callable[[httpx.Response], str],
) -> None:
    await offline.bootstrap()
    await Board(server).enrol(people, door)
    assert code_of(await people.get(PATH)) == "REPORT_MISSING"


async def test_a_file_is_judged_offline(
    board: Board, server: Context, people: httpx.AsyncClient, pins: Pins, tmp_path: Path
) -> None:
    file, root, ca = tmp_path / "cam-1.json", tmp_path / "1.root.json", tmp_path / "ca.pem"
    file.write_bytes((await people.get(PATH)).content)
    root.write_bytes((await people.get("/api/v1/trust/files/1.root.json")).content)
    ca.write_text(server.authority.ca_pem)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["device", "provenance", *words])

    whole = run("--verify", str(file), "--root", str(root), "--ca", str(ca), "--json")
    assert whole.exit_code == 0, whole.output
    assert whole.stderr == ""
    links = json.loads(whole.stdout)
    assert [item["link"] for item in links][:2] == ["data", "run"]
    by_digest = run("--verify", str(file), "--root", pins.root_sha256 or "", "--json")
    assert "authority_sha256" in by_digest.stderr
    assert "root_sha256" not in by_digest.stderr
    unpinned = run("--verify", str(file))
    assert pins.root_sha256 is not None
    assert f"Not checked: root_sha256 {pins.root_sha256}" in unpinned.stderr
    refused = run("--verify", str(file), "--root", "0" * 64)
    assert refused.exit_code == 1
    assert isinstance(refused.exception, LamplighterError)
    assert refused.exception.code == "PROVENANCE_BROKEN"
    assert run().exit_code == 2
    assert run("cam-1", "--verify", str(file)).exit_code == 2
    assert run("--verify", str(tmp_path / "none")).exit_code == 2
