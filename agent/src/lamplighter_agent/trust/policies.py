"""The policies of models, remembered in the verified set: they outlive metadata and its expiry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from lamplighter_protocol.names import Name
from lamplighter_protocol.trust import ModelPolicy

POLICIES: Final = "policies"


def encode_policies(policies: Mapping[Name, ModelPolicy]) -> bytes:
    """What the verified set keeps."""
    return msgspec.json.encode(dict(sorted(policies.items())))


def decode_policies(raw: bytes) -> dict[Name, ModelPolicy]:
    """What it kept; nothing where the storage is damaged."""
    try:
        return msgspec.json.decode(raw, type=dict[Name, ModelPolicy])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def read_policies(store: Path) -> dict[Name, ModelPolicy]:
    """The policies as they were last verified; none if nothing ever was."""
    try:
        return decode_policies((store / "current" / POLICIES).read_bytes())
    except FileNotFoundError:
        return {}
