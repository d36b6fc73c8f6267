"""Calls of a PKCS#11 module. It runs in a process of its own: see child."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from lamplighter_agent.keys.uri import TokenUri
from lamplighter_protocol.errors import LamplighterError

if TYPE_CHECKING:
    import pkcs11

_MAX_PIN_BYTES: Final = 256
_MISSING: Final = frozenset(
    {
        "DeviceRemoved",
        "MultipleTokensReturned",
        "NoSuchToken",
        "SlotIDInvalid",
        "TokenNotPresent",
        "TokenNotRecognised",
    }
)
_PIN: Final = frozenset(
    {
        "PinExpired",
        "PinIncorrect",
        "PinInvalid",
        "PinLenRange",
        "PinLocked",
        "UserPinNotInitialized",
    }
)


def provide(uri: TokenUri) -> ec.EllipticCurvePublicKey:
    """The public part of the key, which is made on the token if there is none.

    Raises:
        LamplighterError: TOKEN_KEY_UNFIT, or as `sign`.
    """
    with _session(uri, writes=True) as session:
        import pkcs11

        try:
            private = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=uri.key)
        except pkcs11.NoSuchKey:
            return _read_public(_generate(session, uri.key))
        except pkcs11.MultipleObjectsReturned as error:
            raise _unfit(uri, "there are several") from error
        _check_kept(uri, private)
        try:
            public = session.get_key(pkcs11.ObjectClass.PUBLIC_KEY, label=uri.key)
        except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as error:
            raise _unfit(uri, "its public part is not beside it, once") from error
        try:
            return _read_public(public)
        except (ValueError, TypeError) as error:
            raise _unfit(uri, "it is not on P-256") from error


def sign(uri: TokenUri, digest: bytes) -> bytes:
    """Sign a SHA-256 digest.

    Returns:
        The ECDSA signature in DER.

    Raises:
        LamplighterError: TOKEN_SUPPORT_MISSING, TOKEN_MODULE_FAILED, TOKEN_PIN_UNREADABLE,
            TOKEN_PIN_WRONG, TOKEN_MISSING, TOKEN_KEY_LOST or TOKEN_FAILED.
    """
    with _session(uri) as session:
        import pkcs11

        try:
            private = session.get_key(
                pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.KeyType.EC, label=uri.key
            )
        except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as error:
            raise LamplighterError(
                "TOKEN_KEY_LOST", f"Token {uri.token!r} has no P-256 key {uri.key!r}, or several."
            ) from error
        # Hashed by us: few tokens hash as well.
        raw = bytes(private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))  # type: ignore[attr-defined]
    half = len(raw) // 2
    return utils.encode_dss_signature(
        int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
    )


def read_pin(path: Path) -> str:
    """The PIN: one line in a file that only its owner may read.

    Raises:
        LamplighterError: TOKEN_PIN_UNREADABLE.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pin = file.read(_MAX_PIN_BYTES + 1).rstrip(b"\r\n").decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LamplighterError(
            "TOKEN_PIN_UNREADABLE", f"{path} cannot be read: {error}."
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise LamplighterError(
            "TOKEN_PIN_UNREADABLE", f"{path} is open to others (mode {stat.S_IMODE(mode):o})."
        )
    if not pin or len(pin) > _MAX_PIN_BYTES or not pin.isprintable():
        raise LamplighterError("TOKEN_PIN_UNREADABLE", f"{path} does not hold one line.")
    return pin


@contextmanager
def _session(uri: TokenUri, *, writes: bool = False) -> "Iterator[pkcs11.Session]":
    """Log in; whatever the module refuses becomes an expected error."""
    try:
        import pkcs11
    except ImportError as error:
        raise LamplighterError(
            "TOKEN_SUPPORT_MISSING", f"Keys on tokens cannot be used here: {error}."
        ) from error
    pin = read_pin(Path(uri.pin_file))
    try:
        library = pkcs11.lib(str(uri.module))
    except pkcs11.PKCS11Error as error:
        raise LamplighterError(
            "TOKEN_MODULE_FAILED", f"{uri.module} cannot be loaded: {_said(error)}."
        ) from error
    wanted = {"token_serial": uri.serial.encode()} if uri.serial is not None else {}
    try:
        try:
            token = library.get_token(token_label=uri.token, **wanted)
            with token.open(user_pin=pin, rw=writes) as session:
                yield session
        finally:
            library.finalize()  # a TPM without a resource manager keeps what is left open
    except pkcs11.PKCS11Error as error:
        raise _refusal(uri, error) from error


def _refusal(uri: TokenUri, error: Exception) -> LamplighterError:
    kind = type(error).__name__
    if kind in _MISSING:
        return LamplighterError(
            "TOKEN_MISSING", f"{uri.module} shows no token {uri.token!r}, or several ({kind})."
        )
    if kind in _PIN:
        return LamplighterError(
            "TOKEN_PIN_WRONG", f"Token {uri.token!r} refuses the PIN in {uri.pin_file} ({kind})."
        )
    return LamplighterError("TOKEN_FAILED", f"Token {uri.token!r} fails: {_said(error)}.")


def _generate(session: "pkcs11.Session", label: str) -> "pkcs11.PublicKey":
    import pkcs11
    from pkcs11.constants import DEFAULT
    from pkcs11.util.ec import encode_named_curve_parameters

    curve = session.create_domain_parameters(
        pkcs11.KeyType.EC,
        {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
        local=True,
    )
    # Encryption is not mentioned: a TPM has one bit for it and for signatures, and tpm2-pkcs11
    # refuses a key that shall have one without the other.
    public, _ = curve.generate_keypair(
        store=True,
        label=label,
        capabilities=pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
        public_template={pkcs11.Attribute.ENCRYPT: DEFAULT},
        private_template={
            pkcs11.Attribute.DECRYPT: DEFAULT,
            pkcs11.Attribute.EXTRACTABLE: False,
            pkcs11.Attribute.SENSITIVE: True,
        },
    )
    return public


def _check_kept(uri: TokenUri, private: "pkcs11.Key") -> None:
    """Refuse a key that is of another kind, or that could be taken out."""
    from pkcs11 import Attribute, KeyType

    if private[Attribute.KEY_TYPE] is not KeyType.EC or not private[Attribute.SIGN]:
        raise _unfit(uri, "it is of another kind, or may not sign")
    if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
        raise _unfit(uri, "it can be taken out of the token")


def _read_public(public: "pkcs11.Key") -> ec.EllipticCurvePublicKey:
    from pkcs11.util.ec import encode_ec_public_key

    key = serialization.load_der_public_key(encode_ec_public_key(public))  # type: ignore[arg-type]
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not on P-256")  # noqa: TRY004 - foreign data
    return key


def _unfit(uri: TokenUri, why: str) -> LamplighterError:
    return LamplighterError(
        "TOKEN_KEY_UNFIT", f"The key {uri.key!r} on token {uri.token!r} does not serve: {why}."
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
