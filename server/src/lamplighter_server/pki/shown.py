"""Whose certificate a connection has shown: what TLS has verified, told to the application."""

import asyncio
import ssl
from typing import Final

from cryptography import x509
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Where ASGI's TLS extension has the PEM texts of a client's certificate and its issuers.
EXTENSION: Final = "tls"
CHAIN: Final = "client_cert_chain"


class ShownCertificate(H11Protocol):
    """HTTP whose requests carry the certificate of their connection, which uvicorn leaves out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the certificate once; the handshake is over."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        if der is None:
            return
        chain, app = [ssl.DER_cert_to_PEM_cert(der)], self.app

        async def with_certificate(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[EXTENSION] = {CHAIN: chain}
            await app(scope, receive, send)

        self.app = with_certificate


def shown_certificate(scope: Scope) -> x509.Certificate | None:
    """The certificate that came with a request, issued by our authority and in date."""
    chain = scope.get("extensions", {}).get(EXTENSION, {}).get(CHAIN, ())
    return x509.load_pem_x509_certificate(chain[0].encode()) if chain else None
