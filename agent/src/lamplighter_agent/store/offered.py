"""The keys that a board offers while nobody has let it in; they outlive a restart."""

import logging
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lamplighter_agent.durable import replace
from lamplighter_agent.store.identity import new_key

_END = b"-----END PRIVATE KEY-----\n"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offered:
    """What becomes the identity's keys if somebody lets the board in."""

    key: ec.EllipticCurvePrivateKey
    agreement: X25519PrivateKey


def make() -> Offered:
    """New keys, not stored."""
    return Offered(new_key(), X25519PrivateKey.generate())


def load_or_make(path: Path) -> Offered:
    """The keys offered before, or new ones, stored durably and readable by their owner only.

    Raises:
        LamplighterError: DISK_FULL.
    """
    if path.exists():
        try:
            return _load(path.read_bytes())
        except (ValueError, UnsupportedAlgorithm):
            _log.warning("%s is damaged; the board asks with new keys", path)
    keys = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, _pem(keys.key) + _pem(keys.agreement), 0o600)
    return keys


def _load(raw: bytes) -> Offered:
    first, end, second = raw.partition(_END)
    key = serialization.load_pem_private_key(first + end, password=None)
    agreement = serialization.load_pem_private_key(second, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
        agreement, X25519PrivateKey
    ):
        raise ValueError("keys of other kinds")  # noqa: TRY004 - damaged data
    return Offered(key, agreement)


def _pem(key: ec.EllipticCurvePrivateKey | X25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
