"""What a device proves by itself, from files that its agent has left."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID
from tests.agent.cloud import DEVICE, FLEET
from tests.agent.tuf_repository import Repository
from tests.protocol.conftest import make_manifest

from lamplighter_agent.app.cli import main
from lamplighter_agent.app.config import DataDir
from lamplighter_agent.app.provenance import collect
from lamplighter_agent.observe.inventory import describe_board
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.identity import Enrolment, Identity, new_key, save_identity
from lamplighter_agent.store.journal import Journal
from lamplighter_agent.trust.device import refresh
from lamplighter_protocol.assignment import (
    AssignedModel,
    Assignment,
    Generation,
    decode_director_keys,
    sign_assignment,
)
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import encode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.provenance import check_committed, check_statements, decode_provenance
from lamplighter_protocol.reported import Active, ModelReport, Reported, sign_reported

NOW = datetime.now(timezone.utc)


def certificate(identity_key: object, name: str) -> str:
    key = new_key() if identity_key is None else identity_key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())  # type: ignore[attr-defined]
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(new_key(), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Board:
    """A data directory as an agent leaves it."""

    data: DataDir
    repository: Repository
    identity: Identity

    def verify_trust(self) -> None:
        inbox = self.data.trust / "inbox"
        self.repository.fill(inbox)
        root = self.identity.root_file.read_bytes()
        refresh(self.data.trust / "store", inbox, root, clock_utc=NOW)

    def run(self) -> bytes:
        """Accept, commit and report a release; gives its manifest."""
        manifest = make_manifest(1)
        raw = encode_manifest(manifest)
        self.repository.add(manifest.model, manifest.release, raw)
        self.repository.publish()
        self.verify_trust()
        partial = BlobStore(self.data.blobs).partial(describe(raw))
        for number in sorted(partial.lacking):
            partial.write(number, raw[number * 65_536 : (number + 1) * 65_536])
        partial.finish()
        partial.close()
        variant = manifest.variants[0].name
        assigned = AssignedModel(
            model=manifest.model,
            release=manifest.release,
            manifest=describe(raw),
            variant=variant,
            not_before_utc=NOW,
            deadline_utc=NOW,
        )
        assignment = Assignment(
            device=DEVICE,
            fleet=FLEET,
            generation=Generation(1, 1),
            issued_utc=NOW,
            expires_utc=NOW + timedelta(days=1),
            window_s=60,
            models=(assigned,),
        )
        envelope = sign_assignment(assignment, self.repository.director)
        Journal(self.data.journal).save_assignment(assignment, envelope)
        active = Active(
            release=1,
            manifest_sha256=sha256(raw),
            variant=variant,
            committed=True,
            since_utc=NOW,
        )
        report = Reported(
            device=DEVICE,
            fleet=FLEET,
            boot="b1",
            counter=1,
            generation=assignment.generation,
            assignment_sha256=sha256(envelope),
            inventory=describe_board({}),
            trust=None,
            models=(ModelReport(model=manifest.model, active=active),),
            wants=(),
            clock_synchronised=True,
            at_utc=NOW,
        )
        self.data.reported.write_bytes(sign_reported(report, self.identity.signer))
        return raw


@pytest.fixture
def board(tmp_path: Path) -> Board:
    data, repository, key = DataDir(tmp_path), Repository(), new_key()
    identity = save_identity(
        data.identity,
        Enrolment(device=DEVICE, fleet=FLEET, url="", broker_host="", broker_port=1),
        key=key,
        certificate_pem=certificate(key, DEVICE),
        ca_pem=certificate(None, "authority"),
        root_json=repository.root_bytes,
        telemetry_key=b"",
        agreement=X25519PrivateKey.generate(),
    )
    return Board(data, repository, identity)


def test_a_device_hands_out_the_original_bytes(board: Board) -> None:
    manifest = board.run()
    board.repository.publish_root()  # a second root
    board.repository.publish()
    board.verify_trust()
    proof = collect(board.data)
    assert proof.roots == (
        board.repository.files["1.root.json"],
        board.repository.files["2.root.json"],
    )
    newest = f"{board.repository.targets.version}.targets.json"
    assert proof.targets == board.repository.files[newest]
    assert [(item.manifest, item.evidence) for item in proof.releases] == [(manifest, None)]
    key = x509.load_pem_x509_certificate(proof.certificate_pem.encode()).public_key()
    assignment, report = check_statements(
        proof,
        director=decode_director_keys(proof.director_keys),
        device_key=key,  # type: ignore[arg-type]
    )
    assert check_committed(assignment, report, proof.releases[0].model).release == 1


def test_the_command_writes_the_file(
    board: Board, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    board.run()
    where = ["--data-dir", str(board.data.path)]
    assert main(["provenance", *where]) == 0
    shown = decode_provenance(capfdbinary.readouterr().out)
    file = board.data.path / "proof.json"
    assert main(["provenance", *where, "--export", str(file)]) == 0
    assert decode_provenance(file.read_bytes()) == shown == collect(board.data)
    assert json.loads(file.read_bytes())["format"] == 1


def code_of(board: Board) -> str:
    with pytest.raises(LamplighterError) as caught:
        collect(board.data)
    return caught.value.code


def test_what_is_missing_is_named(board: Board) -> None:
    assert code_of(board) == "REPORT_MISSING"
    board.run()
    (board.data.trust / "store" / "current").unlink()
    assert code_of(board) == "TRUST_MISSING"


def test_a_report_that_is_not_ours_is_refused(board: Board) -> None:
    board.run()
    raw = msgspec.json.decode(board.data.reported.read_bytes())
    raw["signatures"][0]["sig"] = ""
    board.data.reported.write_bytes(msgspec.json.encode(raw))
    assert code_of(board) == "SIGNATURE_INVALID"
