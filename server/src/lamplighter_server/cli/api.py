"""A small client of the people's door; everything the command line knows comes through it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import typer

from lamplighter_protocol.errors import CATALOGUE, LamplighterError

if TYPE_CHECKING:
    import httpx

TIMEOUT_S: Final = 30.0
DEFAULT_SERVER: Final = "http://127.0.0.1:8080"
DEFAULT_DATA_DIR: Final = "~/.lamplighter"


class Api:
    """One server, addressed by its URL, and the caller's token."""

    def __init__(self, server: str, token: str = "") -> None:
        import httpx

        self._server = server
        self._client = httpx.Client(
            base_url=server,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=TIMEOUT_S,
        )

    def __enter__(self) -> Self:
        """Use it in a block."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """Read.

        Raises:
            LamplighterError: What the server refuses with, or SERVER_UNREACHABLE.
        """
        return self._send("GET", path, params=query).json()

    def get_bytes(self, path: str) -> bytes:
        """Read a file.

        Raises:
            LamplighterError: As `get`.
        """
        return self._send("GET", path).content

    def post(self, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Change.

        Raises:
            LamplighterError: As `get`, and NOT_AUTHORISED.
        """
        return self._send("POST", path, json=body).json()

    def put_json(self, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Replace.

        Raises:
            LamplighterError: As `post`.
        """
        return self._send("PUT", path, json=body).json()

    def put(self, path: str, content: bytes | Iterable[bytes]) -> None:
        """Upload a file.

        Raises:
            LamplighterError: As `post`.
        """
        self._send("PUT", path, content=content)

    def _send(self, method: str, path: str, **options: Any) -> "httpx.Response":  # noqa: ANN401
        import httpx

        try:
            response = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise LamplighterError(
                "SERVER_UNREACHABLE", f"{self._server} does not answer: {error}."
            ) from error
        if response.is_error:
            raise _read_error(response)
        return response


def connect(context: typer.Context) -> Api:
    """The server that the options of the root command or the environment name."""
    options: dict[str, str | None] = context.obj
    token = options["token"] or _stored_token()
    return Api(options["server"] or DEFAULT_SERVER, token)


def _stored_token() -> str:
    folder = os.environ.get("LAMPLIGHTER_DATA_DIR", DEFAULT_DATA_DIR)
    try:
        return (Path(folder).expanduser() / "admin.token").read_text().strip()
    except OSError:
        return ""  # refused by the server, with what to do


def _read_error(response: "httpx.Response") -> LamplighterError:
    try:
        body = response.json()
        code, sentence = body["code"], body["sentence"]
    except (ValueError, KeyError, TypeError):
        code, sentence = "", ""
    if code not in CATALOGUE:
        return LamplighterError(
            "SERVER_UNREACHABLE", f"{response.url} answered {response.status_code}."
        )
    return LamplighterError(code, sentence)
