"""Publishing through the server's API. Nothing leaves this machine before the keys are open."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing import ceremony, keys
from lamplighter_server.publishing.state import SignedState


@dataclass(frozen=True)
class Proposal:
    """A release that is about to be signed."""

    bundle: Bundle
    evidence: bytes
    previous: bytes
    """The targets that were signed last."""
    targets: bytes
    """The next ones, unsigned; the previous ones if they name the release already."""

    @property
    def changes(self) -> tuple[str, ...]:
        """In words, what a signature would add: to be shown before the passphrase is asked for."""
        return tuple(ceremony.changes(self.previous, self.targets))


@dataclass(frozen=True)
class Published:
    """A release that the server has accepted."""

    model: str
    release: int
    manifest_sha256: str
    size_bytes: int


def init_keys(api: Api, folder: Path, passphrase: str) -> None:
    """Make the offline keys, sign the first root and targets, and hand them to the server.

    After a failure it can be repeated: it goes on with the keys, and with what was signed if the
    server may have it.

    Raises:
        LamplighterError: CONFLICT if trust is established here or the server has another root,
            PASSPHRASE_WRONG, SERVER_UNREACHABLE.
    """
    state = SignedState(folder)
    if state.established:
        raise LamplighterError(
            "CONFLICT", f"There are keys in {folder} already, and they are used."
        )
    online = api.get("/api/v1/trust/online-keys")
    director_keys = encode(
        DirectorKeys(epoch=online["epoch"], public_pem=tuple(online["director_public_pem"]))
    )
    open_keys = keys.unlock if keys.exist(folder) else keys.create
    offline = open_keys(folder, passphrase)
    first = state.unconfirmed_first()
    if first is None:
        now_utc = datetime.now(UTC)
        first = (
            ceremony.first_root(
                root=offline.root,
                targets=offline.targets.public_key,
                snapshot=ceremony.read_key(online["snapshot"]),
                timestamp=ceremony.read_key(online["timestamp"]),
                now_utc=now_utc,
            ),
            ceremony.first_targets(director_keys, signer=offline.targets, now_utc=now_utc),
        )
        state.keep_first(*first)
    root, targets = first
    try:
        api.post(
            "/api/v1/trust/bootstrap",
            {
                "root": root.decode(),
                "targets": targets.decode(),
                "director_keys": director_keys.decode(),
            },
        )
    except LamplighterError as error:
        if error.code != "SERVER_UNREACHABLE":
            state.forget_first()
        raise
    state.confirm()


def next_release(api: Api, model: str) -> int:
    """The number that the model's next release will have."""
    try:
        releases = api.get(f"/api/v1/models/{model}")["releases"]
    except LamplighterError as error:
        if error.code != "NOT_FOUND":
            raise
        return 1
    return 1 + max(int(item["release"]) for item in releases)


def propose_release(api: Api, folder: Path, bundle: Bundle, evidence: bytes) -> Proposal:
    """Say what is to be signed; nothing is sent and no key is opened.

    Args:
        api: The server.
        folder: The client's own metadata.
        bundle: The release.
        evidence: The bytes of `evidence.json`.

    Raises:
        LamplighterError: TRUST_REFUSED if a file is not what the manifest says, or the server's
            targets are not what was signed last here; RELEASE_IMMUTABLE, SERVER_UNREACHABLE.
    """
    ceremony.check_bundle(bundle)
    previous = SignedState(folder).agree(api.get_bytes("/api/v1/trust/files/targets.json"))
    targets = ceremony.next_targets(
        previous,
        model=bundle.manifest.model,
        release=bundle.manifest.release,
        manifest=bundle.manifest_raw,
        evidence=evidence,
        now_utc=datetime.now(UTC),
    )
    return Proposal(bundle, evidence, previous, targets)


def publish_proposal(api: Api, folder: Path, passphrase: str, proposal: Proposal) -> Published:
    """Sign, upload the files, then announce the release: nothing is ever half published.

    Raises:
        LamplighterError: PASSPHRASE_WRONG, SIGNATURE_INVALID, or what the server refuses with.
    """
    bundle, manifest, state = proposal.bundle, proposal.bundle.manifest, SignedState(folder)
    signer = keys.unlock_role(folder, "targets", passphrase)
    signed = proposal.previous
    if proposal.targets != proposal.previous:
        signed = ceremony.sign_next(proposal.previous, proposal.targets, signer)
    for raw in (*bundle.files.values(), bundle.manifest_raw, proposal.evidence):
        api.put(f"/api/v1/blobs/{sha256(raw)}", raw)
    state.keep(signed)
    api.post(
        "/api/v1/releases",
        {
            "model": manifest.model,
            "release": manifest.release,
            "manifest_sha256": bundle.sha256,
            "evidence_sha256": sha256(proposal.evidence),
            "targets": signed.decode(),
        },
    )
    state.confirm()
    return Published(
        model=manifest.model,
        release=manifest.release,
        manifest_sha256=bundle.sha256,
        size_bytes=bundle.size_bytes,
    )


def publish_release(
    api: Api, folder: Path, passphrase: str, bundle: Bundle, evidence: bytes
) -> Published:
    """Propose and publish in one step, for programs. Repeating it is harmless.

    Raises:
        LamplighterError: As `propose_release` and `publish_proposal`.
    """
    return publish_proposal(api, folder, passphrase, propose_release(api, folder, bundle, evidence))
