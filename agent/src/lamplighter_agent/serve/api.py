"""The HTTP surface of a worker as an ASGI application without a framework."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from lamplighter_agent import __version__
from lamplighter_agent.ports.servable import Servable
from lamplighter_agent.serve.oip import MAX_BODY_BYTES, read_request, write_response
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_MODEL: Final = re.compile(
    r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<verb>/ready|/infer)?"
)
_PLATFORMS: Final = {"onnxruntime": "onnx_onnxv1", "litert": "litert_tflite"}
_LENGTH: Final = re.compile(rb"[0-9]{1,10}")
_HEADER_LENGTH: Final = b"inference-header-content-length"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    json_length: int | None = None
    """Of a binary body: how long its JSON part is."""


class Api:
    """Answers requests for one release.

    Attributes:
        draining: While set, every answer closes its connection.
    """

    def __init__(self, servable: Servable) -> None:
        self._servable = servable
        self.draining = False

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        started_mono = time.perf_counter()
        headers = dict(scope["headers"])
        try:
            body = await _read_body(headers, receive)
            answer = self._route(scope["method"], scope["path"], headers, body, started_mono)
        except LamplighterError as error:
            answer = Answer(error.entry.http_status, msgspec.json.encode({"error": str(error)}))
        await self._reply(answer, send)

    async def _reply(self, answer: Answer, send: Send) -> None:
        binary = answer.json_length is not None
        kind = b"application/octet-stream" if binary else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(answer.body))]
        if answer.json_length is not None:
            headers.append((_HEADER_LENGTH, b"%d" % answer.json_length))
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _route(
        self, method: str, path: str, headers: dict[bytes, bytes], body: bytes, started_mono: float
    ) -> Answer:
        if (method, path) in {("GET", "/v2/health/live"), ("GET", "/v2/health/ready")}:
            return _json({"live": True, "ready": True})
        if (method, path) == ("GET", "/v2"):
            extensions = ["binary_tensor_data"]
            return _json({"name": "lamplighter", "version": __version__, "extensions": extensions})
        if (method, path) == ("POST", "/v2/repository/index"):
            manifest = self._servable.manifest
            version = str(manifest.release)
            return _json([{"name": manifest.model, "version": version, "state": "READY"}])
        match = _MODEL.fullmatch(path)
        if match is None:
            raise LamplighterError("NOT_FOUND", f"There is nothing at {path!r}.")
        self._check_model(match["model"], match["version"])
        if (method, match["verb"]) == ("POST", "/infer"):
            return self._infer(headers, body, started_mono)
        if (method, match["verb"]) == ("GET", "/ready"):
            return _json({"name": match["model"], "ready": True})
        if (method, match["verb"]) == ("GET", None):
            return _json(self._metadata())
        raise LamplighterError("NOT_FOUND", f"{method} is not offered at {path!r}.")

    def _check_model(self, model: str, version: str | None) -> None:
        manifest = self._servable.manifest
        if model != manifest.model or version not in (None, str(manifest.release)):
            asked = model if version is None else f"{model} release {version}"
            raise LamplighterError(
                "NOT_FOUND", f"{asked} is not served; {manifest.model} {manifest.release} is."
            )

    def _infer(self, headers: dict[bytes, bytes], body: bytes, started_mono: float) -> Answer:
        manifest = self._servable.manifest
        length = headers.get(_HEADER_LENGTH)
        if length is not None and _LENGTH.fullmatch(length) is None:
            raise LamplighterError("REQUEST_INVALID", f"The header length {length!r} is no number.")
        request = read_request(
            body, None if length is None else int(length), manifest.inputs, manifest.outputs
        )
        outputs = self._servable.infer(request.inputs, started_mono)
        return Answer(200, *write_response(manifest.model, manifest.release, request, outputs))

    def _metadata(self) -> dict[str, Any]:
        manifest = self._servable.manifest

        def tensors(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
            return [
                {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
                for spec in specs
            ]

        return {
            "name": manifest.model,
            "versions": [str(manifest.release)],
            "platform": _PLATFORMS[self._servable.variant.runtime],
            "inputs": tensors(manifest.inputs),
            "outputs": tensors(manifest.outputs),
        }


def _json(document: object) -> Answer:
    return Answer(200, msgspec.json.encode(document))


async def _read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise LamplighterError(
            "MESSAGE_TOO_LARGE",
            f"The body has {int(announced)} bytes, the limit is {MAX_BODY_BYTES}.",
        )
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise LamplighterError("REQUEST_INVALID", "The connection closed inside the request.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise LamplighterError(
                "MESSAGE_TOO_LARGE", f"The body has more than the limit of {MAX_BODY_BYTES} bytes."
            )
        if not message.get("more_body", False):
            return b"".join(parts)
