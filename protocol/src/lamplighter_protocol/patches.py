"""Files as patches against other files, or just compressed: what a slow link carries instead.

A patch is a file of its own, named by its digest; what it makes is checked like anything that was
fetched, so a patch can be wrong, but not dangerous. Three forms, of which the smallest is offered:

- `zstd`: compressed, no other file is needed;
- `zstd-prefix`: compressed as if the base stood before it (`zstd -d --patch-from` reads it);
- `zstd-subtract`: the difference of each byte to the base's, compressed; for files of equal length,
  as retrained weights are.
"""

import sys
from collections.abc import Iterator
from typing import Final

import numpy as np

from lamplighter_protocol.assignment import PatchKind
from lamplighter_protocol.errors import LamplighterError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""Larger files travel whole: base and result stand in memory at once."""
LEVEL: Final = 19
_BLOCK_BYTES: Final = 1024 * 1024
_MAX_WINDOW_LOG: Final = 27  # base and result, of MAX_FILE_BYTES each
_LEAST_PREFIX_BYTES: Final = 8  # of zstd


def make(kind: PatchKind, new: bytes, base: bytes = b"") -> bytes:
    """Make a patch; the same files give the same bytes with the same version of zstd.

    Args:
        kind: Which form.
        new: What it shall make, of at most MAX_FILE_BYTES.
        base: What it starts from, of at most MAX_FILE_BYTES; empty for `zstd`.

    Raises:
        ValueError: The files do not suit this form.
    """
    if max(len(new), len(base)) > MAX_FILE_BYTES:
        raise ValueError("a file is too large for a patch")
    if kind == "zstd-subtract":
        if len(new) != len(base):
            raise ValueError("only files of equal length are subtracted")
        new = _subtract(new, base)
    parameter = zstd.CompressionParameter
    window_log = min(_MAX_WINDOW_LOG, max(10, (len(new) + len(base)).bit_length()))
    options: dict[int, int] = {
        parameter.compression_level: LEVEL,
        parameter.window_log: window_log,
        parameter.enable_long_distance_matching: 1,
        parameter.checksum_flag: 0,  # the digest of the result is signed
    }
    return zstd.compress(new, options=options, zstd_dict=_prefix(kind, base))


def apply(kind: PatchKind, patch: bytes, base: bytes, size_bytes: int) -> Iterator[bytes]:
    """What a patch makes, in blocks; no more than `size_bytes` is ever unpacked.

    Args:
        kind: Which form it has.
        patch: From anywhere.
        base: What it starts from; empty for `zstd`.
        size_bytes: The signed length of the result, of at most MAX_FILE_BYTES.

    Raises:
        LamplighterError: PATCH_REFUSED; whatever came before is worth nothing.
    """
    if max(size_bytes, len(base)) > MAX_FILE_BYTES:
        raise LamplighterError("PATCH_REFUSED", f"{size_bytes} bytes are too many for a patch.")
    if kind == "zstd-subtract" and len(base) != size_bytes:
        raise LamplighterError("PATCH_REFUSED", "The base has another length than the file.")
    done = 0
    for block in _unpack(kind, patch, base, size_bytes):
        if kind == "zstd-subtract":
            yield _add(block, base[done : done + len(block)])
        else:
            yield block
        done += len(block)
    if done != size_bytes:
        raise LamplighterError("PATCH_REFUSED", f"It makes {done} of {size_bytes} bytes.")


def _unpack(kind: PatchKind, patch: bytes, base: bytes, size_bytes: int) -> Iterator[bytes]:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
    decompressor = zstd.ZstdDecompressor(zstd_dict=_prefix(kind, base), options=options)
    left, fed = size_bytes, patch
    try:
        while not decompressor.eof:
            block = decompressor.decompress(fed, max_length=min(_BLOCK_BYTES, left + 1))
            fed = b""
            if len(block) > left:
                raise LamplighterError("PATCH_REFUSED", f"It makes more than {size_bytes} bytes.")
            if not block and not decompressor.eof and decompressor.needs_input:
                raise LamplighterError("PATCH_REFUSED", "It ends too early.")
            left -= len(block)
            yield block
    except zstd.ZstdError as error:
        raise LamplighterError("PATCH_REFUSED", f"It cannot be unpacked: {error}.") from error
    if decompressor.unused_data:
        raise LamplighterError("PATCH_REFUSED", "Something follows its end.")


def _prefix(kind: PatchKind, base: bytes) -> tuple[zstd.ZstdDict, int] | None:
    if kind != "zstd-prefix" or len(base) < _LEAST_PREFIX_BYTES:
        return None
    return zstd.ZstdDict(base, is_raw=True).as_prefix


def _subtract(new: bytes, base: bytes) -> bytes:
    return (np.frombuffer(new, np.uint8) - np.frombuffer(base, np.uint8)).tobytes()


def _add(difference: bytes, base: bytes) -> bytes:
    return (np.frombuffer(difference, np.uint8) + np.frombuffer(base, np.uint8)).tobytes()
