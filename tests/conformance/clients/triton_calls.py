"""What an application does with `tritonclient`, unchanged: `python triton_calls.py HOST:PORT`."""

import sys

import numpy as np
from tritonclient.http import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
)
from tritonclient.utils import InferenceServerException

MODEL = "meter-digits"


def tensor(rows: int, *, binary: bool) -> InferInput:
    """A batch of grey images."""
    item = InferInput("image", [rows, 64], "FP32")
    item.set_data_from_numpy(np.full((rows, 64), 0.5, np.float32), binary_data=binary)
    return item


def main(address: str) -> None:
    """Each call of the client that the server offers, and two that it must refuse."""
    with InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL)
        assert client.is_model_ready(MODEL, "1")
        assert not client.is_model_ready(MODEL, "2")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        assert client.get_model_metadata(MODEL)["inputs"][0]["shape"] == [-1, 64]
        assert client.get_model_repository_index()[0]["state"] == "READY"
        for binary in (True, False):
            answer = client.infer(MODEL, [tensor(3, binary=binary)])
            assert answer.as_numpy("label").shape == (3,)
            for output in (True, False):
                wanted = [InferRequestedOutput("probabilities", binary_data=output)]
                answer = client.infer(
                    MODEL,
                    [tensor(2, binary=binary)],
                    model_version="1",
                    outputs=wanted,
                    request_id="q-1",
                    timeout=1000,
                    priority=1,
                )
                assert answer.get_response()["id"] == "q-1"
                assert answer.as_numpy("probabilities").shape == (2, 10)
                assert answer.as_numpy("label") is None
        for model, outputs in (
            ("other", None),
            (MODEL, [InferRequestedOutput("probabilities", class_count=3)]),
        ):
            try:
                client.infer(model, [tensor(1, binary=True)], outputs=outputs)
            except InferenceServerException as error:
                sys.stdout.write(f"refused as it should be: {error}\n")
            else:
                raise SystemExit(f"{model} with {outputs} was not refused")
    sys.stdout.write("tritonclient: every call was answered\n")


if __name__ == "__main__":
    main(sys.argv[1])
