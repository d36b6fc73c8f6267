"""Where the two sides of trust meet: a device runs a release only if both agree (design 3.2)."""

import msgspec

from lamplighter_protocol.assignment import AssignedModel, DirectorKeys, Utc
from lamplighter_protocol.bundle import Manifest, decode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Count, Name, Release, Sha256, manifest_target


class SignedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What verified TUF metadata says of one target."""

    sha256: Sha256
    size_bytes: Count


class TrustFile(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `trust/index`: a retained metadata file and its digest."""

    name: str
    sha256: Sha256
    size_bytes: Count


class TrustIndex(msgspec.Struct, frozen=True, kw_only=True):
    """`trust/index`: the files that belong together. Unsigned: TUF verifies the files."""

    files: tuple[TrustFile, ...]


class ModelPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What offline keys say of a whole model; the `custom` of its policy target."""

    model: Name
    minimum_release: Release = 1
    """Releases below it may not be started, not even as a downgrade."""
    machines: tuple[str, ...] = ()
    """Processor types (`platform.machine()`) that may run it; empty means all."""


class TrustView(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a complete TUF refresh."""

    root_version: Count
    timestamp_version: Count
    targets_version: Count
    issued_floor_utc: Utc
    """Not earlier than this, by what was signed."""
    director: DirectorKeys
    targets: dict[str, SignedTarget]
    """By target path; only the models' manifests."""


def agree_on_target(assigned: AssignedModel, view: TrustView) -> None:
    """Refuse an assignment whose manifest an offline key did not sign under that very path.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    path = manifest_target(assigned.model, assigned.release)
    signed = view.targets.get(path)
    if signed is None:
        raise LamplighterError("TRUST_REFUSED", f"No offline key has signed {path}.")
    if (signed.sha256, signed.size_bytes) != (
        assigned.manifest.sha256,
        assigned.manifest.size_bytes,
    ):
        raise LamplighterError(
            "TRUST_REFUSED", f"The assignment names another {path} than the signed one."
        )


def agree_on_release(
    raw: bytes, assigned: AssignedModel, view: TrustView, *, running: Release | None
) -> Manifest:
    """The verdict on a fetched manifest: both sides agree and it is what it says it is.

    Args:
        raw: The bytes of `bundle.json`.
        assigned: The model as the (accepted) assignment names it.
        view: The outcome of the TUF refresh.
        running: The release that is committed on this device, or None.

    Raises:
        LamplighterError: TRUST_REFUSED, CAPABILITY_MISSING, VARIANT_UNSUPPORTED,
            MESSAGE_MALFORMED or MESSAGE_TOO_LARGE.
    """
    agree_on_target(assigned, view)
    if sha256(raw) != assigned.manifest.sha256:
        raise LamplighterError("TRUST_REFUSED", "The manifest's bytes are not the signed ones.")
    manifest = decode_manifest(raw)
    if (manifest.model, manifest.release) != (assigned.model, assigned.release):
        raise LamplighterError(
            "TRUST_REFUSED",
            f"The manifest is of {manifest.model} release {manifest.release}, "
            f"not {assigned.model} release {assigned.release}.",
        )
    if running is not None and assigned.release < running and not assigned.allow_downgrade:
        raise LamplighterError(
            "TRUST_REFUSED",
            f"Release {assigned.release} is below {running}, and no downgrade was asked for.",
        )
    manifest.variant(assigned.variant)
    return manifest
