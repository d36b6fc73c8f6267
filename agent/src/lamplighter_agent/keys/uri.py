"""Which key on which token: what is needed of RFC 7512 to name one private key. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

from lamplighter_protocol.errors import LamplighterError

_SCHEME: Final = "pkcs11:"
_KNOWN: Final = frozenset({"token", "serial", "object", "module-path", "pin-source"})
_REQUIRED: Final = ("token", "object", "module-path", "pin-source")
MAX_URI_CHARACTERS: Final = 2048


@dataclass(frozen=True)
class TokenUri:
    """Where a key is.

    Attributes:
        token: The token's label.
        serial: The token's serial number, where several have one label.
        key: The label of the key pair.
        module: The PKCS#11 library, absolute.
        pin_file: What holds the PIN, absolute.
    """

    token: str
    serial: str | None
    key: str
    module: PurePosixPath
    pin_file: PurePosixPath


def parse_uri(text: str) -> TokenUri:
    """Read `pkcs11:token=T;object=O?module-path=/M.so&pin-source=file:/P`.

    What is not understood is refused: it may be what tells two keys apart.

    Raises:
        LamplighterError: KEY_URI_INVALID.
    """
    if not text.startswith(_SCHEME) or len(text) > MAX_URI_CHARACTERS:
        raise _invalid(f"It does not begin with {_SCHEME}, or is too long")
    path, _, query = text.removeprefix(_SCHEME).partition("?")
    given: dict[str, str] = {}
    for part in (*path.split(";"), *(query.split("&") if query else ())):
        name, _, raw = part.partition("=")
        if name == "pin-value":
            raise _invalid("A PIN never stands in it; name a file with pin-source")
        if name not in _KNOWN or name in given:
            raise _invalid(f"{name!r} is unknown or given twice")
        given[name] = _decode(name, raw)
    for name in _REQUIRED:
        if name not in given:
            raise _invalid(f"{name} is missing")
    return TokenUri(
        token=given["token"],
        serial=given.get("serial"),
        key=given["object"],
        module=_absolute(given, "module-path"),
        pin_file=_absolute(given, "pin-source", "file:"),
    )


def _decode(name: str, raw: str) -> str:
    try:
        value = unquote(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise _invalid(f"{name} is not UTF-8") from error
    if not value or not value.isprintable():
        raise _invalid(f"{name} is empty or has control characters")
    return value


def _absolute(given: Mapping[str, str], name: str, prefix: str = "") -> PurePosixPath:
    value = given[name]
    path = PurePosixPath(value.removeprefix(prefix).removeprefix("//" if prefix else ""))
    if not value.startswith(prefix) or not path.is_absolute():
        raise _invalid(f"{name} must be {prefix}/ABSOLUTE/PATH")
    return path


def _invalid(why: str) -> LamplighterError:
    return LamplighterError("KEY_URI_INVALID", f"The key's URI cannot be used: {why}.")
