"""The verdict on a file of provenance: pure, and without a server."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from tuf.api.metadata import Targets

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import (
    AssignedModel,
    Assignment,
    DirectorKeys,
    decode_director_keys,
)
from lamplighter_protocol.bundle import Manifest, decode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, evidence_target, manifest_target
from lamplighter_protocol.provenance import (
    Provenance,
    ReleaseProof,
    check_committed,
    check_statements,
    link,
)
from lamplighter_protocol.reported import Reported
from lamplighter_server.pki.judge import check_issued, digest, read_certificate
from lamplighter_server.provenance.evidence import Evidence, read_evidence
from lamplighter_server.trust.history import (
    Signed,
    check_content,
    check_roots,
    check_targets,
    find_target,
)


class Link(NamedTuple):
    """One verified link of the chain, and what it says."""

    name: str
    facts: dict[str, Any]


class Pins(NamedTuple):
    """What the reader trusts already, as an invitation carries it; None believes the file."""

    root_sha256: str | None = None
    """Of the first TUF root."""
    ca_sha256: str | None = None
    """Of the authority's certificate in DER."""


def verify(provenance: Provenance, pins: Pins) -> list[Link]:
    """Check every link and tell what each says, from the data to the device's certificate.

    Raises:
        LamplighterError: PROVENANCE_BROKEN, naming the link that does not hold.
    """
    with link("root"):
        root = check_roots(provenance.roots, root_sha256=pins.root_sha256)
    with link("targets"):
        targets = check_targets(provenance.targets, root)
    director = _check_director(provenance, targets)
    device_key, certified = _check_certificate(provenance, pins)
    assignment, report = check_statements(provenance, director=director, device_key=device_key)
    with link("report"):
        _check_versions(report, root.version, targets.version)
        _check_all_proved(provenance, report)
    anchor = {
        "targets_version": targets.version,
        "root_version": root.version,
        "root_sha256": sha256(provenance.roots[0]),
        "root_pinned": pins.root_sha256 is not None,
    }
    links: list[Link] = []
    for proof in provenance.releases:
        links += _check_release(proof, provenance, targets, anchor, assignment, report)
    return [*links, certified]


def _check_director(provenance: Provenance, targets: Targets) -> DirectorKeys:
    """Only the top-level role may say who directs."""
    with link("director"):
        file = targets.targets.get(DIRECTOR_KEYS_TARGET)
        if file is None:
            raise LamplighterError("TRUST_REFUSED", f"Nobody has signed {DIRECTOR_KEYS_TARGET}.")
        raw = provenance.director_keys
        check_content(Signed(Targets.type, file), raw, DIRECTOR_KEYS_TARGET)
        return decode_director_keys(raw)


def _check_certificate(provenance: Provenance, pins: Pins) -> tuple[dsse.PublicKey, Link]:
    with link("authority"):
        authority = read_certificate(provenance.ca_pem)
        if pins.ca_sha256 is not None and digest(authority) != pins.ca_sha256:
            raise LamplighterError("TRUST_REFUSED", "It is not the authority that you trust.")
    with link("certificate"):
        certificate = read_certificate(provenance.certificate_pem)
        key = check_issued(certificate, authority, provenance.device, provenance.device_key_pem)
    facts = {
        "device": provenance.device,
        "serial": f"{certificate.serial_number:x}",
        "key_sha256": dsse.key_id(key),
        "authority_sha256": digest(authority),
        "authority_pinned": pins.ca_sha256 is not None,
    }
    return key, Link("certificate", facts)


def _check_versions(report: Reported, root: int, targets: int) -> None:
    trust = report.trust
    if trust is None or (trust.root_version, trust.targets_version) != (root, targets):
        raise LamplighterError(
            "TRUST_REFUSED",
            f"It was made with other metadata than root {root} and targets {targets}.",
        )


def _check_all_proved(provenance: Provenance, report: Reported) -> None:
    """A release that the device runs may not be left out of the proof."""
    runs = sorted(item.model for item in report.models if item.active is not None)
    proved = sorted(proof.model for proof in provenance.releases)
    if not runs or runs != proved:
        raise LamplighterError("TRUST_REFUSED", f"It names {runs}, and the file proves {proved}.")


def _check_release(
    proof: ReleaseProof,
    provenance: Provenance,
    targets: Targets,
    anchor: dict[str, Any],
    assignment: Assignment,
    report: Reported,
) -> Iterator[Link]:
    assigned = check_committed(assignment, report, proof.model)
    with link("signature"):
        path = manifest_target(assigned.model, assigned.release)
        signed = find_target(path, targets, provenance.delegated)
        path = evidence_target(assigned.model, assigned.release)
        measured = find_target(path, targets, provenance.delegated)
    with link("manifest"):
        manifest = _check_manifest(proof.manifest, assigned, signed)
    evidence: Evidence | None = None
    if proof.evidence is not None:
        with link("evidence"):
            check_content(measured, proof.evidence, "The evidence")
            evidence = read_evidence(proof.evidence, assigned)
    lineage = manifest.lineage
    yield Link("data", {"dataset": lineage.dataset, "sha256": lineage.dataset_sha256})
    yield Link(
        "run",
        {
            "code_commit": lineage.code_commit,
            "seed": lineage.seed,
            "lock_sha256": lineage.lock_sha256,
            "parameters": lineage.parameters,
        },
    )
    named = {"evidence_sha256": measured.file.hashes["sha256"]}
    if evidence is None:
        yield Link("metrics", {**named, "in_this_file": False})
    else:
        yield Link("metrics", {**named, **evidence.scores(assigned.variant)})
        with link("conversion"):
            parity = evidence.parity_of(assigned.variant)
        yield Link("conversion", msgspec.to_builtins(parity))
    yield Link(
        "signature",
        {
            "model": assigned.model,
            "release": assigned.release,
            "manifest_sha256": sha256(proof.manifest),
            "role": signed.role,
            **anchor,
        },
    )
    yield Link(
        "assignment",
        {
            "generation": str(assignment.generation),
            "issued_utc": msgspec.to_builtins(assignment.issued_utc),
            "rollout": assigned.rollout,
            "variant": assigned.variant,
            "sha256": sha256(provenance.assignment),
        },
    )
    active = next(item.active for item in report.models if item.model == assigned.model)
    yield Link(
        "report",
        {
            "counter": report.counter,
            "at_utc": msgspec.to_builtins(report.at_utc),
            "committed_since_utc": msgspec.to_builtins(active.since_utc if active else None),
            "sha256": sha256(provenance.report),
        },
    )


def _check_manifest(raw: bytes, assigned: AssignedModel, signed: Signed) -> Manifest:
    check_content(signed, raw, "The manifest")
    if sha256(raw) != assigned.manifest.sha256:
        raise LamplighterError("TRUST_REFUSED", "It is not the one that was assigned.")
    manifest = decode_manifest(raw)
    if (manifest.model, manifest.release) != (assigned.model, assigned.release):
        raise LamplighterError(
            "TRUST_REFUSED", f"It is of {manifest.model} release {manifest.release}."
        )
    manifest.variant(assigned.variant)
    return manifest
