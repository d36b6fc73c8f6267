"""Applies a patch in a process of its own (patch_child), which the supervisor outlives."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec

from lamplighter_protocol.assignment import PatchKind
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure

TIMEOUT_S: Final = 120.0
CHILD: Final = "lamplighter_agent.store.patch_child"
NO_BASE: Final = "-"


async def patch(
    kind: PatchKind, patch: Path, base: Path | None, out: Path, size_bytes: int
) -> None:
    """Write to `out` what a patch makes, as far as it makes anything.

    Raises:
        LamplighterError: PATCH_REFUSED.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", CHILD, kind, str(patch), str(base or NO_BASE), str(out)),
        str(size_bytes),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await asyncio.wait_for(child.communicate(), TIMEOUT_S)
    except asyncio.TimeoutError as error:
        raise LamplighterError(
            "PATCH_REFUSED", f"Applying it took more than {TIMEOUT_S:.0f} s."
        ) from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise LamplighterError("PATCH_REFUSED", _sentence(said, child.returncode))


def _sentence(said: bytes, status: int | None) -> str:
    try:
        return msgspec.json.decode(said, type=Failure).sentence
    except msgspec.MsgspecError:
        return f"The process that applies it ended with {status}."
