"""The offline roles as raw metadata, and what they say: pure, for server and signers alike."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.signer import KEY_TYPE_ED25519, Key, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Metadata, Root, TargetFile, Targets

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES, NAME_PATTERN, policy_target
from lamplighter_protocol.trust import ModelPolicy

ROOT: Final = "root"
TARGETS: Final = "targets"
_DELEGATED: Final = re.compile(f"model-({NAME_PATTERN.removeprefix('^').removesuffix('$')})")

#: Raw metadata by role: `root`, `targets` and each `model-<model>`; empty before bootstrap.
Roles = Mapping[str, bytes]
S = TypeVar("S", Root, Targets)


def delegated_role(model: str) -> str:
    """The role of the team that publishes one model."""
    return f"model-{model}"


def delegated_model(role: str) -> str | None:
    """The model of a delegated role; None for every other role."""
    found = _DELEGATED.fullmatch(role)
    return found[1] if found else None


def delegated_paths(model: str) -> list[str]:
    """What a model's delegated role may name."""
    return [f"models/{model}/*", f"models/{model}/*/*"]


def read_root(raw: bytes) -> Metadata[Root]:
    """Root metadata, not verified.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE or MESSAGE_MALFORMED.
    """
    return _parse(raw, Root)


def read_targets(raw: bytes) -> Metadata[Targets]:
    """Metadata of the targets role or of a delegated one, not verified.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE or MESSAGE_MALFORMED.
    """
    return _parse(raw, Targets)


def read_role(role: str, raw: bytes) -> Metadata[Root] | Metadata[Targets]:
    """Metadata of any offline role, not verified.

    Raises:
        LamplighterError: As `read_root`.
    """
    return read_root(raw) if role == ROOT else read_targets(raw)


def same_statement(role: str, one: bytes, other: bytes) -> bool:
    """Whether both say the same, whoever has signed."""
    return one == other or read_role(role, one).signed_bytes == read_role(role, other).signed_bytes


def check_key(key: Key) -> None:
    """Refuse a key whose id is not its own.

    Under the id of another key it would take that key's place; under two ids it would count twice.

    Raises:
        LamplighterError: MESSAGE_MALFORMED if it is no usable public key, or TRUST_REFUSED.
    """
    try:
        if key.keytype == KEY_TYPE_ED25519:
            raw = bytes.fromhex(key.keyval["public"])
            own = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(raw))
        else:
            public = load_pem_public_key(key.keyval["public"].encode())
            own = SSlibKey.from_crypto(public, scheme=key.scheme)
    except (KeyError, TypeError, ValueError, AttributeError, UnsupportedAlgorithm) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"Not a TUF key: {error}.") from error
    if key != own:
        raise LamplighterError("TRUST_REFUSED", f"The key {key.keyid} is not what its id says.")


def delegations(targets: Targets) -> Mapping[str, DelegatedRole]:
    """The delegated roles in the order in which they are asked."""
    found = targets.delegations
    return found.roles if found is not None and found.roles is not None else {}


def speakers(roles: Roles) -> Iterator[tuple[str, Targets]]:
    """Every role that may name targets, with its metadata, in the order in which it is asked."""
    if TARGETS not in roles:
        return
    top = read_targets(roles[TARGETS]).signed
    yield TARGETS, top
    for role in delegations(top):
        if role in roles:
            yield role, read_targets(roles[role]).signed


def custom(target: TargetFile) -> Mapping[str, Any]:
    """What is signed beside a target; nothing if it is no object."""
    found = target.unrecognized_fields.get("custom")
    return found if isinstance(found, dict) else {}


def find_target(roles: Roles, path: str) -> TargetFile | None:
    """What the first role that names a target says of it."""
    return next(
        (targets.targets[path] for _, targets in speakers(roles) if path in targets.targets), None
    )


def find_policy(roles: Roles, model: str) -> ModelPolicy:
    """What offline keys say of a whole model; nothing is restricted where they say nothing.

    Raises:
        LamplighterError: TRUST_REFUSED if it cannot be understood.
    """
    found = find_target(roles, policy_target(model))
    return read_policy(model, found) if found is not None else ModelPolicy(model=model)


def read_policy(model: str, target: TargetFile) -> ModelPolicy:
    """The policy that stands beside its target.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    try:
        policy = msgspec.convert(custom(target), ModelPolicy)
    except msgspec.ValidationError as error:
        raise LamplighterError("TRUST_REFUSED", f"The policy of {model}: {error}.") from error
    if policy.model != model:
        raise LamplighterError("TRUST_REFUSED", f"The policy of {model} is of {policy.model}.")
    return policy


def _parse(raw: bytes, kind: type[S]) -> Metadata[S]:
    if len(raw) > MAX_TRUST_FILE_BYTES:
        raise LamplighterError(
            "MESSAGE_TOO_LARGE",
            f"The metadata has {len(raw)} bytes, the limit is {MAX_TRUST_FILE_BYTES}.",
        )
    try:
        metadata = Metadata[S].from_bytes(raw)
        _ = metadata.signed_bytes  # what cannot be written canonically can never be verified
    except RepositoryError as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The metadata cannot be read: {error}."
        ) from error
    if not isinstance(metadata.signed, kind):
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"This is {metadata.signed.type} metadata, not {kind.type}."
        )
    if isinstance(metadata.signed, Targets) and not all(
        isinstance(name, str) for name in delegations(metadata.signed)
    ):
        raise LamplighterError("MESSAGE_MALFORMED", "A delegated role has no name.")
    return metadata
