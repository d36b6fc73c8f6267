"""What stands behind the fleet's trust at present, as the server publishes it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata

from lamplighter_server.cli.api import Api
from lamplighter_server.publishing.exchange import fetch
from lamplighter_server.publishing.keys import KeyRing
from lamplighter_server.trust.roles import ROOT, TARGETS, delegations, read_root, read_targets


def describe_roles(api: Api, folder: Path) -> dict[str, dict[str, Any]]:
    """Each role with its version, expiry, threshold and keys; empty before the first root.

    Returns:
        By role `version`, `expires_utc` (RFC 3339), `days_left`, `threshold`, `keyids`, and in
        `here` those of the keys that lie in the folder.

    Raises:
        LamplighterError: MESSAGE_MALFORMED or SERVER_UNREACHABLE.
    """
    current, now_utc = fetch(api).current, datetime.now(UTC)
    if not current:
        return {}
    root, top = read_root(current[ROOT]).signed, read_targets(current[TARGETS]).signed
    documents = dict(current)
    for online in ("snapshot", "timestamp"):
        documents[online] = api.get_bytes(f"/api/v1/trust/files/{online}.json")
    holders = {**root.roles, **delegations(top)}
    held = KeyRing(folder).keyids
    found = {}
    for role, raw in documents.items():
        signed, holder = Metadata[Any].from_bytes(raw).signed, holders[role]
        found[role] = {
            "version": signed.version,
            "expires_utc": signed.expires.isoformat().replace("+00:00", "Z"),
            "days_left": (signed.expires - now_utc).days,
            "threshold": holder.threshold,
            "keyids": holder.keyids,
            "here": [keyid for keyid in holder.keyids if keyid in held],
        }
    return found
