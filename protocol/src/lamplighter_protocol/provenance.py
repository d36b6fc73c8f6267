"""What proves which release a device runs and where it comes from: one file, checked offline.

The server and the agent write the same file. It holds the original bytes; nothing in it is
believed because the file says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Final

import msgspec

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import (
    AssignedModel,
    Assignment,
    DirectorKeys,
    accept_assignment,
)
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Name
from lamplighter_protocol.reported import Reported, accept_reported

FORMAT: Final = 1
MAX_PROVENANCE_BYTES: Final = 64 * 1024 * 1024
#: History is judged, not the present: an assignment may have expired since.
_EVER: Final = datetime(1, 1, 1, tzinfo=timezone.utc)


class ReleaseProof(msgspec.Struct, frozen=True, kw_only=True):
    """One model that the device runs."""

    model: Name
    manifest: bytes
    """`bundle.json`."""
    evidence: bytes | None
    """`evidence.json`; a device does not have it, and then only its signed digest is known."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The whole chain of one device."""

    format: int = FORMAT
    device: Name
    fleet: Name
    roots: tuple[bytes, ...]
    """TUF root metadata from the pinned one on, each signed by the one before."""
    targets: bytes
    """TUF targets metadata of the version that the report names."""
    delegated: dict[str, bytes]
    """TUF metadata of delegated roles by role."""
    director_keys: bytes
    assignment: bytes
    """The newest envelope that the device has accepted."""
    report: bytes
    """The device's signed state."""
    certificate_pem: str
    ca_pem: str
    device_key_pem: str = ""
    """What the report is signed with; without it, the key of the certificate."""
    releases: tuple[ReleaseProof, ...]


def encode_provenance(provenance: Provenance) -> bytes:
    """The bytes of the file."""
    return msgspec.json.encode(provenance)


def decode_provenance(raw: bytes) -> Provenance:
    """Read the file.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE or MESSAGE_MALFORMED.
    """
    if len(raw) > MAX_PROVENANCE_BYTES:
        raise LamplighterError(
            "MESSAGE_TOO_LARGE",
            f"The file has {len(raw)} bytes, the limit is {MAX_PROVENANCE_BYTES}.",
        )
    try:
        provenance = msgspec.json.decode(raw, type=Provenance)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The file is no proof of provenance: {error}."
        ) from error
    if provenance.format != FORMAT:
        raise LamplighterError("MESSAGE_MALFORMED", f"The file has format {provenance.format}.")
    return provenance


@contextmanager
def link(name: str) -> Iterator[None]:
    """Whatever is refused within the block breaks the chain at this link.

    Raises:
        LamplighterError: PROVENANCE_BROKEN.
    """
    try:
        yield
    except LamplighterError as error:
        raise LamplighterError(
            "PROVENANCE_BROKEN", f"The chain breaks at its link '{name}': {error.sentence}"
        ) from error


def check_statements(
    provenance: Provenance, *, director: DirectorKeys, device_key: dsse.PublicKey
) -> tuple[Assignment, Reported]:
    """The two statements that name a release: the director's, and the device's own answer to it.

    Args:
        provenance: The file.
        director: The keys that the offline targets name.
        device_key: The key that the authority has certified.

    Raises:
        LamplighterError: PROVENANCE_BROKEN at the link `assignment` or `report`.
    """
    device, fleet = provenance.device, provenance.fleet
    with link("assignment"):
        assignment = accept_assignment(
            provenance.assignment,
            device=device,
            fleet=fleet,
            director=director,
            last=None,
            now_utc=_EVER,
        )
    with link("report"):
        report = accept_reported(
            provenance.report, device=device, fleet=fleet, key=device_key, last_counter=-1
        )
        if report.assignment_sha256 != sha256(provenance.assignment):
            raise LamplighterError("TRUST_REFUSED", "It answers another assignment than this one.")
    return assignment, report


def check_committed(assignment: Assignment, report: Reported, model: str) -> AssignedModel:
    """What the director assigned of a model, which the device has signed that it runs.

    Raises:
        LamplighterError: PROVENANCE_BROKEN at the link `assignment` or `report`.
    """
    with link("assignment"):
        assigned = next((item for item in assignment.models if item.model == model), None)
        if assigned is None:
            raise LamplighterError("TRUST_REFUSED", f"It does not name {model}.")
    with link("report"):
        active = next((item.active for item in report.models if item.model == model), None)
        if active is None or not active.committed:
            raise LamplighterError("TRUST_REFUSED", f"No release of {model} passed probation.")
        runs = (active.release, active.manifest_sha256, active.variant)
        if runs != (assigned.release, assigned.manifest.sha256, assigned.variant):
            raise LamplighterError(
                "TRUST_REFUSED",
                f"It runs {model} release {active.release} {active.variant}, and release "
                f"{assigned.release} {assigned.variant} was assigned.",
            )
    return assigned
