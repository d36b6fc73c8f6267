"""What crosses the network: the server's word on what is in force, and steps that were signed."""

from dataclasses import dataclass
from typing import Any, Final

from securesystemslib.signer import Key

from lamplighter_protocol.assignment import DirectorKeys, decode_director_keys
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, evidence_target
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing.case import Case
from lamplighter_server.publishing.keys import read_key
from lamplighter_server.trust.online import OnlineRole
from lamplighter_server.trust.roles import (
    ROOT,
    TARGETS,
    delegations,
    find_target,
    read_root,
    read_targets,
    speakers,
)

_TRUST: Final = "/api/v1/trust"
_MAX_ROOTS: Final = 1024


@dataclass(frozen=True)
class ServerKeys:
    """The keys that a server says it signs with; each is at least what its id says."""

    snapshot: Key
    timestamp: Key
    director: DirectorKeys


def read_server_keys(api: Api) -> ServerKeys:
    """What a new server says about itself.

    Raises:
        LamplighterError: MESSAGE_MALFORMED, or TRUST_REFUSED if a key is not what its id says.
    """
    said = api.get(f"{_TRUST}/online-keys")
    return ServerKeys(
        snapshot=read_key(_field(said, "snapshot")),
        timestamp=read_key(_field(said, "timestamp")),
        director=_director(_field(said, "epoch"), _field(said, "director_public_pem")),
    )


def request_next_key(api: Api, role: OnlineRole) -> Key:
    """Have the server make the next snapshot or timestamp key.

    Raises:
        LamplighterError: As `read_server_keys`.
    """
    return read_key(_field(_next_key(api, role), "tuf_key"))


def request_next_director(api: Api, former: DirectorKeys) -> DirectorKeys:
    """Have the server make the director's next key, for the next epoch.

    Raises:
        LamplighterError: As `read_server_keys`.
    """
    public_pem = _field(_next_key(api, "director"), "public_pem")
    return _director(former.epoch + 1, [public_pem])


def fetch(api: Api, *retired: str) -> Case:
    """What the server says is in force, as a case that proposes nothing yet.

    Args:
        api: The server.
        retired: Roles that are wanted also if they are not delegated any more.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED or SERVER_UNREACHABLE.
    """
    newest = _find(api, "root.json")
    if newest is None:
        return Case(roots=(), current={}, proposed={})
    count = read_root(newest).signed.version
    if not 1 <= count <= _MAX_ROOTS:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"The server names root {count}.")
    roots = [_get(api, f"{number}.root.json") for number in range(1, count + 1)]
    current = {ROOT: roots[-1], TARGETS: _get(api, "targets.json")}
    for role in delegations(read_targets(current[TARGETS]).signed):
        current[role] = _get(api, f"{role}.json")
    for role in retired:
        if role not in current and (raw := _find(api, f"{role}.json")) is not None:
            current[role] = raw
    director_keys = _get(api, "director-keys.json")
    return Case(
        roots=tuple(roots),
        current=current,
        proposed={},
        files={sha256(director_keys): director_keys},
    )


def read_director(case: Case) -> DirectorKeys:
    """The director's keys in force.

    Raises:
        LamplighterError: TRUST_REFUSED if the server sent others than those that are signed.
    """
    target = find_target(case.current, DIRECTOR_KEYS_TARGET)
    raw = case.files.get(target.hashes.get("sha256", "")) if target else None
    if raw is None:
        raise LamplighterError(
            "TRUST_REFUSED", "The server sent other director keys than those that are signed."
        )
    return decode_director_keys(raw)


def submit(api: Api, case: Case) -> None:
    """Send a complete case. Files come first, so that nothing is ever half published.

    Raises:
        LamplighterError: What the server refuses with, or SERVER_UNREACHABLE.
    """
    texts = {role: raw.decode() for role, raw in case.proposed.items()}
    director = _changed_director(case)
    if not case.current:
        api.post(f"{_TRUST}/bootstrap", {**texts, "director_keys": director})
        return
    releases = _new_releases(case)
    for raw in dict.fromkeys(raw for release in releases for raw in release.blobs):
        api.put(f"/api/v1/blobs/{sha256(raw)}", raw)
    if not releases or len(texts) > 1:
        api.post(f"{_TRUST}/roles", {"roles": texts, "director_keys": director})
    for release in releases:
        api.post("/api/v1/releases", {**release.announcement, "targets": texts[release.role]})


@dataclass(frozen=True)
class _NewRelease:
    role: str
    announcement: dict[str, Any]
    blobs: tuple[bytes, ...]


def _new_releases(case: Case) -> list[_NewRelease]:
    former = {role: targets.targets for role, targets in speakers(case.current)}
    found = []
    for role, raw in case.proposed.items():
        if role == ROOT:
            continue
        named = read_targets(raw).signed.targets
        for path in named.keys() - former.get(role, {}).keys():
            if not path.endswith("/bundle.json"):
                continue
            manifest_raw = case.files[named[path].hashes["sha256"]]
            manifest = decode_manifest(manifest_raw)
            evidence = named[evidence_target(manifest.model, manifest.release)].hashes["sha256"]
            found.append(
                _NewRelease(
                    role=role,
                    announcement={
                        "model": manifest.model,
                        "release": manifest.release,
                        "manifest_sha256": sha256(manifest_raw),
                        "evidence_sha256": evidence,
                        "role": role,
                    },
                    blobs=(
                        *(case.files[blob.sha256] for blob in manifest.files.values()),
                        manifest_raw,
                        case.files[evidence],
                    ),
                )
            )
    return found


def _changed_director(case: Case) -> str | None:
    before = find_target(case.current, DIRECTOR_KEYS_TARGET)
    after = find_target({**case.current, **case.proposed}, DIRECTOR_KEYS_TARGET)
    if after is None or after == before:
        return None
    return case.files[after.hashes["sha256"]].decode()


def _director(epoch: Any, public_pem: Any) -> DirectorKeys:  # noqa: ANN401 - JSON
    return decode_director_keys(encode({"epoch": epoch, "public_pem": public_pem}))


def _next_key(api: Api, role: OnlineRole) -> Any:  # noqa: ANN401 - JSON
    return api.post(f"{_TRUST}/online-keys/{role}/next", {})


def _field(said: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(said, dict) or name not in said:
        raise LamplighterError("MESSAGE_MALFORMED", f"The server does not tell its {name}.")
    return said[name]


def _get(api: Api, name: str) -> bytes:
    return api.get_bytes(f"{_TRUST}/files/{name}")


def _find(api: Api, name: str) -> bytes | None:
    try:
        return _get(api, name)
    except LamplighterError as error:
        if error.code != "NOT_FOUND":
            raise
        return None
