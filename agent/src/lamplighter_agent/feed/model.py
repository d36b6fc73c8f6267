"""Asks a model as any client does: over its socket, in the Open Inference Protocol."""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from lamplighter_agent.feed.content import fit
from lamplighter_agent.ports.feed import Content
from lamplighter_agent.ports.session import DATATYPES, Tensors
from lamplighter_protocol.bundle import TensorSpec

_TIMEOUT_S: Final = 60.0
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"


class Refused(Exception):  # noqa: N818 - it is an answer
    """The model will never answer this."""


class _Serve(msgspec.Struct):
    url: str
    ready: bool


class _Status(msgspec.Struct):
    serve: dict[str, _Serve]


class _Metadata(msgspec.Struct):
    inputs: list[TensorSpec]


class Answer(msgspec.Struct):
    """What a model said."""

    model_version: str
    outputs: list[dict[str, Any]]


class ServedModel:
    """A model of this agent, wherever it is served at present.

    Args:
        name: The model.
        status: The agent's status.json, which says where it answers.
    """

    def __init__(self, name: str, status: Path) -> None:
        self._name = name
        self._status = status
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, content: Content) -> Answer:
        """Ask once.

        Raises:
            Refused: The content does not fit the model, or the model cannot answer it.
            OSError: Nothing answers now.
        """
        path = f"/v2/models/{self._name}"
        try:
            specs = msgspec.json.decode(self._request("GET", path), type=_Metadata).inputs
            body, head = _encode(fit(content, specs))
            raw = self._request("POST", f"{path}/infer", body, {_HEADER_LENGTH: str(head)})
            return msgspec.json.decode(raw, type=Answer)
        except (http.client.HTTPException, msgspec.MsgspecError, OSError) as error:
            self._forget()
            raise OSError(f"{self._name} does not answer: {error}") from error
        except ValueError as error:
            raise Refused(str(error)) from error

    def _request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        connection = self._connection = self._connection or self._connect()
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        raw = response.read()
        if response.will_close:
            self._forget()
        if response.status in (400, 413, 500):
            raise ValueError(json.loads(raw).get("error", "without a reason"))
        if response.status != 200:
            raise OSError(f"it answers {response.status}")
        return raw

    def _connect(self) -> http.client.HTTPConnection:
        status = msgspec.json.decode(self._status.read_bytes(), type=_Status)
        serve = status.serve.get(self._name)
        if serve is None or not serve.ready:
            raise OSError("no release of it runs")
        host, _, port = serve.url.rpartition("/")[2].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _encode(inputs: Tensors) -> tuple[bytes, int]:
    """The body of a request, and the length of its JSON part."""
    names = {np.dtype(kind): name for name, kind in DATATYPES.items()}
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, array in inputs.items():
        tensor = {"name": name, "shape": array.shape, "datatype": names[array.dtype]}
        if array.dtype.hasobject:  # text travels as JSON
            tensors.append({**tensor, "data": array.ravel().tolist()})
        else:
            tensors.append({**tensor, "parameters": {"binary_data_size": array.nbytes}})
            binary.append(array.tobytes())
    head = msgspec.json.encode({"inputs": tensors})
    return b"".join([head, *binary]), len(head)
