"""`lamplighter-agent tuf`: the same client over HTTP, for the public conformance tests.

The protocol is CLIENT-CLI.md of theupdateframework/tuf-conformance. The metadata folder is a
Store; beside its `current`, links show the roles under the names that the tests read.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from tuf.api.metadata import TargetFile

from lamplighter_agent.durable import replace
from lamplighter_agent.trust.client import Client
from lamplighter_agent.trust.http import HttpFetch
from lamplighter_agent.trust.store import Store
from lamplighter_agent.trust.verdict import refusals
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_BLOB_BYTES


def init(metadata_dir: Path, root: Path) -> None:
    """Begin with a trusted root; the first refresh verifies it."""
    _save(metadata_dir, {"root.json": root.read_bytes()})


def refresh(metadata_dir: Path, metadata_url: str) -> None:
    """Update the four top-level roles.

    Raises:
        LamplighterError: What Client.refresh raises, or TRUST_MISSING before `init`.
    """
    with _client(metadata_dir, metadata_url):
        pass


def download(
    metadata_dir: Path, metadata_url: str, names: Sequence[str], target_url: str, target_dir: Path
) -> None:
    """Update, then bring targets; a file that is there already is not fetched again.

    Raises:
        LamplighterError: As `refresh`; NOT_FOUND for a target that nobody signed.
    """
    with _client(metadata_dir, metadata_url) as client:
        fetch = HttpFetch(target_url)
        for name in names:
            target = client.find(name).target
            if target is None:
                raise LamplighterError("NOT_FOUND", f"No role has signed {name!r}.")
            place = target_dir / quote(name, safe="")
            if not _is_here(target, place):
                replace(place, client.fetch_target(fetch, target, MAX_BLOB_BYTES))


@contextlib.contextmanager
def _client(metadata_dir: Path, metadata_url: str) -> Iterator[Client]:
    """A refreshed client; what it has verified is kept however its use ends."""
    files = Store(metadata_dir).load()
    if "root.json" not in files:
        raise LamplighterError("TRUST_MISSING", f"{metadata_dir} holds no trusted root.")
    client = Client(files, HttpFetch(metadata_url), datetime.now(timezone.utc))
    try:
        client.refresh()
        yield client
    finally:
        _save(metadata_dir, client.files)


def _is_here(target: TargetFile, place: Path) -> bool:
    try:
        with refusals(target.path):
            target.verify_length_and_hashes(place.read_bytes())
    except (FileNotFoundError, LamplighterError):
        return False
    return True


def _save(metadata_dir: Path, files: Mapping[str, bytes]) -> None:
    store = Store(metadata_dir)
    store.save(files)
    for link in metadata_dir.glob("*.json"):
        link.unlink()
    for name in filter(lambda name: name.endswith(".json"), files):
        (metadata_dir / name).symlink_to(store.current.relative_to(metadata_dir) / name)
