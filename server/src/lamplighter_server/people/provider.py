"""The conversation with a single sign-on provider: OpenID Connect, authorization code with PKCE."""

from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.context import Context
from lamplighter_server.people.identity import Flow, Identity, read_id_token
from lamplighter_server.settings import LOOPBACKS, Settings

CALLBACK: Final = "/sign-in/callback"
TIMEOUT_S: Final = 10.0
SCOPE: Final = "openid profile"


class Provider:
    """One provider, as it describes itself; use it in an `async with` block."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S)
        self._described: Mapping[str, Any] = {}

    async def __aenter__(self) -> Self:
        """Ask the provider where its endpoints are.

        Raises:
            LamplighterError: SIGN_ON_UNAVAILABLE, or SIGN_ON_REFUSED for another issuer.
        """
        issuer = self._settings.oidc_issuer
        if not issuer:
            raise LamplighterError("NOT_FOUND", "This server has no single sign-on.")
        try:
            self._described = await self._get(
                f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            )
            if self._described.get("issuer") != issuer:
                raise LamplighterError("SIGN_ON_REFUSED", "The provider is another issuer.")
        except BaseException:
            await self._client.aclose()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the connections."""
        await self._client.aclose()

    def question(self, flow: Flow) -> str:
        """Where to send the browser."""
        address: str = prepare_grant_uri(
            self._endpoint("authorization_endpoint"),
            client_id=self._settings.oidc_client_id,
            response_type="code",
            redirect_uri=_redirect_uri(self._settings),
            scope=SCOPE,
            state=flow.state,
            nonce=flow.nonce,
            code_challenge=create_s256_code_challenge(flow.verifier),
            code_challenge_method="S256",
        )
        return address

    async def redeem(self, code: str, flow: Flow) -> Identity:
        """Exchange the code that came back for who the person is.

        Raises:
            LamplighterError: SIGN_ON_UNAVAILABLE or SIGN_ON_REFUSED.
        """
        settings = self._settings
        keys = await self._get(self._endpoint("jwks_uri"))
        answer = await self._send(
            "POST",
            self._endpoint("token_endpoint"),
            auth=_client_auth(settings),
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": _redirect_uri(settings),
                "client_id": settings.oidc_client_id,
                "code_verifier": flow.verifier,
            },
        )
        try:
            key_set = KeySet.import_key_set(keys)  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise LamplighterError(
                "SIGN_ON_REFUSED", "The provider's keys cannot be read."
            ) from error
        return read_id_token(
            answer.get("id_token"),
            key_set,
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            nonce=flow.nonce,
            access_token=str(answer.get("access_token", "")),
            groups_claim=settings.oidc_groups_claim,
            now_utc=self._context.clock(),
        )

    def _endpoint(self, name: str) -> str:
        address = self._described.get(name)
        if not isinstance(address, str):
            raise LamplighterError("SIGN_ON_REFUSED", f"The provider names no {name}.")
        return address

    async def _get(self, address: str) -> dict[str, Any]:
        return await self._send("GET", address)

    async def _send(self, method: str, address: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        parts = urlsplit(address)
        if parts.scheme != "https" and parts.hostname not in LOOPBACKS:
            raise LamplighterError("SIGN_ON_REFUSED", "A provider is asked over HTTPS only.")
        try:
            response = await self._client.request(method, address, **options)
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise LamplighterError(
                "SIGN_ON_UNAVAILABLE",
                f"{parts.hostname} does not answer as expected ({type(error).__name__}).",
            ) from error
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise LamplighterError(
                "SIGN_ON_UNAVAILABLE", f"{parts.hostname} answers {response.status_code}."
            )
        if response.is_error or not isinstance(body, dict):
            raise LamplighterError(
                "SIGN_ON_REFUSED", f"{parts.hostname} refuses with {response.status_code}."
            )
        return body


def _redirect_uri(settings: Settings) -> str:
    return f"{settings.console_address}{CALLBACK}"


def _client_auth(settings: Settings) -> httpx.BasicAuth | None:
    """A client without a secret is a public one: PKCE alone protects its codes.

    Raises:
        LamplighterError: SIGN_ON_UNAVAILABLE.
    """
    if settings.oidc_client_secret_file is None:
        return None
    try:
        secret = settings.oidc_client_secret_file.expanduser().read_text().strip()
    except (OSError, ValueError) as error:
        raise LamplighterError(
            "SIGN_ON_UNAVAILABLE", f"The client's secret cannot be read ({type(error).__name__})."
        ) from error
    return httpx.BasicAuth(settings.oidc_client_id, secret)
