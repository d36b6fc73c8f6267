"""What a person may propose, each a step from what is in force. Nothing is signed here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from securesystemslib.signer import Key

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import ModelPolicy
from lamplighter_server.publishing.case import Case
from lamplighter_server.publishing.draft import Draft, first_draft
from lamplighter_server.publishing.exchange import ServerKeys
from lamplighter_server.publishing.holder import Holder, Proposal
from lamplighter_server.publishing.keys import KeyRing, read_public
from lamplighter_server.publishing.signers import Secrets
from lamplighter_server.trust.roles import (
    ROOT,
    TARGETS,
    Roles,
    delegated_role,
    delegations,
    read_root,
    read_targets,
)


@dataclass(frozen=True)
class KeyPlan:
    """Who shall hold a role: some keys that are made here, some that come from elsewhere.

    Attributes:
        threshold: How many must sign.
        total: How many keys there are; 0 for as few as the other two need.
        joined: Public key files and URIs of keys that are not made here.
    """

    threshold: int = 1
    total: int = 0
    joined: tuple[str, ...] = ()


ONE_KEY: Final = KeyPlan()


@dataclass(frozen=True)
class Turnover:
    """How the keys of root or targets shall change; by default, those that lie here are replaced.

    Attributes:
        add: Public key files and URIs.
        remove: Key ids.
        threshold: How many must sign from now on; None for as many as before.
    """

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    threshold: int | None = None


def establish(
    holder: Holder, server: ServerKeys, root: KeyPlan, targets: KeyPlan, secrets: Secrets
) -> Proposal:
    """The first root and targets."""
    roles, content = first_draft(
        root=(_planned(holder.ring, ROOT, root, secrets), root.threshold),
        targets=(_planned(holder.ring, TARGETS, targets, secrets), targets.threshold),
        snapshot=server.snapshot,
        timestamp=server.timestamp,
        director=server.director,
        now_utc=datetime.now(UTC),
    )
    return holder.propose(Case((), {}, {}), roles, {"director": content})


def release(holder: Holder, case: Case, bundle: Bundle, evidence: bytes) -> Proposal | None:
    """One more release; None if it is named already.

    Raises:
        LamplighterError: TRUST_REFUSED if a file is not what the manifest says of it,
            RELEASE_IMMUTABLE, and what `judge.judge` raises.
    """
    check_bundle(bundle)
    manifest = bundle.manifest
    draft, role = _draft(case), publishing_role(holder, case, manifest.model)
    before = dict(read_targets(case.current[role]).signed.targets)
    draft.release(role, manifest.model, manifest.release, bundle.manifest_raw, evidence)
    if draft.targets(role).targets == before:
        return None
    contents = {**bundle.files, "bundle.json": bundle.manifest_raw, "evidence.json": evidence}
    return holder.propose(case, draft.done(), contents)


def check_bundle(bundle: Bundle) -> None:
    """Recompute every digest from the bytes that are here.

    Raises:
        LamplighterError: TRUST_REFUSED, and what decode_manifest raises.
    """
    named = decode_manifest(bundle.manifest_raw).files
    differing = sorted(
        name
        for name in named.keys() | bundle.files.keys()
        if name not in bundle.files or named.get(name) != describe(bundle.files[name])
    )
    if differing:
        raise LamplighterError(
            "TRUST_REFUSED", f"Files are not what the manifest says of them: {differing}."
        )


def restrict(holder: Holder, case: Case, policy: ModelPolicy) -> Proposal:
    """What shall hold for a whole model."""
    draft = _draft(case)
    content = draft.restrict(publishing_role(holder, case, policy.model), policy)
    return holder.propose(case, draft.done(), {"policy": content})


def delegate(
    holder: Holder, case: Case, model: str, keys: Sequence[Key], threshold: int
) -> Proposal:
    """Let a team publish one model with its own keys."""
    draft = _draft(case)
    draft.delegate(model, keys, threshold)
    return holder.propose(case, draft.done(), {})


def undelegate(holder: Holder, case: Case, model: str) -> Proposal:
    """Take a model back.

    Raises:
        LamplighterError: NOT_FOUND if it is not delegated.
    """
    if delegated_role(model) not in delegations(read_targets(case.current[TARGETS]).signed):
        raise LamplighterError("NOT_FOUND", f"{model!r} is not delegated.")
    draft = _draft(case)
    draft.undelegate(model)
    return holder.propose(case, draft.done(), {})


def renew(holder: Holder, case: Case, roles: Collection[str]) -> Proposal:
    """Let offline roles expire later.

    Raises:
        LamplighterError: NOT_FOUND if there is no such role.
    """
    if unknown := sorted(set(roles) - case.current.keys()):
        raise LamplighterError("NOT_FOUND", f"There is no role {unknown[0]!r}.")
    draft = _draft(case)
    draft.renew(roles)
    return holder.propose(case, draft.done(), {})


def rotate(
    holder: Holder,
    case: Case,
    *,
    offline: Collection[str] = (),
    turnover: Turnover,
    online: dict[str, Key],
    director: DirectorKeys | None,
    secrets: Secrets,
) -> Proposal:
    """New keys for some roles, all in one step.

    Args:
        holder: Who proposes it; holds the keys that are made.
        case: What is in force.
        offline: Which of `root` and `targets`.
        turnover: How their keys change.
        online: The server's next key by role, `snapshot` or `timestamp`.
        director: The director's next keys, or None.
        secrets: For keys that lie in a token or another file.

    Raises:
        LamplighterError: KEY_MISSING if no key of an offline role lies here.
    """
    draft, contents = _draft(case), {}
    for role in offline:
        threshold = turnover.threshold or read_root(case.current[ROOT]).signed.roles[role].threshold
        draft.hold(
            role, _turned_over(holder.ring, case.current, role, turnover, secrets), threshold
        )
    for role, key in online.items():
        draft.hold(role, [key])
    if director is not None:
        contents["director"] = draft.direct(director)
    return holder.propose(case, draft.done(), contents)


def publishing_role(holder: Holder, case: Case, model: str) -> str:
    """The role that names a model's targets here: the team's, unless the keys here are above it."""
    role = delegated_role(model)
    given = delegations(read_targets(case.current[TARGETS]).signed).get(role)
    top = read_root(case.current[ROOT]).signed.roles[TARGETS]
    if given is None:
        return TARGETS
    held = holder.ring.keyids
    return TARGETS if held & set(top.keyids) and not held & set(given.keyids) else role


def read_key_argument(ring: KeyRing, purpose: str, text: str, secrets: Secrets) -> Key:
    """A key that was named on a command line: a public key file, or a URI to sign with."""
    path = Path(text).expanduser()
    return read_public(path) if path.exists() else ring.adopt(purpose, text, secrets)


def _planned(ring: KeyRing, role: str, plan: KeyPlan, secrets: Secrets) -> list[Key]:
    """The keys of a role; those that an earlier attempt made here are used again."""
    joined = [read_key_argument(ring, role, text, secrets) for text in plan.joined]
    known = {key.keyid: key for key in [*joined, *ring.made_for(role)]}
    total = max(plan.total, plan.threshold, len(joined), 1)
    made = [ring.generate(role) for _ in range(total - len(known))]
    return [*known.values(), *made][:total]


def _turned_over(
    ring: KeyRing, current: Roles, role: str, turnover: Turnover, secrets: Secrets
) -> list[Key]:
    root = read_root(current[ROOT]).signed
    keyids = root.roles[role].keyids
    if turnover.add or turnover.remove or turnover.threshold:
        added = [read_key_argument(ring, role, text, secrets) for text in turnover.add]
        if unknown := sorted(set(turnover.remove) - set(keyids)):
            raise LamplighterError("NOT_FOUND", f"{role} has no key {unknown[0]}.")
        return [*(root.keys[i] for i in keyids if i not in turnover.remove), *added]
    if not ring.keyids & set(keyids):
        raise LamplighterError(
            "KEY_MISSING", f"None of the {role} keys lies here; name them: --remove and --add."
        )
    return [ring.generate(role) if i in ring.keyids else root.keys[i] for i in keyids]


def _draft(case: Case) -> Draft:
    if not case.current:
        raise LamplighterError("TRUST_MISSING", "This server has no TUF root yet.")
    return Draft(case.current, datetime.now(UTC))
