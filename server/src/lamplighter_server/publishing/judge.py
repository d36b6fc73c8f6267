"""The signer's verdict on a case: what it changes, and that nothing in it is a lie. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, TargetFile

from lamplighter_protocol.assignment import decode_director_keys
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import (
    DIRECTOR_KEYS_TARGET,
    evidence_target,
    manifest_target,
    policy_target,
)
from lamplighter_server.publishing.case import Case
from lamplighter_server.publishing.changes import changes
from lamplighter_server.publishing.draft import raw_metadata
from lamplighter_server.publishing.signers import sign
from lamplighter_server.trust.roles import (
    ROOT,
    TARGETS,
    Roles,
    check_key,
    custom,
    delegations,
    find_target,
    read_policy,
    read_role,
    read_root,
    read_targets,
    same_statement,
    speakers,
)
from lamplighter_server.trust.verify import Missing, check_content, follow, missing


@dataclass(frozen=True)
class Verdict:
    """What is true of a case, whatever the server says.

    Attributes:
        changes: In words, every difference to what this signer knows; to be shown before a
            passphrase is asked for.
        signers: By proposed role, the ids of the keys that may sign it.
        missing: Which signatures it still lacks.
        unseen: Whether a role that is to be signed rests on more than what these keys have signed.
    """

    changes: tuple[str, ...]
    signers: Mapping[str, frozenset[str]]
    missing: tuple[Missing, ...]
    unseen: bool


def judge(own: Roles, case: Case, held: Collection[str], *, now_utc: datetime) -> Verdict:
    """Verify a case against what this signer knows.

    Args:
        own: The metadata that this signer has verified last; empty on the first contact.
        case: The proposal.
        held: The ids of the signer's keys.
        now_utc: The present time.

    Raises:
        LamplighterError: TRUST_REFUSED if the case rests on another root, on older metadata, or
            names content that is not the enclosed one; SIGNATURE_INVALID if what it calls current
            is not signed; and what `verify.follow` and the decoders of the content raise.
    """
    _check_roots(own, case.roots)
    _check_current(own, case.current)
    roles = follow(case.current, case.proposed, now_utc=now_utc)
    _check_contents(case, roles)
    signers, keys = _signers(case, roles), _keys(case, roles)
    known = {
        role: raw
        for role, raw in own.items()
        if role not in signers
        or _vouched(read_role(role, raw), [keys[i] for i in signers[role] & set(held)])
    }
    return Verdict(
        changes=(
            *(
                line
                for role in _in_force(roles)
                for line in changes(role, known.get(role), roles[role])
            ),
            *_say_director(case, roles),
        ),
        signers=signers,
        missing=missing(case.current, roles),
        unseen=any(
            role not in known or not same_statement(role, known[role], raw)
            for role, raw in case.current.items()
            if role in signers
        ),
    )


def sign_case(case: Case, verdict: Verdict, signers: Collection[Signer]) -> Case:
    """The case with the signatures that these keys may give.

    Raises:
        LamplighterError: SIGNER_UNAVAILABLE.
    """
    signed = {}
    for role, raw in case.proposed.items():
        metadata = read_role(role, raw)
        for signer in signers:
            if signer.public_key.keyid in verdict.signers[role]:
                sign(metadata, signer)
        signed[role] = raw_metadata(metadata)
    return replace(case, proposed=signed)


def _check_roots(own: Roles, roots: tuple[bytes, ...]) -> None:
    """The chain leads from the signer's own root, or from the first one, to the newest."""
    previous = None
    for number, raw in enumerate(roots, start=1):
        metadata = read_root(raw)
        root = metadata.signed
        if root.version != number or not root.get_root_verification_result(
            previous, metadata.signed_bytes, metadata.signatures
        ):
            raise LamplighterError("SIGNATURE_INVALID", f"Root {number} is not signed as it must.")
        previous = root
    if ROOT in own:
        version = read_root(own[ROOT]).signed.version
        if len(roots) < version:
            raise _refused(f"The newest root is {len(roots)}, {version} is known here")
        if not same_statement(ROOT, own[ROOT], roots[version - 1]):
            raise _refused("The root is another one than the one that is known here")


def _check_current(own: Roles, current: Roles) -> None:
    """What is called current is signed, and not older than what the signer knows."""
    if current:
        if not current.keys() >= {ROOT, TARGETS}:
            raise LamplighterError("MESSAGE_MALFORMED", "The case lacks root or targets.")
        for role in delegations(read_targets(current[TARGETS]).signed).keys() - current.keys():
            raise LamplighterError("MESSAGE_MALFORMED", f"The case lacks {role}.")
        if lacking := missing({}, current):
            raise LamplighterError(
                "SIGNATURE_INVALID", f"What is in force is not signed: {lacking[0]}."
            )
    for role, raw in own.items():
        if role == ROOT:
            continue
        known = read_role(role, raw).signed
        if role not in current:
            continue  # not delegated any more: shown as a change of the targets
        found = read_role(role, current[role]).signed
        if found.version < known.version:
            raise _refused(f"{role} {found.version} is older than {known.version}, known here")
        if found.version == known.version and not same_statement(role, raw, current[role]):
            raise _refused(f"{role} {found.version} is another one than the one known here")
    if TARGETS in own and TARGETS not in current:
        raise _refused("The targets that are known here are missing")


def _check_contents(case: Case, roles: Roles) -> None:
    """Everything that a signature would newly name is here, and is what it is called."""
    former = {role: targets.targets for role, targets in speakers(case.current)}
    for role, targets in speakers(roles):
        if role not in case.proposed:
            continue
        for path, target in targets.targets.items():
            if former.get(role, {}).get(path) != target:
                _check_named(case, roles, path, target)


def _check_named(case: Case, roles: Roles, path: str, target: TargetFile) -> None:
    content = case.files.get(target.hashes.get("sha256", ""))
    model = custom(target).get("model")
    if content is None and model is not None and path == policy_target(model):
        content = encode(read_policy(model, target))
    if content is None:
        raise _refused(f"The content of {path} is not enclosed")
    check_content(target, path, content)
    if path == DIRECTOR_KEYS_TARGET:
        _check_epoch(case, content)
    elif path.endswith("/bundle.json"):
        manifest = decode_manifest(content)
        if path != manifest_target(manifest.model, manifest.release):
            raise _refused(f"{path} is of {manifest.model} release {manifest.release}")
        if find_target(roles, evidence_target(manifest.model, manifest.release)) is None:
            raise _refused(f"{path} comes without evidence")
        differing = sorted(
            name
            for name, blob in manifest.files.items()
            if blob.sha256 not in case.files or describe(case.files[blob.sha256]) != blob
        )
        if differing:
            raise _refused(f"Files are not what the manifest says of them: {differing}")


def _check_epoch(case: Case, content: bytes) -> None:
    keys = decode_director_keys(content)
    former = find_target(case.current, DIRECTOR_KEYS_TARGET)
    if former is None:
        return
    known = case.files.get(former.hashes.get("sha256", ""))
    if known is None:
        raise _refused("The former director keys are not enclosed")
    if keys.epoch != decode_director_keys(known).epoch + 1:
        raise _refused("New director keys take the next epoch")


def _say_director(case: Case, roles: Roles) -> list[str]:
    """Who would direct the fleet, which metadata name by digest only."""
    target = find_target(roles, DIRECTOR_KEYS_TARGET)
    if target is None or target == find_target(case.current, DIRECTOR_KEYS_TARGET):
        return []
    named = decode_director_keys(case.files[target.hashes["sha256"]])
    return [f"director: ! epoch {named.epoch}, signs with {', '.join(sorted(named.keys()))}"]


def _signers(case: Case, roles: Roles) -> dict[str, frozenset[str]]:
    """By proposed role, which keys may sign it; a new root is also signed by the former keys."""
    root, top = read_root(roles[ROOT]).signed, read_targets(roles[TARGETS]).signed
    before = read_root(case.current[ROOT]).signed if case.current else root
    holders = {
        ROOT: {*before.roles[ROOT].keyids, *root.roles[ROOT].keyids},
        TARGETS: set(root.roles[TARGETS].keyids),
        **{role: set(given.keyids) for role, given in delegations(top).items()},
    }
    return {role: frozenset(holders[role]) for role in case.proposed}


def _keys(case: Case, roles: Roles) -> dict[str, Key]:
    """Every key that holds an offline role before or after the step, by its own id."""
    found: dict[str, Key] = {}
    for known in filter(None, (case.current, roles)):
        given = read_targets(known[TARGETS]).signed.delegations
        for keys in (read_root(known[ROOT]).signed.keys, given.keys if given else {}):
            for key in keys.values():
                check_key(key)
            found |= keys
    return found


def _vouched(metadata: Metadata[Any], keys: Collection[Key]) -> bool:
    """Whether each of the keys that would sign has signed what is known of the role.

    Whoever can write into the signer's folder gets no statement signed unseen: metadata that a key
    has not signed itself are shown in full before it signs the next ones.
    """
    try:
        for key in keys:
            key.verify_signature(metadata.signatures[key.keyid], metadata.signed_bytes)
    except (KeyError, UnverifiedSignatureError):
        return False
    return True


def _in_force(roles: Roles) -> list[str]:
    """The roles that a client would believe."""
    if not roles:
        return []
    return [ROOT, *(role for role, _ in speakers(roles))]


def _refused(sentence: str) -> LamplighterError:
    return LamplighterError("TRUST_REFUSED", f"{sentence}.")
