"""Publishing through the server's API. The client keeps its own last metadata beside its keys."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.files import write_durably
from lamplighter_server.publishing import ceremony, keys

_TARGETS: Final = "targets.json"
_PENDING: Final = "targets.pending.json"


@dataclass(frozen=True)
class Published:
    """A release that the server has accepted."""

    model: str
    release: int
    manifest_sha256: str
    size_bytes: int
    changes: tuple[str, ...]


def init_keys(api: Api, folder: Path, passphrase: str) -> None:
    """Make the offline keys, sign the first root and targets, and hand them to the server.

    Raises:
        LamplighterError: CONFLICT if there are keys or the server has its trust already,
            PASSPHRASE_WRONG, SERVER_UNREACHABLE.
    """
    online = api.get("/api/v1/trust/online-keys")
    director_keys = encode(
        DirectorKeys(epoch=online["epoch"], public_pem=tuple(online["director_public_pem"]))
    )
    now_utc = datetime.now(UTC)
    offline = keys.create(folder, passphrase)
    root = ceremony.first_root(
        root=offline.root,
        targets=offline.targets.public_key,
        snapshot=ceremony.read_key(online["snapshot"]),
        timestamp=ceremony.read_key(online["timestamp"]),
        now_utc=now_utc,
    )
    targets = ceremony.first_targets(director_keys, signer=offline.targets, now_utc=now_utc)
    api.post(
        "/api/v1/trust/bootstrap",
        {
            "root": root.decode(),
            "targets": targets.decode(),
            "director_keys": director_keys.decode(),
        },
    )
    write_durably(folder / "root.json", root)
    write_durably(folder / _TARGETS, targets)


def next_release(api: Api, model: str) -> int:
    """The number that the model's next release will have."""
    try:
        releases = api.get(f"/api/v1/models/{model}")["releases"]
    except LamplighterError as error:
        if error.code != "NOT_FOUND":
            raise
        return 1
    return 1 + max(int(item["release"]) for item in releases)


def publish_release(
    api: Api, folder: Path, passphrase: str, bundle: Bundle, evidence: bytes
) -> Published:
    """Upload the files, sign the release, publish it. Repeating it after a failure is harmless.

    Args:
        api: The server.
        folder: The offline keys and the client's own metadata.
        passphrase: Opens the keys.
        bundle: The release.
        evidence: The bytes of `evidence.json`.

    Raises:
        LamplighterError: TRUST_REFUSED if the server's targets are not what was signed last here,
            PASSPHRASE_WRONG, RELEASE_IMMUTABLE, or what the server refuses with.
    """
    manifest = bundle.manifest
    offline = keys.unlock(folder, passphrase)
    previous = _agreed_targets(api, folder)
    signed = ceremony.next_targets(
        previous,
        model=manifest.model,
        release=manifest.release,
        manifest=bundle.manifest_raw,
        evidence=evidence,
        signer=offline.targets,
        now_utc=datetime.now(UTC),
    )
    for raw in (*bundle.files.values(), bundle.manifest_raw, evidence):
        api.put(f"/api/v1/blobs/{sha256(raw)}", raw)
    # Kept before it is sent: if the answer is lost, the next run knows what it may have signed.
    write_durably(folder / _PENDING, signed)
    api.post(
        "/api/v1/releases",
        {
            "model": manifest.model,
            "release": manifest.release,
            "manifest_sha256": bundle.sha256,
            "evidence_sha256": sha256(evidence),
            "targets": signed.decode(),
        },
    )
    (folder / _PENDING).replace(folder / _TARGETS)
    return Published(
        model=manifest.model,
        release=manifest.release,
        manifest_sha256=bundle.sha256,
        size_bytes=bundle.size_bytes,
        changes=tuple(ceremony.changes(previous, signed)),
    )


def _agreed_targets(api: Api, folder: Path) -> bytes:
    """The client's own last targets, which the server must have too."""
    served = api.get_bytes(f"/api/v1/trust/files/{_TARGETS}")
    for name in (_PENDING, _TARGETS):
        own = folder / name
        if own.exists() and own.read_bytes() == served:
            if name == _PENDING:
                own.replace(folder / _TARGETS)
            return served
    raise LamplighterError(
        "TRUST_REFUSED",
        "The server's targets are not the ones that were signed last with these keys.",
    )
