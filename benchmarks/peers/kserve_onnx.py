"""An ONNX model in KServe's Python server: `python kserve_onnx.py NAME FILE --http_port PORT`."""

import argparse

import onnxruntime
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve import model_server as kserve_server


class OnnxModel(Model):  # type: ignore[misc]  # not installed here
    """One session with one thread, as the agent has it."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.ready = True

    async def predict(
        self,
        payload: InferRequest,
        headers: dict[str, str] | None = None,  # noqa: ARG002 - the signature of the base class
        response_headers: dict[str, str] | None = None,  # noqa: ARG002
    ) -> InferResponse:
        """See kserve.Model."""
        inputs: dict[str, object] = {item.name: as_array(item) for item in payload.inputs}
        outputs = []
        for name, value in zip(
            self._outputs, self._session.run(self._outputs, inputs), strict=True
        ):
            datatype = "INT64" if value.dtype.kind == "i" else "FP32"
            output = InferOutput(name=name, shape=list(value.shape), datatype=datatype)
            output.set_data_from_numpy(value, binary_data=False)
            outputs.append(output)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=outputs)


def as_array(item: InferInput) -> object:
    """The tensor of an input."""
    return item.as_numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve_server.parser])
    parser.add_argument("name")
    parser.add_argument("path")
    chosen = parser.parse_args()
    ModelServer(http_port=chosen.http_port, enable_grpc=False, workers=1).start(
        [OnnxModel(chosen.name, chosen.path)]
    )
