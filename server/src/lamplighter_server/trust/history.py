"""TUF metadata as a record: who had signed what. Pure; expiry is of no matter to the past."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES

S = TypeVar("S", Root, Targets)
#: As many delegated roles are looked into for one target, at most.
MAX_ROLES: Final = 32


class Signed(NamedTuple):
    """A target, and the role that has signed it."""

    role: str
    file: TargetFile


def check_roots(raw_roots: Sequence[bytes], *, root_sha256: str | None) -> Root:
    """The newest root of a chain in which each is signed by the one before and by itself.

    Args:
        raw_roots: From the pinned one on.
        root_sha256: The digest that the first must have; None believes the file.

    Raises:
        LamplighterError: MESSAGE_MALFORMED, MESSAGE_TOO_LARGE, SIGNATURE_INVALID or TRUST_REFUSED.
    """
    if not raw_roots:
        raise LamplighterError("TRUST_REFUSED", "There is no root.")
    if root_sha256 is not None and sha256(raw_roots[0]) != root_sha256:
        raise LamplighterError("TRUST_REFUSED", "The first root is not the one you trust.")
    former: Root | None = None
    for raw in raw_roots:
        metadata = _parse(raw, Root)
        root = metadata.signed
        if former is not None and root.version != former.version + 1:
            raise LamplighterError(
                "TRUST_REFUSED", f"Root {root.version} follows root {former.version}."
            )
        for signer in (former or root, root):
            _check_signed(signer, Root.type, metadata)
        former = root
    return root


def check_targets(raw: bytes, root: Root) -> Targets:
    """The top-level targets, signed as the root demands.

    Raises:
        LamplighterError: MESSAGE_MALFORMED, MESSAGE_TOO_LARGE or SIGNATURE_INVALID.
    """
    metadata = _parse(raw, Targets)
    _check_signed(root, Targets.type, metadata)
    return metadata.signed


def find_target(path: str, targets: Targets, delegated: Mapping[str, bytes]) -> Signed:
    """Who has signed a target: the search of the TUF specification, depth first, in order.

    Raises:
        LamplighterError: TRUST_REFUSED if nobody has; MESSAGE_MALFORMED, MESSAGE_TOO_LARGE or
            SIGNATURE_INVALID if a role on the way cannot be believed.
    """
    waiting: list[tuple[str, Targets | None]] = [(Targets.type, None)]
    seen: set[str] = set()
    while waiting and len(seen) < MAX_ROLES:
        role, parent = waiting.pop()
        if role in seen:
            continue
        seen.add(role)
        signed = targets if parent is None else _delegated(role, parent, delegated)
        if path in signed.targets:
            return Signed(role, signed.targets[path])
        below: list[tuple[str, Targets | None]] = []
        for name, terminating in _responsible(path, signed):
            below.append((name, signed))
            if terminating:
                waiting.clear()
                break
        waiting.extend(reversed(below))
    raise LamplighterError("TRUST_REFUSED", f"No offline key has signed {path}.")


def check_content(signed: Signed, content: bytes, what: str) -> None:
    """Refuse bytes that are not the signed ones.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    file = signed.file
    if (file.length, file.hashes.get("sha256")) != (len(content), sha256(content)):
        raise LamplighterError("TRUST_REFUSED", f"{what} is not what {signed.role} signed.")


def _responsible(path: str, signed: Targets) -> Iterable[tuple[str, bool]]:
    return signed.delegations.get_roles_for_target(path) if signed.delegations else ()


def _delegated(role: str, parent: Targets, delegated: Mapping[str, bytes]) -> Targets:
    if role not in delegated:
        raise LamplighterError("TRUST_REFUSED", f"The metadata of {role} is missing.")
    metadata = _parse(delegated[role], Targets)
    _check_signed(parent, role, metadata)
    return metadata.signed


def _parse(raw: bytes, kind: type[S]) -> Metadata[S]:
    if len(raw) > MAX_TRUST_FILE_BYTES:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"The metadata has {len(raw)} bytes.")
    try:
        metadata = Metadata[S].from_bytes(raw)
    except RepositoryError as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The metadata cannot be read: {error}."
        ) from error
    if not isinstance(metadata.signed, kind):
        raise LamplighterError("MESSAGE_MALFORMED", f"This is {metadata.signed.type} metadata.")
    return metadata


def _check_signed(signer: Root | Targets, role: str, metadata: Metadata[Any]) -> None:
    try:
        signer.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise LamplighterError("SIGNATURE_INVALID", f"The {role} metadata: {error}.") from error
