"""A case: one proposal with all that is needed to judge and sign it, also without a network.

As a file it is an uncompressed ZIP archive whose entries are named by us. It is never unpacked:
a name that is not ours, a second entry of a name, a compressed or oversized one is refused.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_BLOB_BYTES, MAX_TRUST_FILE_BYTES
from lamplighter_server.files import new_file
from lamplighter_server.publishing.draft import raw_metadata
from lamplighter_server.trust.roles import ROOT, Roles, read_role, same_statement

MAX_CASE_BYTES: Final = 4 * 1024**3
MAX_ENTRIES: Final = 4096
_ENTRY: Final = re.compile(
    r"(roots)/([1-9][0-9]{0,5})\.json"
    r"|(current|proposed)/((?:root|targets|model-[a-z0-9][a-z0-9-]{0,62}))\.json"
    r"|(files)/([0-9a-f]{64})"
)
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Case:
    """What is in force and what is proposed, as some server says; a signer believes none of it.

    Attributes:
        roots: Every root from the first one to the newest; empty before bootstrap.
        current: The roles in force.
        proposed: The next version of some of them, with the signatures so far.
        files: The content behind the proposed targets, by digest.
    """

    roots: tuple[bytes, ...]
    current: Roles
    proposed: Roles
    files: Mapping[str, bytes] = field(default_factory=dict)

    def with_signatures_of(self, other: "Case") -> "Case":
        """The same case with the signatures of a copy that somebody else has signed.

        Raises:
            LamplighterError: CONFLICT if the other one proposes something else.
        """
        if not self.proposes_the_same_as(other):
            raise LamplighterError("CONFLICT", "The two cases propose different changes.")
        merged = {}
        for role, raw in self.proposed.items():
            metadata = read_role(role, raw)
            theirs = read_role(role, other.proposed[role]).signatures
            metadata.signatures = {**theirs, **metadata.signatures}
            merged[role] = raw_metadata(metadata)
        return replace(self, proposed=merged)

    def proposes_the_same_as(self, other: "Case") -> bool:
        """Whether both propose the same, whoever has signed."""
        return self.proposed.keys() == other.proposed.keys() and all(
            same_statement(role, raw, other.proposed[role]) for role, raw in self.proposed.items()
        )


def write_case(path: Path, case: Case) -> None:
    """Write a case durably, as one file."""
    with new_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _entries(case):
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), content)


def read_case(path: Path) -> Case:
    """Read a case from a file that somebody else may have made.

    Raises:
        LamplighterError: NOT_FOUND, MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, NAME_INVALID if an entry
            is not ours, or TRUST_REFUSED if a file inside is not what its name says.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size > MAX_CASE_BYTES:
                raise _too_large(path.name, MAX_CASE_BYTES)
            return _read(file)
    except OSError as error:
        raise LamplighterError("NOT_FOUND", f"{path}: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"{path.name} is no case: {error}.") from error


def _entries(case: Case) -> Iterator[tuple[str, bytes]]:
    for number, raw in enumerate(case.roots, start=1):
        yield f"roots/{number}.json", raw
    for role, raw in sorted(case.current.items()):
        if role != ROOT:
            yield f"current/{role}.json", raw
    for role, raw in sorted(case.proposed.items()):
        yield f"proposed/{role}.json", raw
    for digest, content in sorted(case.files.items()):
        yield f"files/{digest}", content


def _read(file: IO[bytes]) -> Case:
    found: dict[str, dict[str, bytes]] = {"roots": {}, "current": {}, "proposed": {}, "files": {}}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise _too_large(f"A case of {len(entries)} entries", MAX_ENTRIES)
        for entry in entries:
            matched = _ENTRY.fullmatch(entry.filename)
            if matched is None:
                raise LamplighterError(
                    "NAME_INVALID", f"A case may not hold {entry.filename[:100]!r}."
                )
            kind, name = (part for part in matched.groups() if part is not None)
            _check_size(entry, MAX_BLOB_BYTES if kind == "files" else MAX_TRUST_FILE_BYTES)
            content = archive.read(entry)
            if name in found[kind]:
                raise LamplighterError("MESSAGE_MALFORMED", f"{entry.filename} is there twice.")
            if kind == "files" and sha256(content) != name:
                raise LamplighterError("TRUST_REFUSED", f"{entry.filename} has another digest.")
            found[kind][name] = content
    numbers = sorted(map(int, found["roots"]))
    if numbers != list(range(1, len(numbers) + 1)):
        raise LamplighterError("MESSAGE_MALFORMED", "The case lacks a root on the way.")
    roots = tuple(found["roots"][str(number)] for number in numbers)
    current = {**found["current"], ROOT: roots[-1]} if roots else found["current"]
    return Case(roots=roots, current=current, proposed=found["proposed"], files=found["files"])


def _check_size(entry: zipfile.ZipInfo, limit: int) -> None:
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise LamplighterError("MESSAGE_MALFORMED", f"{entry.filename} is compressed.")
    if entry.file_size > limit:
        raise _too_large(entry.filename, limit)


def _too_large(what: str, limit: int) -> LamplighterError:
    return LamplighterError("MESSAGE_TOO_LARGE", f"{what} is over the limit of {limit}.")
