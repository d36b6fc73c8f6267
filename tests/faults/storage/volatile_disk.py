"""A disk with a volatile cache, as one file of a FUSE file system: the medium of power cuts.

What is written stays in memory until a flush. A cut keeps each unflushed sector with even odds and
forgets the rest; after it the disk answers nothing but errors. A loop device on the file makes it a
block device for a real file system. Only the few requests that a loop device makes are served, over
the kernel's own protocol (linux/fuse.h), so that no library and no network block device is needed.

Run as `python -m tests.faults.storage.volatile_disk MOUNT_POINT IMAGE SEED`; SIGUSR1 cuts.
"""

import ctypes
import errno
import os
import random
import signal
import struct
import sys
from pathlib import Path
from typing import Final

SECTOR_BYTES: Final = 512
_MAX_WRITE_BYTES: Final = 128 * 1024
_REGULAR_FILE: Final = 0o100600
#: fuse_in_header: length, opcode, unique, node, uid, gid, pid, padding.
_HEADER: Final = struct.Struct("<IIQQIIII")
#: fuse_out_header: length, error, unique.
_REPLY: Final = struct.Struct("<IiQ")
#: fuse_read_in and fuse_write_in: handle, offset, size, flags, lock owner, flags, padding.
_TRANSFER: Final = struct.Struct("<QQIIQII")
#: fuse_init_out: version, readahead, flags, background, congestion, max_write, granularity, rest.
_INIT_OUT: Final = struct.Struct("<IIIIHHII32x")
#: fuse_attr_out: validity, inode, size, blocks, times, mode, links, owners, device, block size.
_ATTRIBUTES: Final = struct.Struct("<QII6Q10I")
_GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _FSYNC, _INIT = 3, 4, 14, 15, 16, 20, 26
_DONE: Final = frozenset({18, 25, 38})  # release, flush (a close, no sync), destroy
_UNANSWERED: Final = frozenset({2, 36})  # forget, interrupt


class VolatileDisk:
    """The sectors: on the medium, or only in the cache.

    Args:
        medium: Descriptor of the image.
        seed: Decides which unflushed sectors outlive the cut.
    """

    def __init__(self, medium: int, seed: int) -> None:
        self._medium = medium
        self._random = random.Random(seed)
        self._cache: dict[int, bytes] = {}
        self._is_cut = False
        self.size_bytes = os.fstat(medium).st_size

    def read(self, at: int, size_bytes: int) -> bytes:
        self._check()
        raw = bytearray(os.pread(self._medium, size_bytes, at))
        for start in range(0, len(raw), SECTOR_BYTES):
            cached = self._cache.get((at + start) // SECTOR_BYTES)
            if cached is not None:
                raw[start : start + SECTOR_BYTES] = cached
        return bytes(raw)

    def write(self, at: int, raw: bytes) -> None:
        self._check()
        for start in range(0, len(raw), SECTOR_BYTES):
            self._cache[(at + start) // SECTOR_BYTES] = raw[start : start + SECTOR_BYTES]

    def flush(self) -> None:
        self._check()
        for sector, raw in self._cache.items():
            os.pwrite(self._medium, raw, sector * SECTOR_BYTES)
        self._cache.clear()

    def cut(self) -> None:
        """The power fails: half of what was not flushed reaches the medium, and nothing more."""
        kept = [sector for sector in sorted(self._cache) if self._random.random() < 0.5]
        self._cache = {sector: self._cache[sector] for sector in kept}
        self.flush()
        self._is_cut = True

    def _check(self) -> None:
        if self._is_cut:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def answer(disk: VolatileDisk, code: int, body: bytes) -> bytes:
    """One request of the kernel.

    Raises:
        OSError: What the kernel is told.
    """
    if code == _INIT:
        major, minor, readahead, _ = struct.unpack_from("<IIII", body)
        return _INIT_OUT.pack(major, min(minor, 31), readahead, 0, 8, 6, _MAX_WRITE_BYTES, 1)
    if code in {_GETATTR, _SETATTR}:
        sizes = (1, disk.size_bytes, disk.size_bytes // SECTOR_BYTES)
        rest = (_REGULAR_FILE, 1, 0, 0, 0, SECTOR_BYTES, 0)
        return _ATTRIBUTES.pack(3600, 0, 0, *sizes, *(0,) * 6, *rest)
    if code == _OPEN:
        return bytes(16)
    if code == _READ:
        _, at, size_bytes, *_ = _TRANSFER.unpack_from(body)
        return disk.read(at, size_bytes)
    if code == _WRITE:
        _, at, size_bytes, *_ = _TRANSFER.unpack_from(body)
        disk.write(at, body[_TRANSFER.size : _TRANSFER.size + size_bytes])
        return struct.pack("<II", size_bytes, 0)
    if code == _FSYNC:
        disk.flush()
    elif code not in _DONE:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return b""


def serve(kernel: int, disk: VolatileDisk) -> None:
    """Answer until the file is unmounted."""
    while True:
        try:
            request = os.read(kernel, _MAX_WRITE_BYTES + 8192)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            raise
        _, code, unique, *_ = _HEADER.unpack_from(request)
        if code in _UNANSWERED:
            continue
        try:
            status, body = 0, answer(disk, code, request[_HEADER.size :])
        except OSError as error:
            status, body = -(error.errno or errno.EIO), b""
        os.write(kernel, _REPLY.pack(_REPLY.size + len(body), status, unique) + body)


def main(mount_point: str, image: str, seed: str) -> None:
    """Mount the file and serve it."""
    kernel = os.open("/dev/fuse", os.O_RDWR)
    disk = VolatileDisk(os.open(image, os.O_RDWR), int(seed))
    signal.signal(signal.SIGUSR1, lambda *_: disk.cut())
    Path(mount_point).touch()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={kernel},rootmode={_REGULAR_FILE:o},user_id=0,group_id=0"
    if libc.mount(b"volatile", mount_point.encode(), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "the file cannot be mounted")
    serve(kernel, disk)


if __name__ == "__main__":
    main(*sys.argv[1:])
