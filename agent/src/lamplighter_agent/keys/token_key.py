"""A key on a token behind the port dsse.Signer."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter_agent.keys.child import Answer, Ask
from lamplighter_agent.keys.uri import parse_uri
from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError

_CHILD: Final = (sys.executable, "-m", "lamplighter_agent.keys.child")
_TIMEOUT_S: Final = 20.0


class TokenKey:
    """Implements dsse.Signer. The token is opened for each signature only: it may come and go.

    Args:
        uri: Where the key is (RFC 7512).
        public: Its public part; a signature that does not fit it is not given away.

    Raises:
        LamplighterError: KEY_URI_INVALID, or TOKEN_KEY_UNFIT if it is not an elliptic curve's.
    """

    def __init__(self, uri: str, public: dsse.PublicKey) -> None:
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise LamplighterError("TOKEN_KEY_UNFIT", "A key on a token must be on P-256.")
        self.uri = uri
        self.public = public
        self.key_id = dsse.key_id(public)
        self._pin_file = Path(parse_uri(uri).pin_file)
        self._refused: tuple[object, LamplighterError] | None = None
        self._one_at_a_time = threading.Lock()

    @classmethod
    def provide(cls, uri: str) -> "TokenKey":
        """Use the key, or make it on the token. Blocks.

        Raises:
            LamplighterError: KEY_URI_INVALID, or as keys.module.provide.
        """
        return cls(uri, dsse.load_public(_ask(Ask(uri=uri, digest=None)).public_pem))

    def sign(self, message: bytes) -> bytes:
        """See dsse.Signer. A PIN that was refused is not tried again: tokens lock themselves.

        Raises:
            LamplighterError: TOKEN_KEY_LOST if another key has taken the place of this one, or as
                keys.module.sign.
        """
        ask = Ask(uri=self.uri, digest=hashlib.sha256(message).digest())
        with self._one_at_a_time:
            stamp = self._stamp()
            if self._refused is not None and self._refused[0] == stamp:
                raise self._refused[1]
            try:
                signature = _ask(ask).signature
            except LamplighterError as error:
                self._refused = (stamp, error) if error.code == "TOKEN_PIN_WRONG" else None
                raise
        try:
            self.public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise LamplighterError(
                "TOKEN_KEY_LOST", "The token holds another key under the enrolled one's name."
            ) from error
        return signature

    def _stamp(self) -> object:
        """Changes with the file of the PIN."""
        try:
            status = self._pin_file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


def _ask(ask: Ask) -> Answer:
    try:
        child = subprocess.run(
            _CHILD,
            input=msgspec.json.encode(ask),
            stdout=subprocess.PIPE,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LamplighterError(
            "TOKEN_FAILED", f"The token does not answer within {_TIMEOUT_S:g} s."
        ) from error
    except OSError as error:
        raise LamplighterError("TOKEN_FAILED", f"No process can be started: {error}.") from error
    try:
        answer = msgspec.json.decode(child.stdout, type=Answer)
    except msgspec.MsgspecError as error:
        raise LamplighterError(
            "TOKEN_FAILED", f"The module broke down (status {child.returncode})."
        ) from error
    if answer.failure is not None:
        raise LamplighterError(answer.failure.code, answer.failure.sentence)
    return answer
