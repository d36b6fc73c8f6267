"""The verdict on new offline metadata: what a TUF client would check, and what may change."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from securesystemslib.signer import Key
from tuf.api.metadata import Root, TargetFile, Targets, VerificationResult

from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, policy_target
from lamplighter_server.trust.roles import (
    ROOT,
    TARGETS,
    Roles,
    check_key,
    custom,
    delegated_model,
    delegated_paths,
    delegations,
    read_policy,
    read_role,
    read_root,
    read_targets,
    speakers,
)

_RELEASE: Final = re.compile(r"models/([^/]+)/([1-9][0-9]{0,9})/(bundle|evidence)\.json")
_POLICY: Final = re.compile(r"models/([^/]+)/policy\.json")


@dataclass(frozen=True)
class Missing:
    """Signatures that a role still lacks.

    Attributes:
        role: Which role.
        count: How many are missing.
        keyids: The keys that can give them.
    """

    role: str
    count: int
    keyids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.role} lacks {self.count} of the keys {', '.join(self.keyids) or '-'}"


def accept(former: Roles, offered: Roles, *, now_utc: datetime) -> Roles:
    """The roles after a step that obeys every rule and bears every signature.

    Args:
        former: The roles in force, verified before; empty before bootstrap.
        offered: New versions of some of them.
        now_utc: The present time.

    Raises:
        LamplighterError: As `follow`, and SIGNATURE_INVALID.
    """
    roles = follow(former, offered, now_utc=now_utc)
    if lacking := missing(former, roles):
        raise LamplighterError(
            "SIGNATURE_INVALID", f"Signatures are missing: {'; '.join(map(str, lacking))}."
        )
    return roles


def follow(former: Roles, offered: Roles, *, now_utc: datetime) -> Roles:
    """The roles after a step that obeys every rule; signatures are counted by `missing`.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, TRUST_EXPIRED or TRUST_REFUSED.
    """
    roles = {**former, **offered}
    for role in (ROOT, TARGETS):
        if role not in roles:
            raise LamplighterError("TRUST_MISSING", f"There is no {role} metadata yet.")
    for role, raw in offered.items():
        _check_succession(role, raw, former.get(role), now_utc)
    if ROOT in offered:
        _check_root(read_root(offered[ROOT]).signed)
    top = read_targets(roles[TARGETS]).signed
    if TARGETS in offered:
        _check_delegations(top)
    delegated = delegations(top)
    before = {role: targets.targets for role, targets in speakers(former)}
    for role in offered.keys() - {ROOT}:
        if role != TARGETS and role not in delegated:
            raise _refused(f"{role} is not delegated")
        _check_targets(role, read_targets(offered[role]).signed, before.get(role, {}))
    if lost := sorted(delegated.keys() - roles.keys()):
        raise _refused(f"Delegations come without metadata of their roles: {lost}")
    _check_unique(roles)
    return roles


def missing(former: Roles, roles: Roles) -> tuple[Missing, ...]:
    """Which signatures are missing before a client that knows `former` would believe `roles`."""
    metadata = read_root(roles[ROOT])
    root = metadata.signed
    before = read_root(former[ROOT]).signed if ROOT in former else root
    by_role: list[tuple[str, VerificationResult]] = [
        (ROOT, holder.get_verification_result(ROOT, metadata.signed_bytes, metadata.signatures))
        for holder in ([root] if before == root else [before, root])
    ]
    targets = read_targets(roles[TARGETS])
    by_role.append(
        (
            TARGETS,
            root.get_verification_result(TARGETS, targets.signed_bytes, targets.signatures),
        )
    )
    for role in delegations(targets.signed):
        found = read_targets(roles[role])
        by_role.append(
            (
                role,
                targets.signed.get_verification_result(role, found.signed_bytes, found.signatures),
            )
        )
    return tuple(
        Missing(role, result.missing, tuple(sorted(result.unsigned)))
        for role, result in by_role
        if not result.verified
    )


def check_content(target: TargetFile | None, path: str, content: bytes) -> None:
    """Refuse a target that is not signed, or not as these very bytes.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    if target is None:
        raise _refused(f"The signed targets do not name {path}")
    if (target.length, target.hashes.get("sha256")) != (len(content), sha256(content)):
        raise _refused(f"The signed targets name another {path}")


def _check_succession(role: str, raw: bytes, former: bytes | None, now_utc: datetime) -> None:
    signed = read_role(role, raw).signed
    wanted = read_role(role, former).signed.version + 1 if former is not None else 1
    if signed.version != wanted:
        raise _refused(f"{role} has version {signed.version}, {wanted} comes next")
    if signed.is_expired(now_utc):
        raise LamplighterError(
            "TRUST_EXPIRED", f"The {role} metadata expired {signed.expires.isoformat()}."
        )


def _check_root(root: Root) -> None:
    if not root.consistent_snapshot:
        raise _refused("The root must have consistent snapshots")
    _check_keys(root.keys)
    for role, held in root.roles.items():
        _check_threshold(role, held.threshold, held.keyids, root.keys)
        if role not in {ROOT, TARGETS} and held.threshold != 1:
            raise _refused(f"One server signs {role}: its threshold must be 1")


def _check_targets(role: str, targets: Targets, before: Mapping[str, TargetFile]) -> None:
    """What a role may name, and that it keeps what it has published."""
    model = delegated_model(role)
    if model is not None and targets.delegations is not None:
        raise _refused(f"{role} may not delegate further")
    for path, target in targets.targets.items():
        _check_target(path, target, only=model)
    changed = sorted(
        path
        for path, target in before.items()
        if _RELEASE.fullmatch(path) and targets.targets.get(path) != target
    )
    if changed:
        raise _refused(f"Published releases may not change or vanish: {changed}")
    if role == TARGETS and DIRECTOR_KEYS_TARGET not in targets.targets:
        raise _refused(f"The targets do not name {DIRECTOR_KEYS_TARGET}")


def _check_target(path: str, target: TargetFile, *, only: str | None) -> None:
    release, policy = _RELEASE.fullmatch(path), _POLICY.fullmatch(path)
    model = release[1] if release else policy[1] if policy else None
    if only is not None and model != only:
        raise _refused(f"The role of {only} may not name {path!r}")
    if release and release[3] == "bundle":
        said = custom(target)
        if (said.get("model"), said.get("release")) != (model, int(release[2])):
            raise _refused(f"The signed target {path} says {said}")
    elif policy:
        check_content(target, policy_target(policy[1]), encode(read_policy(policy[1], target)))
    elif model is None and path != DIRECTOR_KEYS_TARGET:
        raise _refused(f"{path!r} is no target of Lamplighter")


def _check_delegations(top: Targets) -> None:
    if top.delegations is None:
        return
    if top.delegations.roles is None:
        raise _refused("Only delegations by name are allowed")
    _check_keys(top.delegations.keys)
    for role, given in top.delegations.roles.items():
        model = delegated_model(role)
        if model is None or given.terminating or given.paths != delegated_paths(model):
            raise _refused(f"The delegation {role!r} gives more than one model")
        _check_threshold(role, given.threshold, given.keyids, top.delegations.keys)


def _check_keys(keys: Mapping[str, Key]) -> None:
    for key in keys.values():
        check_key(key)


def _check_threshold(role: str, threshold: int, keyids: list[str], keys: Mapping[str, Key]) -> None:
    if threshold > len(keyids) or not keys.keys() >= set(keyids):
        raise _refused(f"{role} needs {threshold} of {len(keyids)} keys, not all of them named")


def _check_unique(roles: Roles) -> None:
    """A release that one role has published cannot be replaced by a role that is asked earlier."""
    named: dict[str, TargetFile] = {}
    for role, targets in speakers(roles):
        for path, target in targets.targets.items():
            if _RELEASE.fullmatch(path) and named.setdefault(path, target) != target:
                raise _refused(f"{role} and another role name different {path}")


def _refused(sentence: str) -> LamplighterError:
    return LamplighterError("TRUST_REFUSED", f"{sentence}.")
