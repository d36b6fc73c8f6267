"""What a device says it has: a document signed with the device's own key (design 3.2)."""

from typing import Final, Literal

import msgspec

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import Generation, Mode, Utc
from lamplighter_protocol.canonical import decode, encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.failure import Failure as Failure  # noqa: PLC0414 - it is ours to show
from lamplighter_protocol.names import MAX_ENVELOPE_BYTES, Count, Name, Release, Sha256

PAYLOAD_TYPE: Final = "application/vnd.lamplighter.reported+json"

Phase = Literal[
    "admitted",
    "fetching",
    "verified",
    "self-testing",
    "shadowing",
    "probation",
    "committed",
    "rolling-back",
    "rolled-back",
    "failed",
]
#: Phases that an attempt does not leave by itself.
FINAL_PHASES: Final = frozenset({"committed", "rolled-back", "failed"})


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """The release that answers requests now."""

    release: Release
    manifest_sha256: Sha256
    variant: Name
    mode: Mode = "active"
    committed: bool
    """False through probation."""
    since_utc: Utc


class Shadowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a release did beside the active one, when its time in shadow was over."""

    seconds: float
    requests: Count
    """Copies answered or failed."""
    compared: Count
    """Rows that both releases answered."""
    disagreed: Count
    """Of these, rows to which they gave different answers."""
    missed: Count
    """Requests whose copy was dropped on its way."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The newest update: where it is, or how it ended."""

    release: Release
    generation: Generation
    phase: Phase
    rollout: str | None = None
    started_utc: Utc
    failure: Failure | None = None
    timings_s: dict[str, float] = {}
    """Measured durations by step: `fetch`, `self_test`, `probation`, `rollback`."""
    shadow: Shadowed | None = None
    """Of an attempt in shadow mode, once the device has found nothing against it."""


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one model on one device."""

    model: Name
    active: Active | None = None
    previous: Release | None = None
    """The release kept verified on disk to go back to."""
    attempt: Attempt | None = None


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What the board is; the director chooses variants by it."""

    machine: str
    runtimes: dict[str, str]
    """Runtime name to version, only those that have built a session here."""
    ram_mb: int
    python: str
    agent_version: str
    system: str
    transfers: tuple[str, ...] = ()
    """Forms in which files may travel to it, beside plain chunks."""
    modes: tuple[Mode, ...] = ("active",)
    """Modes in which it can run a release."""


class TrustState(msgspec.Struct, frozen=True, kw_only=True):
    """Which signed metadata the device holds."""

    root_version: Count
    targets_version: Count
    floor_utc: Utc
    """The device knows that it is not earlier than this."""
    changes_until_utc: Utc | None = None
    """The earliest expiry: from then on the device changes nothing, and goes on serving."""


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """The signed state. (boot, counter) orders reports; lower counters are refused."""

    device: Name
    fleet: Name
    boot: str
    counter: Count
    """Persisted, grows by one with each report over the device's whole life."""
    generation: Generation | None
    assignment_sha256: Sha256 | None
    """Digest of the newest accepted assignment envelope."""
    inventory: Inventory
    trust: TrustState | None
    models: tuple[ModelReport, ...]
    wants: tuple[Sha256, ...]
    """Blobs still wanted, by digest."""
    waiting: dict[Name, Failure] = {}
    """Why the update of a model waits for the board; it goes on by itself."""
    problem: Failure | None = None
    """The newest refusal that belongs to no attempt, such as a bad signature."""
    clock_synchronised: bool
    at_utc: Utc


def sign_reported(reported: Reported, signer: dsse.Signer) -> bytes:
    """The envelope that travels as `reported`."""
    return dsse.sign(PAYLOAD_TYPE, encode(reported), signer)


def accept_reported(
    raw: bytes, *, device: str, fleet: str, key: dsse.PublicKey, last_counter: int
) -> Reported:
    """The server's verdict on a report.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, SIGNATURE_INVALID (also when it
            names another device), or REPORT_STALE if the counter is not above `last_counter`.
    """
    payload = dsse.verify(raw, PAYLOAD_TYPE, {dsse.key_id(key): key})
    reported = decode(payload, Reported, what="The report", max_bytes=MAX_ENVELOPE_BYTES)
    if (reported.device, reported.fleet) != (device, fleet):
        raise LamplighterError(
            "SIGNATURE_INVALID", f"{device} sent a report signed for {reported.device}."
        )
    if reported.counter <= last_counter:
        raise LamplighterError(
            "REPORT_STALE", f"Report {reported.counter} of {device} is not above {last_counter}."
        )
    return reported


def ran_in_shadow(report: Reported, model: str, release: int) -> Shadowed | None:
    """What the device has signed of a release that runs in shadow there.

    None before its time in shadow is over, and once it runs there no more.
    """
    attempts = (item.attempt for item in report.models if item.model == model)
    for attempt in attempts:
        if attempt is not None and (attempt.release, attempt.phase) == (release, "shadowing"):
            return attempt.shadow
    return None


def runs_committed(report: Reported, model: str, release: int, manifest_sha256: str) -> bool:
    """Whether the device has signed that it runs this very release after probation."""
    return any(
        item.model == model
        and item.active is not None
        and item.active.committed
        and item.active.release == release
        and item.active.manifest_sha256 == manifest_sha256
        for item in report.models
    )
