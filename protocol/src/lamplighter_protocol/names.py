"""Identifiers and limits that every part checks in the same way."""

import re
from typing import Annotated, Final

import msgspec

from lamplighter_protocol.errors import LamplighterError

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
SHA256_PATTERN: Final = r"^[0-9a-f]{64}$"

# msgspec searches with Python's `re`, whose `$` lets a line feed follow.
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN.replace("$", r"\Z"))]
Sha256 = Annotated[str, msgspec.Meta(pattern=SHA256_PATTERN.replace("$", r"\Z"))]
Release = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

CHUNK_SIZE_BYTES: Final = 64 * 1024
MAX_MANIFEST_BYTES: Final = 8 * 1024 * 1024
MAX_ENVELOPE_BYTES: Final = 256 * 1024
MAX_TELEMETRY_BYTES: Final = 128 * 1024
MAX_TRUST_FILE_BYTES: Final = 5_000_000
MAX_BLOB_BYTES: Final = 2 * 1024**3


def check_name(value: str, what: str) -> str:
    """Return `value` if it is a valid device, model, fleet or label name.

    Raises:
        LamplighterError: NAME_INVALID.
    """
    if re.fullmatch(NAME_PATTERN, value) is None:
        raise LamplighterError("NAME_INVALID", f"{value!r} is not a valid {what} name.")
    return value


def manifest_target(model: str, release: int) -> str:
    """The TUF target path of a release's signed manifest."""
    return f"models/{model}/{release}/bundle.json"


def evidence_target(model: str, release: int) -> str:
    """The TUF target path of what was measured on a release."""
    return f"models/{model}/{release}/evidence.json"


def policy_target(model: str) -> str:
    """The TUF target path of what offline keys say of a whole model."""
    return f"models/{model}/policy.json"


DIRECTOR_KEYS_TARGET: Final = "director/keys.json"
