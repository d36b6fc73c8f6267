"""What the server and its commands read."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from tests.conformance.fuzz.decoder import (
    DEVICE,
    DEVICE_KEY,
    FLEET,
    NOW_UTC,
    THIEF,
    Decoder,
    in_file,
    text,
)
from tests.conformance.fuzz.repository import (
    REPOSITORY,
    next_version,
    published,
    sign_again,
    tuf_seed,
)

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.enrolment import (
    EnrolmentRequest,
)
from lamplighter_protocol.reported import Inventory
from lamplighter_server.audit import chain, exported
from lamplighter_server.devices.enrolment import read_enrolment
from lamplighter_server.devices.models import Device
from lamplighter_server.devices.service import set_presence
from lamplighter_server.pki.certificates import build_authority, read_request
from lamplighter_server.pki.judge import read_certificate
from lamplighter_server.publishing.case import Case, read_case, write_case
from lamplighter_server.rollouts.policy import read_policy
from lamplighter_server.trust.roles import check_key, read_targets
from lamplighter_server.trust.verify import accept


def _accept_offline(role: str, *, signed: bool) -> Callable[[bytes], object]:
    targets = REPOSITORY.files[published(".targets")]
    delegated = REPOSITORY.files[published("model-digits")]
    former = {"root": REPOSITORY.root_bytes, "targets": targets, "model-digits": delegated}

    def read(raw: bytes) -> object:
        offered = sign_again(raw, role) if signed else raw
        return accept(former, {role: offered}, now_utc=NOW_UTC)

    return read


def _check_keys(raw: bytes) -> None:
    signed = read_targets(raw).signed
    for key in signed.delegations.keys.values() if signed.delegations else ():
        check_key(key)


def _signing_request() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVICE)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def _certificate() -> bytes:
    return build_authority(DEVICE_KEY, NOW_UTC).public_bytes(serialization.Encoding.PEM)


def _enrolment_request() -> bytes:
    return msgspec.json.encode(
        EnrolmentRequest(
            device=DEVICE,
            token="t",
            csr_pem=text(_signing_request()),
            agreement_public=b"k" * 32,
            inventory=Inventory(
                machine="x", runtimes={}, ram_mb=1, python="3", agent_version="1", system="x"
            ),
        )
    )


def _case_file() -> bytes:
    files = REPOSITORY.files
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case"
        targets = files[published(".targets")]
        write_case(
            path,
            Case(
                roots=(files["1.root.json"],),
                current={"targets": targets},
                proposed={"targets": targets},
                files={sha256(b"x"): b"x"},
            ),
        )
        return path.read_bytes()


def _read_log(raw: bytes) -> None:
    export = exported.read_log(raw.splitlines(keepends=True))
    chain.verify(export.lines, export.heads)


def _log_file() -> bytes:
    public = ed25519.Ed25519PrivateKey.from_private_bytes(b"d" * 32).public_key()
    entries = [chain.Entry("user:a", "create", "device/x", None, {"labels": {"site": "a"}})] * 2
    lines = list(chain.extend(chain.START, entries, NOW_UTC))
    head = chain.Head(fleet=FLEET, sequence=2, sha256=lines[-1].sha256, at_utc=NOW_UTC)
    log = exported.Log(fleet=FLEET, public_pem=dsse.public_pem(public))
    rows = [
        exported.Row(log=log),
        exported.Row(head=msgspec.Raw(chain.sign_head(head, THIEF))),
        *(exported.Row(line=line) for line in lines),
    ]
    return b"".join(map(exported.write_row, rows))


def _read_rollout_policy(raw: bytes) -> object:
    """The web framework gives the slice a JSON object, and refuses everything else."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return read_policy(found) if isinstance(found, dict) else None


OF_SERVER: Final[dict[str, Decoder]] = {
    "enrolment": Decoder(read_enrolment, (_enrolment_request(),)),
    "signing-request": Decoder(lambda raw: read_request(text(raw), DEVICE), (_signing_request(),)),
    "certificate": Decoder(lambda raw: read_certificate(text(raw)), (_certificate(),)),
    "presence": Decoder(lambda raw: set_presence(Device(id=DEVICE), raw), (b"online", b"offline")),
    "rollout-policy": Decoder(
        _read_rollout_policy,
        (
            (
                b'{"where":{"site":"a"},"waves":["1","25%","100%"],"deadline_s":60,'
                b'"max_failed_share":5,"pause_after_waves":[0]}'
            ),
        ),
    ),
    "audit-export": Decoder(_read_log, (_log_file(),)),
    "audit-heads": Decoder(lambda raw: exported.find_envelopes(text(raw)), (_log_file(),)),
    **{
        f"offline-{role}{'-of-a-thief' if signed else ''}": Decoder(
            _accept_offline(role, signed=signed), (seed,)
        )
        for role, seed in (
            ("root", tuf_seed("root")),
            ("targets", next_version(REPOSITORY.files[published(".targets")], "targets")),
            (
                "model-digits",
                next_version(REPOSITORY.files[published("model-digits")], "model-digits"),
            ),
        )
        for signed in (False, True)
    },
    "tuf-keys": Decoder(_check_keys, (REPOSITORY.files[published(".targets")],)),
    "case": Decoder(in_file(read_case), (_case_file(),)),
}
