"""What a decoder is, and whose keys were stolen."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from lamplighter_agent.store.identity import new_key
from lamplighter_protocol import dsse

CORPUS: Final = Path(__file__).parents[2] / "corpus" / "0.1.0"
NOW_UTC: Final = datetime(2026, 11, 23, tzinfo=timezone.utc)
DEVICE, FLEET = "pi-1", "main"


@dataclass(frozen=True)
class Decoder:
    """One way in.

    Attributes:
        read: Called with hostile bytes; a LamplighterError is the only thing it may raise.
        seeds: What it usually reads.
        expected: What else its documented contract lets it raise.
    """

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    expected: tuple[type[Exception], ...] = field(default=())


def seed(name: str) -> bytes:
    return (CORPUS / name).read_bytes()


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def in_file(read: Callable[[Path], object], name: str = "file") -> Callable[[bytes], object]:
    """A reader of a path, given a file with the bytes in a folder of its own."""

    def read_bytes(raw: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(raw)
            return read(path)

    return read_bytes


THIEF: Final = dsse.SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes(b"d" * 32))
STOLEN: Final = ed25519.Ed25519PrivateKey.from_private_bytes(b"d" * 32).public_key()
DEVICE_KEY: Final = new_key()
