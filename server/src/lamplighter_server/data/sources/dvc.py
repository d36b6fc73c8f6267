"""A DVC-tracked path at a Git revision, read with DVC's own library.

`dvc://data/readings.csv@v1.2` lies in the repository around that path;
`dvc://https://example.org/team/data.git#data/readings.csv@v1.2` in another one.
See https://dvc.org/doc/api-reference/dvcfilesystem.
"""

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.declaration import SUFFIX

SCHEME: Final = "dvc://"


class Address(NamedTuple):
    """What an address names."""

    repository: str
    """A folder or URL; empty if it is yet to be found around `path`."""
    path: str
    """Inside the repository, or where that is yet to be found, as it was given."""
    revision: str


class Fetched(NamedTuple):
    """A copy of what DVC tracks."""

    path: Path
    dvc_hash: str
    """Such as `md5:99401d...`; of a folder it ends in `.dir`."""
    git_commit: str


def read_address(text: str) -> Address:
    """An address as its parts. Pure.

    Raises:
        LamplighterError: SOURCE_UNREADABLE if it names no path or no revision.
    """
    rest, _, revision = text.removeprefix(SCHEME).rpartition("@")
    repository, hash_sign, path = rest.rpartition("#")
    if not path or not revision or (hash_sign and not repository):
        raise LamplighterError(
            "SOURCE_UNREADABLE", f"{text!r} is not of the form dvc://PATH@REVISION."
        )
    return Address(repository, path, revision)


def fetch(address: Address, folder: Path) -> Fetched:
    """Copy what the address names, and the YAML file beside it, into a folder.

    Raises:
        LamplighterError: EXTRA_MISSING, or SOURCE_UNREADABLE with what DVC says.
    """
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")  # nothing here phones home
    try:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException
    except ImportError as error:
        raise LamplighterError(
            "EXTRA_MISSING", "Reading dvc:// needs 'lamplighter-server[dvc]'."
        ) from error
    repository, path = _locate(address)
    target = folder / Path(path).name
    try:
        files: Any = DVCFileSystem(repository, rev=address.revision)
        tracked = files.info(path).get("dvc_info") or {}
        digest = tracked.get("md5")
        if not digest:
            raise LamplighterError("SOURCE_UNREADABLE", f"{path} is not tracked by DVC.")
        files.get(path, str(target), recursive=files.isdir(path))
        if files.exists(path + SUFFIX):
            files.get(path + SUFFIX, str(target) + SUFFIX)
        return Fetched(target, f"md5:{digest}", files.repo.get_rev())
    except (DvcException, OSError) as error:
        raise LamplighterError(
            "SOURCE_UNREADABLE", f"{repository} at {address.revision}: {error}."
        ) from error


def _locate(address: Address) -> tuple[str, str]:
    """The repository and the path inside it."""
    if address.repository:
        return address.repository, address.path
    path = Path(address.path).expanduser().absolute()
    for folder in path.parents:
        if (folder / ".dvc").is_dir():
            return str(folder), path.relative_to(folder).as_posix()
    raise LamplighterError("SOURCE_UNREADABLE", f"There is no DVC repository around {path}.")
