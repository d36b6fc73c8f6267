"""What a single sign-on provider says of a person, and when it is believed. No I/O."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from lamplighter_protocol.errors import LamplighterError

#: Signatures with a public key only: neither "none", nor a secret that two parties know.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "Ed25519")
LEEWAY_S: Final = 60


@dataclass(frozen=True)
class Flow:
    """One attempt to sign in, told apart by a secret that only its browser keeps, in a cookie.

    What the provider sees is derived from the secret, so there is nothing to store here.
    """

    secret: str

    @property
    def state(self) -> str:
        """Comes back with the browser: the answer belongs to this browser's question."""
        return self._derive("state")

    @property
    def nonce(self) -> str:
        """Comes back in the id token: it was issued for this question."""
        return self._derive("nonce")

    @property
    def verifier(self) -> str:
        """Redeems the code (PKCE): a code that somebody else caught is worth nothing."""
        return self._derive("verifier")

    def _derive(self, use: str) -> str:
        return hashlib.sha256(f"{use} {self.secret}".encode()).hexdigest()


@dataclass(frozen=True)
class Identity:
    """A person at the provider.

    Attributes:
        issuer: The provider.
        subject: Its own name for the person, which never changes; an e-mail address may.
        name: What the person is called there.
        groups: Where the person belongs.
    """

    issuer: str
    subject: str
    name: str
    groups: frozenset[str]


def read_id_token(
    raw: object,
    keys: KeySet,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str,
    groups_claim: str,
    now_utc: datetime,
) -> Identity:
    """The verdict on an id token.

    Raises:
        LamplighterError: SIGN_ON_REFUSED.
    """
    try:
        token = jwt.decode(str(raw), keys, algorithms=ALGORITHMS)
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": issuer},
                "aud": {"essential": True, "value": client_id},
                "nonce": {"essential": True, "value": nonce},
            },
            params={"nonce": nonce, "client_id": client_id, "access_token": access_token},
        )
        claims.validate(now=int(now_utc.timestamp()), leeway=LEEWAY_S)
        return _identity(token.claims, issuer, groups_claim)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise LamplighterError(
            "SIGN_ON_REFUSED", f"The provider's id token is not valid ({type(error).__name__})."
        ) from error


def _identity(claims: dict[str, Any], issuer: str, groups_claim: str) -> Identity:
    subject, name = claims["sub"], claims.get("preferred_username", claims["sub"])
    groups = claims.get(groups_claim, [])
    if not (isinstance(subject, str) and subject and isinstance(name, str)):
        raise ValueError("sub and preferred_username are texts")
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise ValueError(f"{groups_claim} is a list of texts")
    return Identity(issuer, subject, name, frozenset(groups))
