"""The director's side of trust: the signed statement of what one device shall run (design 3.2)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal, get_args

import msgspec

from lamplighter_protocol import dsse
from lamplighter_protocol.blobs import BlobRef
from lamplighter_protocol.canonical import decode, encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_ENVELOPE_BYTES, Count, Name, Release, Sha256

PAYLOAD_TYPE: Final = "application/vnd.lamplighter.assignment+json"
DIRECTOR_KEYS_MAX_BYTES: Final = 64 * 1024

Utc = Annotated[datetime, msgspec.Meta(tz=True)]
Mode = Literal["active", "shadow"]


class Generation(msgspec.Struct, frozen=True, order=True):
    """(epoch, counter), compared in that order; a new epoch resets the counter."""

    epoch: Count
    counter: Count

    def __str__(self) -> str:
        return f"{self.epoch}.{self.counter}"


class HighWater(msgspec.Struct, frozen=True):
    """The newest generation that a device has ever accepted, and which envelope it was."""

    generation: Generation
    envelope_sha256: Sha256


class DirectorKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The target that only the top-level targets role may sign: who directs, in which epoch."""

    epoch: Count
    public_pem: tuple[str, ...]

    def keys(self) -> Mapping[str, dsse.PublicKey]:
        """The keys by id."""
        loaded = map(dsse.load_public, self.public_pem)
        return {dsse.key_id(key): key for key in loaded}


ENCRYPTED: Final = "encrypted"
PatchKind = Literal["zstd", "zstd-prefix", "zstd-subtract"]
PATCHES: Final[tuple[PatchKind, ...]] = get_args(PatchKind)


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A form in which a file travels that is not its plain chunks.

    Encrypted is the only form of a confidential file. A patch is an offer: whoever lacks its base,
    or finds that it does not fit, fetches the plain file.
    """

    kind: str
    """An agent refuses a release whose files travel in a form that it does not know."""
    sha256: Sha256
    """Of the plain file, as it was signed."""
    wire_sha256: Sha256
    """Of all its chunks as they travel, under which they are published."""
    wire_size_bytes: Count
    chunk_sha256: tuple[Sha256, ...] = ()
    """Of a patch: the digest of each of its chunks."""
    base_sha256: Sha256 | None = None
    """Of a patch: what it starts from, if from anything."""


class AssignedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model that the device shall have."""

    model: Name
    release: Release
    manifest: BlobRef
    variant: Name
    mode: Mode = "active"
    rollout: str | None = None
    not_before_utc: Utc
    deadline_utc: Utc
    allow_downgrade: bool = False
    """Whether a release below the one that runs was asked for on purpose."""
    transfers: tuple[Transfer, ...] = ()
    """Files that travel in another form; every other file travels as it is."""
    wrapped_key: bytes | None = None
    """The key of encrypted transfers, wrapped for this device (lamplighter_protocol.sealed)."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All that one device shall run; a model that is absent is removed.

    A model may stand here twice: the release that answers, and one that runs in its shadow.
    """

    device: Name
    fleet: Name
    generation: Generation
    issued_utc: Utc
    expires_utc: Utc
    window_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    """The length of the UTC windows in which the device counts."""
    models: tuple[AssignedModel, ...]

    def __post_init__(self) -> None:
        if len({(item.model, item.mode) for item in self.models}) != len(self.models):
            raise ValueError("a model is assigned twice in one mode")


def sign_assignment(assignment: Assignment, signer: dsse.Signer) -> bytes:
    """The envelope that travels as `desired`."""
    return dsse.sign(PAYLOAD_TYPE, encode(assignment), signer)


def decode_director_keys(raw: bytes) -> DirectorKeys:
    """Read the director's keys from the bytes of their (already verified) TUF target.

    Raises:
        LamplighterError: MESSAGE_MALFORMED or MESSAGE_TOO_LARGE.
    """
    keys = decode(raw, DirectorKeys, what="The director keys", max_bytes=DIRECTOR_KEYS_MAX_BYTES)
    keys.keys()
    return keys


def accept_assignment(
    raw: bytes,
    *,
    device: str,
    fleet: str,
    director: DirectorKeys,
    last: HighWater | None,
    now_utc: datetime,
) -> Assignment:
    """The verdict on an envelope from the broker.

    Args:
        raw: The envelope as received.
        device: This device's id.
        fleet: This device's fleet.
        director: Keys and epoch from verified TUF metadata.
        last: The newest that was ever accepted, or None. The same envelope is accepted again:
            redelivery is harmless.
        now_utc: The best known time, never before the signed floor.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, SIGNATURE_INVALID,
            ASSIGNMENT_FOREIGN, ASSIGNMENT_STALE, ASSIGNMENT_EQUIVOCAL or ASSIGNMENT_EXPIRED.
    """
    payload = dsse.verify(raw, PAYLOAD_TYPE, director.keys())
    assignment = decode(payload, Assignment, what="The assignment", max_bytes=MAX_ENVELOPE_BYTES)
    if (assignment.device, assignment.fleet) != (device, fleet):
        raise LamplighterError(
            "ASSIGNMENT_FOREIGN",
            f"The assignment is for {assignment.fleet}/{assignment.device}, not {fleet}/{device}.",
        )
    generation = assignment.generation
    if generation.epoch != director.epoch:
        raise LamplighterError(
            "ASSIGNMENT_STALE", f"Generation {generation} is outside of epoch {director.epoch}."
        )
    if last is not None and generation < last.generation:
        raise LamplighterError(
            "ASSIGNMENT_STALE", f"Generation {generation} is older than {last.generation}."
        )
    if last is not None and generation == last.generation and sha256(raw) != last.envelope_sha256:
        raise LamplighterError(
            "ASSIGNMENT_EQUIVOCAL", f"Another statement of generation {generation} is known here."
        )
    if assignment.expires_utc <= now_utc:
        raise LamplighterError(
            "ASSIGNMENT_EXPIRED", f"Generation {generation} expired {assignment.expires_utc}."
        )
    return assignment
