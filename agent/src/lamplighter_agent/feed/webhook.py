"""Results as HTTP requests to an address."""

import http.client
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    url: str
    timeout_s: float = 10.0
    token_file: str | None = None
    """A file with a token, sent as `Authorization: Bearer`."""


class WebhookSink:
    """Posts each result as JSON. Every answer but a 2xx is a failure, and is tried again."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = msgspec.convert(table, _Table)
        if urlsplit(self._table.url).scheme not in ("http", "https"):
            raise ValueError("url must begin with http:// or https://")
        if self._table.timeout_s <= 0:
            raise ValueError("timeout_s must be above 0")

    def put(self, result: Mapping[str, Any]) -> None:
        """See ports.feed."""
        headers = {"Content-Type": "application/json"}
        if self._table.token_file is not None:
            token = Path(self._table.token_file).read_text(encoding="utf-8").strip()
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self._table.url, msgspec.json.encode(result), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=self._table.timeout_s):  # noqa: S310
                pass
        except http.client.HTTPException as error:
            raise OSError(f"{self._table.url} speaks no HTTP: {error!r}") from error
