"""Keyed hashes of what identifies a person. The key never lies in the dataset store."""

import hashlib
import hmac
import secrets
import unicodedata
from pathlib import Path
from typing import Final

import pyarrow as pa

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.files import write_durably

KEY_BYTES: Final = 32
_KEY_ID: Final = b"lamplighter subject key id"


class SubjectKey:
    """HMAC-SHA-256 of a value as it is written.

    One value has one hash in all columns and datasets of a store, so that a person is found in all
    of them; without the key nobody can try out names or numbers.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @property
    def id(self) -> str:
        """Tells keys apart without telling the key."""
        return hmac.digest(self._secret, _KEY_ID, hashlib.sha256).hex()[:16]

    def hash(self, value: str) -> str:
        """The keyed hash of one value, 64 hexadecimal digits.

        White space around it does not count, nor does how Unicode composes its letters.
        """
        text = unicodedata.normalize("NFC", value.strip())
        return hmac.digest(self._secret, b"\0" + text.encode(), hashlib.sha256).hex()

    def hash_cells(self, cells: pa.Array) -> pa.Array:
        """The keyed hash of each cell; an empty one stays empty."""
        encoded = cells.cast(pa.string()).dictionary_encode()
        hashed = pa.array([self.hash(text) for text in encoded.dictionary.to_pylist()], pa.string())
        return hashed.take(encoded.indices)


def load_or_create(path: Path, *, expected_id: str | None) -> SubjectKey:
    """The key in a file; a new one if nothing was ever hashed.

    Args:
        path: Outside the dataset store.
        expected_id: The id of the key that the store was hashed with; None if none was.

    Raises:
        LamplighterError: SUBJECT_KEY_MISSING if it is not there any more, or another one.
    """
    try:
        secret = path.read_bytes()
    except FileNotFoundError as error:
        if expected_id is not None:
            raise LamplighterError("SUBJECT_KEY_MISSING", f"{path} is gone.") from error
        secret = secrets.token_bytes(KEY_BYTES)
        write_durably(path, secret)
    key = SubjectKey(secret)
    if len(secret) != KEY_BYTES or expected_id not in {None, key.id}:
        raise LamplighterError(
            "SUBJECT_KEY_MISSING", f"{path} is not the key that the store was hashed with."
        )
    return key
