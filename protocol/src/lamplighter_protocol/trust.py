"""Where the two sides of trust meet: a device runs a release only if both agree (design 3.2)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from lamplighter_protocol.assignment import AssignedModel, DirectorKeys, Utc
from lamplighter_protocol.bundle import Manifest, decode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Count, Name, Release, Sha256, manifest_target
from lamplighter_protocol.reported import Failure

#: The roles of TUF that every verdict rests on.
TOP_LEVEL: Final = ("root", "timestamp", "snapshot", "targets")


class SignedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What verified TUF metadata says of one target."""

    sha256: Sha256
    size_bytes: Count
    roles: tuple[str, ...] = ("targets",)
    """The targets roles that were asked for it, in order; the last one signs it."""


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
    expires_utc: dict[str, Utc]
    """By role, for each that was loaded; the top-level roles always are."""
    policies: dict[Name, ModelPolicy] = {}
    """By model; a model without one may run any signed release on any machine."""
    refused: dict[Name, Failure] = {}
    """Models of which a delegated role cannot be used: nothing of them may be started."""

    @property
    def changes_until_utc(self) -> datetime:
        """From then on nothing may be changed; serving goes on."""
        return min(self.expires_utc[role] for role in TOP_LEVEL)

    @property
    def offline_until_utc(self) -> datetime:
        """When the first of the offline roles expires: no online key moves time beyond it."""
        return min(self.expires_utc["root"], self.expires_utc["targets"])

    def check_current(self, now_utc: datetime, roles: tuple[str, ...] = ()) -> None:
        """Refuse what rests on expired metadata.

        Args:
            now_utc: The best known time, never before the signed floor.
            roles: The targets roles in question, beside the top-level ones.

        Raises:
            LamplighterError: TRUST_EXPIRED.
        """
        for role in dict.fromkeys((*TOP_LEVEL, *roles)):
            if self.expires_utc[role] <= now_utc:
                raise LamplighterError(
                    "TRUST_EXPIRED", f"The signed {role} expired {self.expires_utc[role]}."
                )


def allows_release(policies: Mapping[str, ModelPolicy], model: str, release: Release) -> bool:
    """Whether the minimum that offline keys have set for a model lets a release start."""
    policy = policies.get(model)
    return policy is None or release >= policy.minimum_release


def agree_on_target(
    assigned: AssignedModel, view: TrustView, *, machine: str, now_utc: datetime
) -> None:
    """Refuse what offline keys did not sign under that very path, or forbid on this device.

    Args:
        assigned: The model as the (accepted) assignment names it.
        view: The outcome of the TUF refresh.
        machine: This device's `platform.machine()`.
        now_utc: The best known time, never before the signed floor.

    Raises:
        LamplighterError: TRUST_EXPIRED, TRUST_REFUSED, RELEASE_BELOW_MINIMUM,
            HARDWARE_FORBIDDEN, or why the model's delegated role cannot be used.
    """
    path = manifest_target(assigned.model, assigned.release)
    view.check_current(now_utc)
    if (failure := view.refused.get(assigned.model)) is not None:
        raise LamplighterError(failure.code, failure.sentence)
    signed = view.targets.get(path)
    if signed is None:
        raise LamplighterError("TRUST_REFUSED", f"No offline key has signed {path}.")
    view.check_current(now_utc, signed.roles)
    if (signed.sha256, signed.size_bytes) != (
        assigned.manifest.sha256,
        assigned.manifest.size_bytes,
    ):
        raise LamplighterError(
            "TRUST_REFUSED", f"The assignment names another {path} than the signed one."
        )
    policy = view.policies.get(assigned.model, ModelPolicy(model=assigned.model))
    if assigned.release < policy.minimum_release:
        raise LamplighterError(
            "RELEASE_BELOW_MINIMUM",
            f"{path} is below release {policy.minimum_release}, the signed minimum.",
        )
    if policy.machines and machine not in policy.machines:
        raise LamplighterError(
            "HARDWARE_FORBIDDEN",
            f"{assigned.model} may run on {', '.join(policy.machines)}; this is {machine}.",
        )


def agree_on_release(
    raw: bytes,
    assigned: AssignedModel,
    view: TrustView,
    *,
    running: Release | None,
    machine: str,
    now_utc: datetime,
) -> Manifest:
    """The verdict on a fetched manifest: both sides agree and it is what it says it is.

    Args:
        raw: The bytes of `bundle.json`.
        assigned: The model as the (accepted) assignment names it.
        view: The outcome of the TUF refresh.
        running: The release that is committed on this device, or None.
        machine: This device's `platform.machine()`.
        now_utc: The best known time, never before the signed floor.

    Raises:
        LamplighterError: What agree_on_target raises, TRUST_REFUSED, CAPABILITY_MISSING,
            VARIANT_UNSUPPORTED, MESSAGE_MALFORMED or MESSAGE_TOO_LARGE.
    """
    agree_on_target(assigned, view, machine=machine, now_utc=now_utc)
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
