"""A version of a dataset: an immutable manifest, and what is known of it beside that. Pure."""

import re
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec

from lamplighter_protocol.canonical import decode, encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Count, Name, Sha256, check_name
from lamplighter_server.data.declaration import Limits
from lamplighter_server.data.schema import Schema

FORMAT: Final = 1
MAX_MANIFEST_BYTES: Final = 256 * 1024 * 1024
MAX_REGISTER_BYTES: Final = 64 * 1024 * 1024
_REFERENCE: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,62})(?:@v([1-9][0-9]{0,8}))?")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file with consecutive rows."""

    sha256: Sha256
    size_bytes: Count
    rows: Count


class DatasetManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows are. Its digest is the dataset's: the same rows and schema, the same digest."""

    dataset_format: int = FORMAT
    columns: Schema
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def encoded(self) -> bytes:
        """Its canonical bytes."""
        return encode(self)

    @property
    def sha256(self) -> str:
        """The digest that lineage names."""
        return sha256(self.encoded)


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a version came from."""

    source: str
    """The path or DVC address, as it was given."""
    dvc_hash: str = ""
    """DVC's own hash of the path, such as `md5:...`."""
    git_commit: str = ""
    """The commit that DVC's revision stood for."""
    replaces: int = 0
    """The version that this one holds the rest of, after an erasure."""


Status = Literal["kept", "erased", "expired"]


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version in the register of a name."""

    number: int
    sha256: Sha256
    """Of the manifest."""
    profile_sha256: Sha256
    """Of the statistics."""
    rows: Count
    origin: Origin
    limits: Limits
    added_utc: datetime
    due_utc: datetime | None = None
    """From when on it may not be used any more."""
    status: Status = "kept"
    replaced_by: int = 0
    """The version that holds the rest of its rows, after an erasure."""

    def is_due(self, now_utc: datetime) -> bool:
        """Whether its retention period has ended."""
        return self.due_utc is not None and now_utc >= self.due_utc


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """Every version that a name has ever had, in their order."""

    name: Name
    versions: tuple[Version, ...] = ()

    @property
    def newest(self) -> Version | None:
        """The newest that is still kept."""
        return next((item for item in reversed(self.versions) if item.status == "kept"), None)

    def get(self, number: int | None) -> Version:
        """One version, or the newest that is kept.

        Raises:
            LamplighterError: NOT_FOUND, DATASET_ERASED or DATASET_EXPIRED.
        """
        found = self.newest if number is None else None
        for version in self.versions:
            if version.number == number:
                found = version
        if found is None:
            wanted = self.name if number is None else f"{self.name}@v{number}"
            raise LamplighterError("NOT_FOUND", f"There is no dataset {wanted}.")
        if found.status == "erased":
            rest = f"; {self.name}@v{found.replaced_by} holds the rest" if found.replaced_by else ""
            raise LamplighterError(
                "DATASET_ERASED", f"{self.name}@v{found.number} held an erased person{rest}."
            )
        if found.status == "expired":
            raise LamplighterError(
                "DATASET_EXPIRED", f"The rows of {self.name}@v{found.number} were deleted."
            )
        return found

    def before(self, number: int) -> Version | None:
        """The newest kept version below a number."""
        kept = (item for item in reversed(self.versions) if item.status == "kept")
        return next((item for item in kept if item.number < number), None)

    def find(self, digest: str) -> Version | None:
        """The kept version with this digest."""
        kept = (item for item in self.versions if item.status == "kept")
        return next((item for item in kept if item.sha256 == digest), None)

    def with_version(self, version: Version) -> "Register":
        """The same with one version added or changed."""
        others = [item for item in self.versions if item.number != version.number]
        ordered = sorted([*others, version], key=lambda item: item.number)
        return Register(name=self.name, versions=tuple(ordered))


class Reference(NamedTuple):
    """A dataset as people name it."""

    name: str
    version: int | None


def read_reference(text: str) -> Reference:
    """`name` or `name@v3` as its two parts.

    Raises:
        LamplighterError: NAME_INVALID.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        check_name(text.partition("@")[0], "dataset")
        raise LamplighterError("NAME_INVALID", f"{text!r} is not NAME or NAME@vNUMBER.")
    return Reference(found[1], int(found[2]) if found[2] else None)


def read_manifest(raw: bytes) -> DatasetManifest:
    """Read a manifest.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, or SCHEMA_NEWER.
    """
    found = decode(raw, DatasetManifest, what="The manifest", max_bytes=MAX_MANIFEST_BYTES)
    if found.dataset_format != FORMAT:
        raise LamplighterError("SCHEMA_NEWER", f"The dataset has format {found.dataset_format}.")
    return found


def read_register(raw: bytes) -> Register:
    """Read a register.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE or MESSAGE_MALFORMED.
    """
    return decode(raw, Register, what="The register", max_bytes=MAX_REGISTER_BYTES)
