"""What verified metadata says of models: which releases are signed, and under which policy."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
from tuf.api.metadata import TargetFile, Targets

from lamplighter_agent.trust.client import Client
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import (
    NAME_PATTERN,
    Name,
    Release,
    manifest_target,
    policy_target,
)
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.trust import ModelPolicy, SignedTarget

_MANIFEST: Final = re.compile(r"models/([^/]+)/[^/]+/bundle\.json")
_OF_MODEL: Final = re.compile(r"models/([^/*?\[]+)/.*")


class _Custom(msgspec.Struct):
    model: Name
    release: Release


@dataclass
class Models:
    """The outcome; the fields are those of a TrustView."""

    targets: dict[str, SignedTarget] = field(default_factory=dict)
    policies: dict[Name, ModelPolicy] = field(default_factory=dict)
    refused: dict[Name, Failure] = field(default_factory=dict)


def read_models(client: Client) -> Models:
    """Load every delegated role and look every path of every model up.

    A role that cannot be used refuses the models whose lookup needs it, and no others.

    Args:
        client: After its refresh.
    """
    paths: set[str] = set()
    names: set[str] = set()
    for targets in _reachable(client):
        paths.update(filter(_MANIFEST.fullmatch, targets.targets))
        names.update(_models_in(targets))
    models = Models()
    for name in sorted(names):
        with _refusing(models, name):
            if (policy := client.find(policy_target(name)).target) is not None:
                models.policies[name] = _read_policy(name, policy)
    for path in sorted(paths):
        with _refusing(models, path.split("/")[1]):
            found = client.find(path)
            if found.target is not None and (signed := _read_manifest(found.target, found.roles)):
                models.targets[path] = signed
    return models


@contextlib.contextmanager
def _refusing(models: Models, name: str) -> Iterator[None]:
    try:
        yield
    except LamplighterError as error:
        models.refused[name] = Failure(code=error.code, sentence=error.sentence)


def _reachable(client: Client) -> Iterator[Targets]:
    """The top-level targets and every delegated role that can be used."""
    to_visit, seen = [client.targets], {"targets"}
    while to_visit:
        targets = to_visit.pop()
        yield targets
        # Hash bins are not for models: what only they name is never looked up.
        for role in (targets.delegations and targets.delegations.roles) or {}:
            try:
                delegated = client.load(role, targets)
            except LamplighterError:
                continue  # each lookup that needs it will meet this again
            if role not in seen:
                seen.add(role)
                to_visit.append(delegated)


def _models_in(targets: Targets) -> Iterator[str]:
    delegations = targets.delegations
    delegated = delegations.roles.values() if delegations and delegations.roles else ()
    patterns = [pattern for role in delegated for pattern in role.paths or ()]
    for path in (*targets.targets, *patterns):
        match = _OF_MODEL.fullmatch(path)
        if match is not None and re.fullmatch(NAME_PATTERN, match[1]):
            yield match[1]


def _read_policy(model: str, target: TargetFile) -> ModelPolicy:
    try:
        policy = msgspec.convert(target.custom, ModelPolicy)
        if policy.model != model:
            raise ValueError(f"it is of {policy.model}")
    except ValueError as error:
        raise LamplighterError("TRUST_REFUSED", f"{target.path} is not clear: {error}.") from error
    return policy


def _read_manifest(target: TargetFile, roles: tuple[str, ...]) -> SignedTarget | None:
    """None if it is not ours to run: an assignment that names it is refused."""
    try:
        custom = msgspec.convert(target.custom, _Custom)
        signed = SignedTarget(sha256=target.hashes["sha256"], size_bytes=target.length, roles=roles)
    except (msgspec.ValidationError, KeyError):
        return None
    return signed if target.path == manifest_target(custom.model, custom.release) else None
