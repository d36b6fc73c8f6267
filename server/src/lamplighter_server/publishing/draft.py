"""The next version of offline roles, built up change by change: pure, and not signed yet."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import (
    DIRECTOR_KEYS_TARGET,
    evidence_target,
    manifest_target,
    policy_target,
)
from lamplighter_protocol.trust import ModelPolicy
from lamplighter_server.trust.roles import (
    ROOT,
    TARGETS,
    Roles,
    delegated_paths,
    delegated_role,
    delegations,
    read_root,
    read_targets,
)

LIFETIME: Final = timedelta(days=365)


class Draft:
    """A step from the roles in force. A role is taken up, one version higher, when it is asked for.

    Args:
        roles: The roles in force; empty for the first step of all.
        now_utc: The present time, from which the new versions expire.
    """

    def __init__(self, roles: Roles, now_utc: datetime) -> None:
        self._roles = roles
        self._expires_utc = (now_utc + LIFETIME).replace(microsecond=0)
        self._root: Root | None = None
        self._targets: dict[str, Targets] = {}

    @property
    def root(self) -> Root:
        """The next root."""
        if self._root is None:
            if ROOT in self._roles:
                self._root = read_root(self._roles[ROOT]).signed
                self._root.version += 1
                self._root.expires = self._expires_utc
            else:
                self._root = Root(expires=self._expires_utc, consistent_snapshot=True)
        return self._root

    def targets(self, role: str = TARGETS) -> Targets:
        """The next metadata of the targets role or of a delegated one."""
        if role not in self._targets:
            if role in self._roles:
                self._targets[role] = read_targets(self._roles[role]).signed
                self._targets[role].version += 1
                self._targets[role].expires = self._expires_utc
            else:
                self._targets[role] = Targets(expires=self._expires_utc)
        return self._targets[role]

    def hold(self, role: str, keys: Sequence[Key], threshold: int = 1) -> None:
        """Let these keys, and no others, hold a top-level role."""
        root = self.root
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        for key in keys:
            root.add_key(key, role)
        root.roles[role].threshold = threshold
        if role == TARGETS:
            self.targets()  # to be signed by its new holders

    def direct(self, keys: DirectorKeys) -> bytes:
        """Name the director's keys; returns the content of their target."""
        content = encode(keys)
        _name(self.targets(), DIRECTOR_KEYS_TARGET, content)
        return content

    def release(self, role: str, model: str, number: int, manifest: bytes, evidence: bytes) -> None:
        """Name a release.

        Raises:
            LamplighterError: RELEASE_IMMUTABLE if it was named with other content.
        """
        named = self.targets(role)
        for path, content in (
            (manifest_target(model, number), manifest),
            (evidence_target(model, number), evidence),
        ):
            former = named.targets.get(path)
            _name(named, path, content, model=model, release=number)
            if former is not None and former != named.targets[path]:
                raise LamplighterError(
                    "RELEASE_IMMUTABLE", f"{path} has been signed already, with other content."
                )

    def restrict(self, role: str, policy: ModelPolicy) -> bytes:
        """Say what holds for a whole model; returns the content of the policy's target."""
        content = encode(policy)
        custom = msgspec.to_builtins(policy)
        custom["machines"] = list(custom["machines"])
        _name(self.targets(role), policy_target(policy.model), content, **custom)
        return content

    def delegate(self, model: str, keys: Sequence[Key], threshold: int) -> None:
        """Let these keys publish one model, and see that they sign metadata of that role."""
        role, top = delegated_role(model), self.targets()
        known = role in delegations(top)
        self.undelegate(model)
        given = top.delegations or Delegations(keys={}, roles={})
        roles = dict(given.roles or {})
        roles[role] = DelegatedRole(
            name=role,
            keyids=[key.keyid for key in keys],
            threshold=threshold,
            terminating=False,
            paths=delegated_paths(model),
        )
        top.delegations = Delegations(
            keys={**given.keys, **{key.keyid: key for key in keys}}, roles=roles
        )
        if not known:  # what somebody else has said under this name, long ago, is not taken over
            self.targets(role).targets = {}
        self.targets(role)

    def undelegate(self, model: str) -> None:
        """Take a model back from its team; nothing that it has named is believed any more."""
        top = self.targets()
        roles = {
            role: given for role, given in delegations(top).items() if role != delegated_role(model)
        }
        used = {keyid for given in roles.values() for keyid in given.keyids}
        keys = top.delegations.keys if top.delegations else {}
        top.delegations = (
            Delegations(keys={i: key for i, key in keys.items() if i in used}, roles=roles)
            if roles
            else None
        )

    def renew(self, roles: Collection[str]) -> None:
        """Sign again what is in force, to expire later."""
        for role in roles:
            _ = self.root if role == ROOT else self.targets(role)

    def done(self) -> Roles:
        """What is to be signed, by role; empty if nothing has been changed."""
        documents: dict[str, Root | Targets] = dict(self._targets)
        if self._root is not None:
            documents[ROOT] = self._root
        return {role: raw_metadata(Metadata(signed)) for role, signed in documents.items()}


def raw_metadata(metadata: Metadata[Any]) -> bytes:
    """Metadata as it is published."""
    return metadata.to_bytes(JSONSerializer(compact=True))


def first_draft(
    *,
    root: tuple[Sequence[Key], int],
    targets: tuple[Sequence[Key], int],
    snapshot: Key,
    timestamp: Key,
    director: DirectorKeys,
    now_utc: datetime,
) -> tuple[Roles, bytes]:
    """The first root and targets, and the content of the director keys' target.

    Args:
        root: The keys of the root role and how many of them must sign.
        targets: The keys of the targets role and how many of them must sign.
        snapshot: The server's key for snapshots.
        timestamp: The server's key for timestamps.
        director: The server's keys for assignments.
        now_utc: The present time.
    """
    draft = Draft({}, now_utc)
    draft.hold(ROOT, *root)
    draft.hold(TARGETS, *targets)
    draft.hold("snapshot", [snapshot])
    draft.hold("timestamp", [timestamp])
    content = draft.direct(director)
    return draft.done(), content


def _name(targets: Targets, path: str, content: bytes, **custom: Any) -> None:  # noqa: ANN401
    target = TargetFile.from_data(path, content, ["sha256"])
    if custom:
        target.unrecognized_fields["custom"] = custom
    targets.targets[path] = target
