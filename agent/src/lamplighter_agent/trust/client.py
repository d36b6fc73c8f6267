"""The client workflow of the TUF specification (1.0.34, section 5) over bytes and a fetch port.

It begins with the files that were verified before and ends with those that are verified now; the
caller stores them, also after a refusal: what was verified until then counts.
"""

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TypeVar
from urllib.parse import quote

from tuf.api.metadata import MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

from lamplighter_agent.trust.fetch import Fetch
from lamplighter_agent.trust.floor import FLOOR, read_floor
from lamplighter_agent.trust.lookup import Found, Search
from lamplighter_agent.trust.verdict import (
    Delegator,
    check_unexpired,
    named_targets,
    next_root,
    next_snapshot,
    next_timestamp,
    read_signed,
    refusals,
    revokes_online_keys,
    trusted_root,
)
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES
from lamplighter_protocol.trust import TOP_LEVEL

MAX_ROOT_ROTATIONS: Final = 256
MAX_DELEGATIONS: Final = 256
MAX_TIMESTAMP_BYTES: Final = 16 * 1024
TOP_LEVEL_FILES: Final = frozenset(f"{role}.json" for role in TOP_LEVEL)
#: Every root on the way from the pinned one is kept, so that others can follow: `2.root`.
ROOT_SUFFIX: Final = ".root"
#: What a thief of online keys can have moved forward; it goes with those keys.
_OF_ONLINE_KEYS: Final = ("timestamp.json", "snapshot.json", FLOOR)
_MAX_NAME_BYTES: Final = 255
_T = TypeVar("_T", Timestamp, Snapshot, Targets)


def role_file(role: str) -> str:
    """Where a role stands in the verified set: always `*.json`, never a path.

    Raises:
        LamplighterError: TRUST_REFUSED if no file can have such a name.
    """
    name = f"{quote(role, safe='')}.json"
    if len(name) > _MAX_NAME_BYTES:
        raise LamplighterError("TRUST_REFUSED", f"The name of the role {role[:32]!r} is too long.")
    return name


class Client:
    """One update cycle.

    Args:
        files: What was verified before, by name; at least `root.json`.
        fetch: Brings metadata.
        clock_utc: The board's clock at the start of this cycle (5.1).

    Attributes:
        files: What is verified now, by name: the bytes as they came.
        root: The newest root; there after `refresh`, as are the others.
        timestamp: The newest timestamp.
        snapshot: The snapshot that it names.
        targets: The top-level targets.
    """

    root: Root
    timestamp: Timestamp
    snapshot: Snapshot
    targets: Targets

    def __init__(self, files: Mapping[str, bytes], fetch: Fetch, clock_utc: datetime) -> None:
        self.files = dict(files)
        self._fetch = fetch
        self._clock_utc = clock_utc
        self._loaded: dict[tuple[str, int], Targets | LamplighterError] = {}

    def refresh(self) -> None:
        """Bring the four top-level roles up to date.

        Raises:
            LamplighterError: TRUST_REFUSED, TRUST_EXPIRED, TRUST_MISSING, MESSAGE_TOO_LARGE or
                FETCH_STALLED.
        """
        self._refresh_root()
        self._refresh_timestamp()
        self._refresh_snapshot()
        self.targets = self.load("targets", self.root)
        self._search = Search(self.targets, self.load)

    @property
    def now_utc(self) -> datetime:
        """The time against which expiry is judged: the clock, but never before the floor."""
        return max(self._clock_utc, read_floor(self.files))

    @property
    def expires_utc(self) -> dict[str, datetime]:
        """The expiry of each role in use."""
        used: dict[str, Signed] = {
            role: loaded
            for (role, _), loaded in self._loaded.items()
            if not isinstance(loaded, LamplighterError)
        }
        used |= {signed.type: signed for signed in (self.root, self.timestamp, self.snapshot)}
        return {role: signed.expires for role, signed in used.items()}

    def find(self, path: str) -> Found:
        """Look a target up (5.6.7).

        Raises:
            LamplighterError: As `refresh`, of a delegated role that had to be asked.
        """
        return self._search.find(path)

    def fetch_target(self, fetch: Fetch, target: TargetFile, max_bytes: int) -> bytes:
        """The bytes of a target (5.7).

        Args:
            fetch: Brings targets.
            target: What the signed metadata says.
            max_bytes: Refuse a longer target.

        Raises:
            LamplighterError: TRUST_REFUSED if they are not the signed ones, TRUST_MISSING,
                MESSAGE_TOO_LARGE or FETCH_STALLED.
        """
        consistent = self.root.consistent_snapshot
        name = target.get_prefixed_paths()[0] if consistent else target.path
        raw = _require(fetch, name, min(target.length, max_bytes))
        with refusals(target.path):
            target.verify_length_and_hashes(raw)
        return raw

    def load(self, role: str, delegator: Delegator) -> Targets:
        """The targets of a role, verified against this very delegator.

        Raises:
            LamplighterError: As `refresh`.
        """
        key = (role, id(delegator))  # every delegator lives as long as the client
        if key not in self._loaded:
            if len(self._loaded) >= MAX_DELEGATIONS:
                raise LamplighterError("TRUST_REFUSED", f"More than {MAX_DELEGATIONS} delegations.")
            try:
                self._loaded[key] = self._load(role, delegator)
            except LamplighterError as error:
                self._loaded[key] = error
        loaded = self._loaded[key]
        if isinstance(loaded, LamplighterError):
            raise loaded
        return loaded

    def _refresh_root(self) -> None:
        self.root = trusted_root(self.files["root.json"])
        for _ in range(MAX_ROOT_ROTATIONS):
            raw = self._fetch(f"{self.root.version + 1}.root.json", MAX_TRUST_FILE_BYTES)
            if raw is None:
                break
            root = next_root(self.root, raw)
            if revokes_online_keys(self.root, root):
                for name in _OF_ONLINE_KEYS:
                    self.files.pop(name, None)
            self.root, self.files["root.json"] = root, raw
            self.files[f"{root.version}{ROOT_SUFFIX}"] = raw
        check_unexpired("root", self.root, self.now_utc)

    def _refresh_timestamp(self) -> None:
        trusted = self._read_kept(Timestamp, "timestamp")
        raw = _require(self._fetch, "timestamp.json", MAX_TIMESTAMP_BYTES)
        self.timestamp = next_timestamp(raw, self.root, trusted)
        check_unexpired("timestamp", self.timestamp, self.now_utc)
        if self.timestamp is not trusted:
            self.files["timestamp.json"] = raw

    def _refresh_snapshot(self) -> None:
        named = self.timestamp.snapshot_meta
        trusted = self._read_kept(Snapshot, "snapshot")
        raw, self.snapshot = self._kept_or_named(
            "snapshot", named, lambda raw: next_snapshot(raw, self.root, named, trusted)
        )
        check_unexpired("snapshot", self.snapshot, self.now_utc)
        self.files["snapshot.json"] = raw
        listed = {quote(name, safe="") for name in self.snapshot.meta} | TOP_LEVEL_FILES
        self.files = {
            name: raw
            for name, raw in self.files.items()
            if name in listed or not name.endswith(".json")
        }

    def _load(self, role: str, delegator: Delegator) -> Targets:
        named = self.snapshot.meta.get(f"{role}.json")
        if named is None:
            raise LamplighterError("TRUST_REFUSED", f"The signed snapshot does not name {role}.")
        raw, targets = self._kept_or_named(
            role, named, lambda raw: named_targets(raw, role, delegator, named)
        )
        check_unexpired(role, targets, self.now_utc)
        self.files[role_file(role)] = raw
        return targets

    def _read_kept(self, kind: type[_T], role: str) -> _T | None:
        """What was verified before, whatever its expiry; None if damaged or its keys are gone."""
        with contextlib.suppress(LamplighterError):
            return read_signed(kind, self.files.get(role_file(role), b""), self.root, role)
        return None

    def _kept_or_named(
        self, role: str, named: MetaFile, accept: Callable[[bytes], _T]
    ) -> tuple[bytes, _T]:
        """The kept file where it is the one that is named now, else the fetched one."""
        kept = self.files.get(role_file(role))
        if kept is not None:
            with contextlib.suppress(LamplighterError):
                return kept, accept(kept)
        version = f"{named.version}." if self.root.consistent_snapshot else ""
        max_bytes = min(named.length or MAX_TRUST_FILE_BYTES, MAX_TRUST_FILE_BYTES)
        raw = _require(self._fetch, version + role_file(role), max_bytes)
        return raw, accept(raw)


def _require(fetch: Fetch, name: str, max_bytes: int) -> bytes:
    raw = fetch(name, max_bytes)
    if raw is None:
        raise LamplighterError("TRUST_MISSING", f"{name} is not here.")
    return raw
