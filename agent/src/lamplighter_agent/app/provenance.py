"""What this device can prove by itself of the releases it runs: from its own store, offline."""

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.identity import Identity, load_identity
from lamplighter_agent.store.journal import Journal
from lamplighter_agent.trust.record import read_record
from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.provenance import Provenance, ReleaseProof
from lamplighter_protocol.reported import Reported, accept_reported


def collect(data: DataDir) -> Provenance:
    """Put the original bytes together; the agent may run meanwhile.

    The evidence of a release is not on the device: of it, the file holds the signed digest only.

    Raises:
        LamplighterError: NOT_ENROLLED, TRUST_MISSING, REPORT_MISSING if the agent has not
            reported since, or STORE_CORRUPT.
    """
    identity = load_identity(data.identity)
    assignment = Journal(data.journal).document.assignment
    try:
        envelope = data.reported.read_bytes()
    except FileNotFoundError:
        envelope = b""
    if assignment is None or not envelope:
        raise LamplighterError(
            "REPORT_MISSING", f"{identity.enrolment.device} has not answered to an assignment yet."
        )
    record = read_record(data.trust / "store", identity.root_file.read_bytes())
    report = _read_own(envelope, identity)
    blobs = BlobStore(data.blobs)
    return Provenance(
        device=identity.enrolment.device,
        fleet=identity.enrolment.fleet,
        roots=record.roots,
        targets=record.targets,
        delegated=record.delegated,
        director_keys=record.director_keys,
        assignment=assignment,
        report=envelope,
        certificate_pem=identity.certificate_file.read_text(),
        ca_pem=identity.ca_file.read_text(),
        device_key_pem=dsse.public_pem(identity.signer.public),
        releases=tuple(
            ReleaseProof(
                model=item.model,
                manifest=blobs.verified(item.active.manifest_sha256).read_bytes(),
                evidence=None,
            )
            for item in report.models
            if item.active is not None
        ),
    )


def _read_own(envelope: bytes, identity: Identity) -> Reported:
    enrolment = identity.enrolment
    return accept_reported(
        envelope,
        device=enrolment.device,
        fleet=enrolment.fleet,
        key=identity.signer.public,
        last_counter=-1,
    )
