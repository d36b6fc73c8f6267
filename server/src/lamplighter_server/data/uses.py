"""What was made from a dataset: runs on this machine, releases and devices of a server."""

import os
from pathlib import Path
from typing import Final, Protocol

import msgspec

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.data.governance import Rewritten

RUNS_FILE: Final = "runs.jsonl"


class RunIndex(Protocol):
    """Knows which runs a dataset went into."""

    def uses(self, dataset_sha256: str) -> tuple[str, ...]:
        """The ids of the runs, the oldest first."""


class _Use(msgspec.Struct, frozen=True, kw_only=True):
    run: str
    dataset_sha256: str


class RunFile:
    """The index of this machine's runs: one line for each use."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RUNS_FILE

    def record(self, run: str, dataset_sha256: str) -> None:
        """Note durably, before it trains, that a run uses a dataset."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.open("ab") as file:
            # A line feed first ends a line that a power cut tore.
            use = msgspec.json.encode(_Use(run=run, dataset_sha256=dataset_sha256))
            file.write(b"\n" + use + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def uses(self, dataset_sha256: str) -> tuple[str, ...]:
        """The ids of the runs, the oldest first; a torn line was never acknowledged."""
        found: dict[str, None] = {}
        if self._path.exists():
            for raw in self._path.read_bytes().splitlines():
                try:
                    use = msgspec.json.decode(raw, type=_Use)
                except msgspec.MsgspecError:
                    continue
                if use.dataset_sha256 == dataset_sha256:
                    found[use.run] = None
        return tuple(found)


class Uses(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known to have been made from one dataset."""

    runs: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    """As MODEL@RELEASE."""
    devices: tuple[str, ...] = ()
    """As DEVICE (MODEL@RELEASE): those that run it, or are to run it."""
    server_problem: str = ""
    """Why no server told of releases and devices; empty if one did."""


def find_uses(runs: RunIndex, api: Api, dataset_sha256: str) -> Uses:
    """Ask the machine's run index, and the server; if that does not help, the answer says so."""
    known = runs.uses(dataset_sha256)
    try:
        answer = api.get(f"/api/v1/datasets/{dataset_sha256}/uses")
    except LamplighterError as error:
        return Uses(runs=known, server_problem=f"{error.code}: {error.sentence}")
    return Uses(
        runs=known,
        releases=tuple(f"{item['model']}@{item['release']}" for item in answer["releases"]),
        devices=tuple(
            f"{item['device']} ({item['model']}@{item['release']})" for item in answer["devices"]
        ),
    )


def record_erasure(api: Api, erased: Rewritten) -> str:
    """Have the server's audit log tell of an erasure; why it does not, empty if it does."""
    body = {"rows_removed": erased.rows_removed, "replaced_by_sha256": erased.new_sha256 or None}
    try:
        api.post(f"/api/v1/datasets/{erased.sha256}/erasures", body)
    except LamplighterError as error:
        return f"{error.code}: {error.sentence}"
    return ""
