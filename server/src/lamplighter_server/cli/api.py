"""A small client of the people's door; everything the command line knows comes through it."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import typer

from lamplighter_protocol.errors import CATALOGUE, LamplighterError

TIMEOUT_S: Final = 30.0
#: What a server may answer at once, unpacked; far above the longest listing and every case.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
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
            LamplighterError: What the server refuses with, SERVER_UNREACHABLE, or MESSAGE_TOO_LARGE
                or MESSAGE_MALFORMED if it answers what no server of ours does.
        """
        return _read_json(path, self._send("GET", path, params=query))

    def get_bytes(self, path: str) -> bytes:
        """Read a file.

        Raises:
            LamplighterError: As `get`.
        """
        return self._send("GET", path)

    def post(self, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Change.

        Raises:
            LamplighterError: As `get`, and NOT_AUTHORISED.
        """
        return _read_json(path, self._send("POST", path, json=body))

    def put_json(self, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Replace.

        Raises:
            LamplighterError: As `post`.
        """
        return _read_json(path, self._send("PUT", path, json=body))

    def delete(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Remove.

        Raises:
            LamplighterError: As `post`.
        """
        return _read_json(path, self._send("DELETE", path))

    def put(self, path: str, content: bytes | Iterable[bytes]) -> None:
        """Upload a file.

        Raises:
            LamplighterError: As `post`.
        """
        self._send("PUT", path, content=content)

    def _send(self, method: str, path: str, **options: Any) -> bytes:  # noqa: ANN401
        import httpx

        try:
            with self._client.stream(method, path, **options) as response:
                raw = bytearray()
                for part in response.iter_bytes():
                    raw += part
                    if len(raw) > MAX_ANSWER_BYTES:
                        raise LamplighterError(
                            "MESSAGE_TOO_LARGE", f"{path} answers over {MAX_ANSWER_BYTES} bytes."
                        )
        except httpx.RequestError as error:
            raise LamplighterError(
                "SERVER_UNREACHABLE", f"{self._server} does not answer: {error}."
            ) from error
        if response.is_error:
            raise _read_error(response.status_code, path, bytes(raw))
        return bytes(raw)


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


def _read_json(path: str, raw: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"{path} answers no JSON: {error}.") from error


def _read_error(status: int, path: str, raw: bytes) -> LamplighterError:
    try:
        body = json.loads(raw)
        code, sentence = body["code"], body["sentence"]
    except (ValueError, KeyError, TypeError, RecursionError):
        code, sentence = "", ""
    if not isinstance(code, str) or code not in CATALOGUE:
        return LamplighterError("SERVER_UNREACHABLE", f"{path} answered {status}.")
    return LamplighterError(code, str(sentence))
