"""The whole surface of a worker over real sockets, with a model that is a fake."""

import asyncio
import gzip
import http.client
import json
import socket
from collections.abc import AsyncIterator

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from tests.agent_worker.fake_release import FakeRelease
from tests.agent_worker.small_release import Bundle

from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_agent.serve.api import Api
from lamplighter_agent.serve.http import MAX_BODY_BYTES
from lamplighter_agent.serve.server import Server
from lamplighter_protocol.errors import LamplighterError

MODEL = "/v2/models/meter-digits"
V1 = "/v1/models/meter-digits"
ROW = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}


class FirstPixel(FakeRelease):
    """Answers with the class in the first pixel; refuses to answer a negative one."""

    def infer(self, inputs: Tensors, started_mono: float) -> dict[str, Array]:
        label = inputs["image"][:, 0].astype(np.int64)
        if (label < 0).any():
            raise LamplighterError("INFERENCE_FAILED", "A pixel is negative.")
        probabilities = np.eye(10, dtype=np.float32)[label]
        return {"label": label, "probabilities": probabilities}


@pytest.fixture
async def server(
    bundle: Bundle, listening: socket.socket, listening_unix: socket.socket
) -> AsyncIterator[Server]:
    server = Server(Api(FirstPixel(bundle.manifest)), [listening, listening_unix])
    await server.serve()
    yield server
    await server.close()


@pytest.fixture(params=["tcp", "unix"])
async def client(
    server: Server,
    listening: socket.socket,
    listening_unix: socket.socket,
    request: pytest.FixtureRequest,
) -> AsyncIterator[httpx.AsyncClient]:
    transport = None
    if request.param == "unix":
        transport = httpx.AsyncHTTPTransport(uds=listening_unix.getsockname())
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=base, transport=transport, trust_env=False) as client:
        yield client


def code(response: httpx.Response) -> str:
    return str(response.json()["error"]).partition(":")[0]


async def test_health_and_metadata(client: httpx.AsyncClient, bundle: Bundle) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert (await client.get(path)).json() == {"live": True, "ready": True}
    assert (await client.get("/v2")).json()["extensions"] == [
        "binary_tensor_data",
        "model_repository",
    ]
    index = (await client.post("/v2/repository/index")).json()
    assert index == [{"name": "meter-digits", "version": "1", "state": "READY", "reason": ""}]
    for path in (MODEL, f"{MODEL}/versions/1"):
        assert (await client.get(f"{path}/ready")).json()["ready"] is True
        metadata = (await client.get(path)).json()
        assert (metadata["name"], metadata["versions"]) == ("meter-digits", ["1"])
        assert metadata["platform"] == "onnx_onnxv1"
        assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}]
        assert [output["name"] for output in metadata["outputs"]] == ["label", "probabilities"]


async def test_a_batch_in_json(client: httpx.AsyncClient) -> None:
    data = np.zeros((3, 64))
    data[:, 0] = [7, 0, 9]
    tensor = {**ROW, "shape": [3, 64], "data": data.tolist()}
    response = await client.post(f"{MODEL}/versions/1/infer", json={"id": "q", "inputs": [tensor]})
    answer = response.json()
    assert (response.status_code, answer["id"]) == (200, "q")
    assert answer["outputs"][0]["data"] == [7, 0, 9]
    assert answer["outputs"][1]["shape"] == [3, 10]


async def test_a_batch_in_binary(client: httpx.AsyncClient) -> None:
    data: npt.NDArray[np.float32] = np.zeros((2, 64), dtype=np.float32)
    data[:, 0] = [4, 2]
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "image",
                    "shape": [2, 64],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": data.nbytes},
                }
            ],
            "outputs": [
                {"name": "probabilities", "parameters": {"binary_data": True}},
                {"name": "label", "parameters": {"binary_data": False}},
            ],
        }
    ).encode()
    response = await client.post(
        f"{MODEL}/infer",
        content=head + data.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    length = int(response.headers["inference-header-content-length"])
    answer = json.loads(response.content[:length])
    assert answer["outputs"][0]["parameters"] == {"binary_data_size": 80}
    found = np.frombuffer(response.content[length:], np.float32).reshape(2, 10)
    assert found.argmax(axis=1).tolist() == answer["outputs"][1]["data"] == [4, 2]


async def test_tensorflow_serving(client: httpx.AsyncClient) -> None:
    for path in (V1, f"{V1}/versions/1"):
        status = (await client.get(path)).json()["model_version_status"]
        assert (status[0]["version"], status[0]["state"]) == ("1", "AVAILABLE")
        metadata = (await client.get(f"{path}/metadata")).json()
        assert metadata["model_spec"] == {
            "name": "meter-digits",
            "signature_name": "",
            "version": "1",
        }
        rows = await client.post(f"{path}:predict", json={"instances": [[3] * 64]})
        assert rows.json()["predictions"][0]["label"] == 3
        columns = await client.post(f"{path}:predict", json={"inputs": [[3] * 64]})
        assert columns.json()["outputs"]["label"] == [3]
        refused = await client.post(f"{path}:classify", json={"examples": []})
        assert (refused.status_code, code(refused)) == (404, "NOT_FOUND")


async def test_metrics(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'lamplighter_model_info{model="meter-digits",release="1"' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "wanted"),
    [
        ("POST", "/metrics", 404, "NOT_FOUND"),
        ("GET", "/v1/models/other", 404, "NOT_FOUND"),
        ("GET", f"{V1}/labels/stable", 404, "NOT_FOUND"),
        ("GET", f"{V1}:predict", 404, "NOT_FOUND"),
        ("POST", f"{V1}:predict", 400, "REQUEST_INVALID"),
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/v2/models/other", 404, "NOT_FOUND"),
        ("GET", f"{MODEL}/versions/2", 404, "NOT_FOUND"),
        ("GET", f"{MODEL}/infer", 404, "NOT_FOUND"),
        ("POST", f"{MODEL}/ready", 404, "NOT_FOUND"),
        ("POST", "/v2/models/other/infer", 404, "NOT_FOUND"),
        ("POST", f"{MODEL}/infer", 400, "REQUEST_INVALID"),
    ],
)
async def test_what_is_not_offered_is_refused_with_a_code(
    client: httpx.AsyncClient, method: str, path: str, status: int, wanted: str
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, code(response)) == (status, wanted)


async def test_a_failing_model_answers_500_and_the_connection_lives_on(
    client: httpx.AsyncClient,
) -> None:
    bad = {**ROW, "data": [-1.0] * 64}
    response = await client.post(f"{MODEL}/infer", json={"inputs": [bad]})
    assert (response.status_code, code(response)) == (500, "INFERENCE_FAILED")
    assert (await client.post(f"{MODEL}/infer", json={"inputs": [ROW]})).status_code == 200


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "", "9" * 5000, "99999999999"])
async def test_a_header_length_that_is_no_length_is_refused(
    client: httpx.AsyncClient, length: str
) -> None:
    response = await client.post(
        f"{MODEL}/infer", content=b"{}", headers={"Inference-Header-Content-Length": length}
    )
    assert (response.status_code, code(response)) == (400, "REQUEST_INVALID")


async def test_too_large_a_body_is_refused_announced_or_not(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{MODEL}/infer", content=b" " * (MAX_BODY_BYTES + 1))
    assert (response.status_code, code(response)) == (413, "MESSAGE_TOO_LARGE")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 2**20

    response = await client.post(f"{MODEL}/infer", content=chunks())
    assert (response.status_code, code(response)) == (413, "MESSAGE_TOO_LARGE")
    assert (await client.get("/v2/health/live")).status_code == 200


async def test_a_compressed_body_is_not_unpacked(client: httpx.AsyncClient) -> None:
    body = gzip.compress(bytes(2**24))
    headers = {"Content-Encoding": "gzip"}
    response = await client.post(f"{MODEL}/infer", content=body, headers=headers)
    assert (response.status_code, code(response)) == (400, "REQUEST_INVALID")


async def test_a_request_cut_off_in_the_middle_harms_nobody(
    client: httpx.AsyncClient, listening: socket.socket
) -> None:
    _, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.transport.abort()
    assert (await client.get("/v2/health/live")).status_code == 200


@pytest.mark.parametrize(
    "raw", [b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02", b"GET / HTTP/9\r\n\r\n"]
)
async def test_what_is_no_http_ends_its_connection_only(
    server: Server, listening: socket.socket, raw: bytes
) -> None:
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(raw)
    writer.write_eof()
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await asyncio.to_thread(get_live, listening.getsockname()[1])


def get_live(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/v2/health/live")
    assert connection.getresponse().status == 200
    connection.close()
