"""The process that applies a patch: `... patch_child KIND PATCH BASE OUT SIZE_BYTES`.

It ends after one file: it holds base and result in memory and reads what came over the network.
What it writes is believed by nobody: each chunk is checked afterwards. It prints nothing, or a
Failure as JSON; the exit status is 0 or 1.
"""

import sys
from pathlib import Path
from typing import get_args

import msgspec

from lamplighter_agent.store.patcher import NO_BASE
from lamplighter_protocol.assignment import PatchKind
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.patches import apply
from lamplighter_protocol.reported import Failure


def main(kind: str, patch: str, base: str, out: str, size_bytes: str) -> int:
    """Apply one patch."""
    try:
        if kind not in get_args(PatchKind):
            raise LamplighterError("PATCH_REFUSED", f"{kind!r} is no form of patch.")
        start = b"" if base == NO_BASE else Path(base).read_bytes()
        with Path(out).open("r+b") as file:
            made = apply(kind, Path(patch).read_bytes(), start, int(size_bytes))  # type: ignore[arg-type]
            file.writelines(made)
    except (LamplighterError, OSError, MemoryError) as error:
        sentence = error.sentence if isinstance(error, LamplighterError) else repr(error)
        sys.stdout.buffer.write(
            msgspec.json.encode(Failure(code="PATCH_REFUSED", sentence=sentence))
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
