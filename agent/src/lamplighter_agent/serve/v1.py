"""The endpoints of TensorFlow Serving, version 1."""

import re
from typing import Final

from lamplighter_agent.ports.servable import Servable
from lamplighter_agent.serve.http import Answer, Request, json_answer
from lamplighter_agent.serve.offers import check_model, not_offered
from lamplighter_agent.serve.tfs import SIGNATURE, read_request, signature, write_response
from lamplighter_protocol.errors import LamplighterError

_MODEL: Final = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>[^/:]+))?(?P<verb>/metadata|:[a-z]+)?"
)


class V1:
    """Answers for one release."""

    def __init__(self, servable: Servable) -> None:
        self._servable = servable

    def answer(self, request: Request) -> Answer:
        """Answer a request below /v1.

        Raises:
            LamplighterError: NOT_FOUND, REQUEST_INVALID, INFERENCE_FAILED.
        """
        method = "GET" if request.method == "HEAD" else request.method
        match = _MODEL.fullmatch(request.path)
        if match is None:
            raise not_offered(request)
        check_model(self._servable.manifest, match["model"], match["version"])
        if (method, match["verb"]) == ("POST", ":predict"):
            return self._predict(request)
        if (method, match["verb"]) == ("GET", None):
            return self._status()
        if (method, match["verb"]) == ("GET", "/metadata"):
            return self._metadata()
        if match["verb"] in {":classify", ":regress"}:
            raise LamplighterError(
                "NOT_FOUND", f"{match['verb'][1:]} takes tf.Example, which no model here reads."
            )
        raise not_offered(request)

    def _predict(self, request: Request) -> Answer:
        asked = read_request(request.body, self._servable.manifest.inputs)
        outputs = self._servable.infer(asked.inputs, request.started_mono)
        return Answer(200, write_response(asked, self._servable.manifest.outputs, outputs))

    def _status(self) -> Answer:
        status = {
            "version": str(self._servable.manifest.release),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return json_answer({"model_version_status": [status]})

    def _metadata(self) -> Answer:
        manifest = self._servable.manifest
        signatures = {SIGNATURE: signature(manifest.inputs, manifest.outputs)}
        return json_answer(
            {
                "model_spec": {
                    "name": manifest.model,
                    "signature_name": "",
                    "version": str(manifest.release),
                },
                "metadata": {"signature_def": {"signature_def": signatures}},
            }
        )
