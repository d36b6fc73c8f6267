"""A small but real OpenID Connect provider with keys of its own, and with a taste for forgery."""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey


@dataclass
class OidcProvider:
    """Answers as a provider does; `claims`, `header` and `key` may be bent by a test."""

    issuer: str
    client_id: str
    client_secret: str
    person: dict[str, Any] = field(default_factory=dict)
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    bend_claims: dict[str, Any] = field(default_factory=dict)
    alg: str = "RS256"
    signing_key: Any = None
    now: int = 0
    seen: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def id_token(self, asked: dict[str, str]) -> str:
        claims = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": self.now,
            "exp": self.now + 300,
            "nonce": asked["nonce"],
            **self.person,
            **self.bend_claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.alg == "none":
            return ".".join([*(_part(each) for each in ({"alg": "none"}, claims)), ""])
        header = {"alg": self.alg, "kid": "one"}
        if self.alg == "HS256":  # the public key misused as a secret that both know
            signed = ".".join(_part(each) for each in (header, claims))
            mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
            return f"{signed}.{_b64(mac)}"
        return jwt.encode(header, claims, self.signing_key or self.key, algorithms=[self.alg])

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        async def describe() -> dict[str, str]:
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }

        @app.get("/keys")
        async def keys() -> JSONResponse:
            return JSONResponse(KeySet([self.key]).as_dict(private=False))

        @app.get("/authorize")
        async def authorize(request: Request) -> RedirectResponse:
            asked = dict(request.query_params)
            assert asked["response_type"] == "code"
            assert asked["code_challenge_method"] == "S256"
            self.seen.append(asked)
            code = secrets.token_urlsafe(8)
            self.codes[code] = asked
            return RedirectResponse(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

        @app.post("/token")
        async def token(
            request: Request,
            code: str = Form(),
            code_verifier: str = Form(),
            redirect_uri: str = Form(),
        ) -> JSONResponse:
            given = f"{self.client_id}:{self.client_secret}".encode()
            basic = f"Basic {base64.b64encode(given).decode()}"
            asked = self.codes.pop(code, {})
            digest = hashlib.sha256(code_verifier.encode()).digest()
            if (
                request.headers.get("authorization") != basic
                or asked.get("code_challenge") != _b64(digest)
                or asked.get("redirect_uri") != redirect_uri
            ):
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse(
                {
                    "access_token": "opaque",
                    "token_type": "Bearer",
                    "id_token": self.id_token(asked),
                }
            )

        return app


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _part(value: dict[str, Any]) -> str:
    return _b64(json.dumps(value).encode())
