"""The endpoints of the Open Inference Protocol, version 2."""

import re
from typing import Any, Final

from lamplighter_agent import __version__
from lamplighter_agent.ports.servable import Servable
from lamplighter_agent.serve.http import Answer, Request, json_answer
from lamplighter_agent.serve.offers import check_model, not_offered
from lamplighter_agent.serve.oip import read_request, write_response
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

_MODEL: Final = re.compile(
    r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<verb>/ready|/infer)?"
)
_PLATFORMS: Final = {"onnxruntime": "onnx_onnxv1", "litert": "litert_tflite"}
_LENGTH: Final = re.compile(rb"[0-9]{1,10}")
_HEADER_LENGTH: Final = b"inference-header-content-length"
_BINARY: Final = b"application/octet-stream"


class V2:
    """Answers for one release."""

    def __init__(self, servable: Servable) -> None:
        self._servable = servable

    def answer(self, request: Request) -> Answer:
        """Answer a request below /v2.

        Raises:
            LamplighterError: NOT_FOUND, REQUEST_INVALID, INFERENCE_FAILED.
        """
        method = "GET" if request.method == "HEAD" else request.method
        match = _MODEL.fullmatch(request.path)
        if match is None:
            return self._of_server(method, request)
        check_model(self._servable.manifest, match["model"], match["version"])
        if (method, match["verb"]) == ("POST", "/infer"):
            return self._infer(request)
        if (method, match["verb"]) == ("GET", "/ready"):
            return json_answer({"name": match["model"], "ready": True})
        if (method, match["verb"]) == ("GET", None):
            return json_answer(self._metadata())
        raise not_offered(request)

    def _of_server(self, method: str, request: Request) -> Answer:
        path = request.path.rstrip("/")
        if (method, path) in {("GET", "/v2/health/live"), ("GET", "/v2/health/ready")}:
            # The specification and KServe's client disagree on the field of each: both are in both.
            return json_answer({"live": True, "ready": True})
        if (method, path) == ("GET", "/v2"):
            extensions = ["binary_tensor_data", "model_repository"]
            return json_answer(
                {"name": "lamplighter", "version": __version__, "extensions": extensions}
            )
        if (method, path) == ("POST", "/v2/repository/index"):
            manifest = self._servable.manifest
            index = {"name": manifest.model, "version": str(manifest.release), "state": "READY"}
            return json_answer([{**index, "reason": ""}])
        raise not_offered(request)

    def _infer(self, request: Request) -> Answer:
        manifest = self._servable.manifest
        length = request.headers.get(_HEADER_LENGTH)
        if length is not None and _LENGTH.fullmatch(length) is None:
            raise LamplighterError("REQUEST_INVALID", f"The header length {length!r} is no number.")
        asked = read_request(
            request.body,
            None if length is None else int(length),
            manifest.inputs,
            manifest.outputs,
        )
        outputs = self._servable.infer(asked.inputs, request.started_mono)
        body, json_bytes = write_response(manifest.model, manifest.release, asked, outputs)
        if json_bytes is None:
            return Answer(200, body)
        return Answer(200, body, _BINARY, ((_HEADER_LENGTH, b"%d" % json_bytes),))

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
