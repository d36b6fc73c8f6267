"""One refresh of a device: what the broker delivered, judged, stored, and seen as a TrustView."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from tuf.api.metadata import TargetFile

from lamplighter_agent.trust.client import Client
from lamplighter_agent.trust.fetch import Fetch, InboxFetch
from lamplighter_agent.trust.floor import FLOOR, raise_floor, read_floor
from lamplighter_agent.trust.models import read_models
from lamplighter_agent.trust.policies import POLICIES, decode_policies, encode_policies
from lamplighter_agent.trust.store import Store
from lamplighter_agent.trust.verdict import check_unexpired, refusals, trusted_root
from lamplighter_protocol.assignment import (
    DIRECTOR_KEYS_MAX_BYTES,
    DirectorKeys,
    decode_director_keys,
)
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, Name
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.trust import ModelPolicy, TrustView

# What stands in the verified set beside the roles; only roles end with `.json`.
_PINNED: Final = "pinned-root"
_DIRECTOR_KEYS: Final = "director-keys"
_DIRECTOR_KEYS_FILE: Final = "director-keys.json"


def refresh(folder: Path, inbox: Path, root: bytes, *, clock_utc: datetime) -> TrustView:
    """Verify what is in the inbox against the pinned root and what was verified before.

    Args:
        folder: Where the verified set is; made if it is missing.
        inbox: The folder with `N.root.json`, `timestamp.json`, `N.snapshot.json`,
            `N.targets.json`, those of delegated roles, and `director-keys.json`.
        root: The root that the invitation pinned.
        clock_utc: The board's clock; expiry is checked against the later of it and the floor.

    Raises:
        LamplighterError: TRUST_EXPIRED, TRUST_REFUSED (also on a rollback), MESSAGE_TOO_LARGE,
            TRUST_MISSING if a file has not arrived, or DISK_FULL. What was verified until then
            is kept, so that it can never be rolled back.
    """
    store, fetch = Store(folder), InboxFetch(inbox)
    files = _begin(store.load(), root)
    client = Client(files, fetch, clock_utc)
    try:
        client.refresh()
        view = _view(client, fetch, clock_utc)
    finally:
        store.save(client.files)
    return view


def _begin(files: Mapping[str, bytes], root: bytes) -> dict[str, bytes]:
    """The set to begin with: a new one where another root was pinned, the kept one else."""
    if files.get(_PINNED) != root:
        return {_PINNED: root, "root.json": root}
    try:
        trusted_root(files["root.json"])
    except (KeyError, LamplighterError):  # the storage is damaged: climb from the pinned root
        return {**files, "root.json": root}
    return dict(files)


def _view(client: Client, fetch: Fetch, clock_utc: datetime) -> TrustView:
    offline_until_utc = min(client.root.expires, client.targets.expires)
    issued = client.timestamp.unrecognized_fields.get("issued_utc")
    floor_utc = raise_floor(read_floor(client.files), issued, offline_until_utc)
    for signed in (client.root, client.timestamp, client.snapshot, client.targets):
        check_unexpired(signed.type, signed, max(clock_utc, floor_utc))
    director, raw = _director(client, fetch)
    models = read_models(client)
    client.files |= {
        FLOOR: msgspec.json.encode(floor_utc),
        _DIRECTOR_KEYS: raw,
        POLICIES: encode_policies(
            {**_still_in_force(client.files, models.refused), **models.policies}
        ),
    }
    return TrustView(
        root_version=client.root.version,
        timestamp_version=client.timestamp.version,
        targets_version=client.targets.version,
        issued_floor_utc=floor_utc,
        director=director,
        targets=models.targets,
        expires_utc=client.expires_utc,
        policies=models.policies,
        refused=models.refused,
    )


def _still_in_force(
    files: Mapping[str, bytes], refused: Mapping[Name, Failure]
) -> dict[Name, ModelPolicy]:
    """What was said before of models of which nothing can be known now."""
    before = decode_policies(files.get(POLICIES, b""))
    return {model: policy for model, policy in before.items() if model in refused}


def _director(client: Client, fetch: Fetch) -> tuple[DirectorKeys, bytes]:
    """The director's keys: a target that only the top-level targets role can name."""
    signed = client.targets.targets.get(DIRECTOR_KEYS_TARGET)
    if signed is None:
        raise LamplighterError("TRUST_REFUSED", f"No offline key signed {DIRECTOR_KEYS_TARGET}.")
    kept = client.files.get(_DIRECTOR_KEYS)
    if kept is None or not _is_signed(signed, kept):
        kept = fetch(_DIRECTOR_KEYS_FILE, DIRECTOR_KEYS_MAX_BYTES)
    if kept is None or not _is_signed(signed, kept):
        raise LamplighterError(
            "TRUST_REFUSED", f"{_DIRECTOR_KEYS_FILE} is missing or not what the offline key signed."
        )
    return decode_director_keys(kept), kept


def _is_signed(signed: TargetFile, raw: bytes) -> bool:
    try:
        with refusals(signed.path):
            signed.verify_length_and_hashes(raw)
    except LamplighterError:
        return False
    return True
