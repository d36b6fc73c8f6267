"""People in the data: their key, and who was erased and must not come back."""

from pathlib import Path
from typing import Final

import msgspec

from lamplighter_protocol.canonical import decode, encode
from lamplighter_protocol.names import Sha256
from lamplighter_server.data.keyed import SubjectKey, load_or_create
from lamplighter_server.files import write_durably

_FILE: Final = "subjects.json"
_MAX_BYTES: Final = 256 * 1024 * 1024


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    key_id: str | None = None
    erased: tuple[Sha256, ...] = ()


class Subjects:
    """What a dataset store knows of people: nothing but keyed hashes of those who were erased.

    Args:
        folder: The dataset store's.
        key_file: Where the key lies, outside of it.
    """

    def __init__(self, folder: Path, key_file: Path) -> None:
        self._path = folder / _FILE
        self._key_file = key_file

    def key(self) -> SubjectKey:
        """The key; made when it is needed first, and from then on the only one.

        Raises:
            LamplighterError: SUBJECT_KEY_MISSING.
        """
        kept = self._kept
        key = load_or_create(self._key_file, expected_id=kept.key_id)
        if kept.key_id is None:
            self._write(msgspec.structs.replace(kept, key_id=key.id))
        return key

    @property
    def erased(self) -> frozenset[str]:
        """The keyed hashes of people who were erased."""
        return frozenset(self._kept.erased)

    def forget(self, hashed: str) -> None:
        """Never take this person in again."""
        kept = self._kept
        self._write(msgspec.structs.replace(kept, erased=tuple(sorted({*kept.erased, hashed}))))

    @property
    def _kept(self) -> _Kept:
        if not self._path.exists():
            return _Kept()
        return decode(self._path.read_bytes(), _Kept, what=_FILE, max_bytes=_MAX_BYTES)

    def _write(self, kept: _Kept) -> None:
        write_durably(self._path, encode(kept))
