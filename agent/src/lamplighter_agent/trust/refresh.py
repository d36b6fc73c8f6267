"""Collects what the broker says of trust, and has the child verify it when it is complete."""

import asyncio
import contextlib
import re
import sys
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from lamplighter_agent.durable import disk_errors
from lamplighter_agent.trust.policies import read_policies
from lamplighter_protocol.canonical import decode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_ENVELOPE_BYTES, MAX_TRUST_FILE_BYTES
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.trust import TrustIndex, TrustView

INDEX: Final = "index"
#: Of one published set; the inbox holds two, as a new one arrives file by file.
MAX_FILES: Final = 256
CHILD_TIMEOUT_S: Final = 60.0
_NAME: Final = re.compile(r"([0-9]{1,9}\.)?[a-z][a-z0-9-]{0,127}\.json")


@dataclass(frozen=True)
class TrustDirs:
    """Where trust keeps its things.

    Attributes:
        store: The verified set.
        inbox: What the broker delivered.
        root_file: The pinned root.
    """

    store: Path
    inbox: Path
    root_file: Path


class Trust:
    """The inbox and the newest verified view.

    The inbox need not be durable: the broker delivers it again, and nothing in it is believed.
    """

    def __init__(self, dirs: TrustDirs) -> None:
        self._dirs = dirs
        self.view: TrustView | None = None
        """The outcome of the newest successful refresh of this process."""
        self.policies = read_policies(dirs.store)
        """What offline keys last said of models; in force however old it is."""
        self.changed = asyncio.Event()
        """Set at each file that arrives, to be cleared by whoever refreshes."""
        self.refreshed = asyncio.Event()
        """Set when the next refresh has succeeded; then there is a new one."""
        self._lost: set[str] = set()
        """Files that came, but that the disk did not take; some may not be listed any more."""
        self._verified_index: str | None = None
        self._again = False
        self._refreshing = False
        dirs.inbox.mkdir(parents=True, exist_ok=True)
        self._digests = {
            path.name: sha256(path.read_bytes())
            for path in dirs.inbox.iterdir()
            if path.name == INDEX or _NAME.fullmatch(path.name)
        }

    def take(self, name: str, payload: bytes) -> None:
        """Store one file of the trust topics.

        Raises:
            LamplighterError: NAME_INVALID, MESSAGE_MALFORMED (the index), MESSAGE_TOO_LARGE or
                DISK_FULL or DISK_FAILED.
        """
        if name != INDEX and _NAME.fullmatch(name) is None:
            raise LamplighterError("NAME_INVALID", f"{name!r} is not a trust file.")
        if len(payload) > MAX_TRUST_FILE_BYTES:
            raise LamplighterError(
                "MESSAGE_TOO_LARGE",
                f"{name} has {len(payload)} bytes, the limit is {MAX_TRUST_FILE_BYTES}.",
            )
        if not payload:
            return  # a cleared topic: an old file that nobody needs any more
        if name == INDEX:
            _decode_index(payload)
        elif len(self._digests) >= 2 * MAX_FILES and name not in self._digests:
            raise LamplighterError("MESSAGE_TOO_LARGE", f"More than {2 * MAX_FILES} trust files.")
        place = self._dirs.inbox / name
        beside = place.with_name(name + "~")
        try:
            with disk_errors():
                beside.unlink(missing_ok=True)  # what stands there may be a link
                beside.write_bytes(payload)
                beside.replace(place)
        except LamplighterError:
            if len(self._lost) < MAX_FILES:
                self._lost.add(name)
            self.changed.set()
            raise
        self._digests[name] = sha256(payload)
        self._lost.discard(name)
        self.changed.set()

    def is_due(self) -> bool:
        """Whether an index is here in full that was not verified yet, or may be by now."""
        return (self._again or self._is_new()) and self._is_complete()

    @property
    def is_short(self) -> bool:
        """Whether a lost file is lacking: the broker is to send everything again."""
        return bool(self._lost) and (INDEX in self._lost or not self._is_complete())

    @property
    def is_behind(self) -> bool:
        """Whether newer metadata has come, or was lost, whose first verification has not ended."""
        return self._refreshing or self.is_short or self._is_new()

    @property
    def may_heal(self) -> bool:
        """Whether what went wrong may be over without a message: a clock is set, a disk emptied."""
        return self._again or self.is_short

    def _is_new(self) -> bool:
        return self._digests.get(INDEX) != self._verified_index

    def _is_complete(self) -> bool:
        return INDEX in self._digests and all(
            self._digests.get(file.name) == file.sha256 for file in self._index().files
        )

    def _index(self) -> TrustIndex:
        return _decode_index((self._dirs.inbox / INDEX).read_bytes())

    async def refresh(self) -> TrustView:
        """Verify the inbox in a child process; its outcome becomes `view`.

        Raises:
            LamplighterError: What the child says, and the view stays: TRUST_REFUSED or
                MESSAGE_TOO_LARGE; or TRUST_EXPIRED, TRUST_MISSING, DISK_FULL or DISK_FAILED, after
                which the same index is due again.
        """
        index, listed = self._digests.get(INDEX), {file.name for file in self._index().files}
        self._verified_index = index
        self._refreshing, self._again = True, False
        try:
            view = await self._ask_child()
        except LamplighterError as error:
            self._again = error.retryable
            raise
        finally:
            self._refreshing = False
        self.view = view
        self.policies = read_policies(self._dirs.store)
        self.refreshed.set()
        self.refreshed = asyncio.Event()
        if self._digests.get(INDEX) == index:
            self._sweep(listed | {INDEX})
        return view

    def _sweep(self, keep: AbstractSet[str]) -> None:
        for name in self._digests.keys() - keep:
            with contextlib.suppress(OSError):  # what stays is swept the next time
                (self._dirs.inbox / name).unlink(missing_ok=True)
                del self._digests[name]

    async def _ask_child(self) -> TrustView:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lamplighter_agent.trust.child"),
            *(str(self._dirs.store), str(self._dirs.inbox), str(self._dirs.root_file)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            out, _ = await asyncio.wait_for(child.communicate(), CHILD_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            raise LamplighterError("TRUST_MISSING", "Verification took too long.") from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        try:
            if child.returncode == 0:
                return msgspec.json.decode(out, type=TrustView)
            failure = msgspec.json.decode(out, type=Failure)
        except msgspec.MsgspecError as error:
            # Killed, perhaps for want of memory: that says nothing of the metadata.
            code = "TRUST_MISSING" if (child.returncode or 0) < 0 else "TRUST_REFUSED"
            raise LamplighterError(
                code, f"The verifying process ended with {child.returncode}."
            ) from error
        raise LamplighterError(failure.code, failure.sentence)


def _decode_index(raw: bytes) -> TrustIndex:
    index = decode(raw, TrustIndex, what="The trust index", max_bytes=MAX_ENVELOPE_BYTES)
    if len(index.files) > MAX_FILES:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"The index lists over {MAX_FILES} files.")
    return index
