"""Against what speaks HTTP: bombs and endless bodies, on the board and at the server's doors."""

import gzip
import http.server
import json
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conformance.attacks.refusal import refused
from tests.protocol.conftest import make_manifest
from tests.server.publishing.test_case import made

from lamplighter_agent.serve.api import Api as DeviceApi
from lamplighter_agent.serve.oip import MAX_BODY_BYTES
from lamplighter_protocol.canonical import sha256
from lamplighter_server.cli.api import MAX_ANSWER_BYTES, Api
from lamplighter_server.doors import MAX_DEVICE_BODY_BYTES
from lamplighter_server.publishing.case import read_case

Code = Callable[[httpx.Response], str]
INFER = "/v2/models/digits/infer"
BOMB = gzip.compress(b" " * 100_000_000)


class Release:
    """What a worker serves; nothing hostile ever reaches it."""

    manifest = make_manifest()
    variant = manifest.variants[0]

    def infer(self, inputs: Any, started_mono: float) -> Any:
        raise AssertionError


@pytest.fixture
async def board() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(DeviceApi(Release()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def refusal(answer: httpx.Response) -> str:
    return str(answer.json()["error"]).partition(":")[0]


async def test_a_compressed_body_is_never_unpacked(board: httpx.AsyncClient) -> None:
    answer = await board.post(INFER, content=BOMB, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, refusal(answer)) == (400, "REQUEST_INVALID")


async def test_a_body_without_end(board: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024 * 1024
            yield b" " * 1024 * 1024

    answer = await board.post(INFER, content=endless())
    assert (answer.status_code, refusal(answer)) == (413, "MESSAGE_TOO_LARGE")
    assert sent <= MAX_BODY_BYTES + 2 * 1024 * 1024


@pytest.mark.parametrize("shape", [[2**40, 16], [2**62, 2**62], [-1, 16], [10**30, 16]])
@pytest.mark.parametrize("binary", [True, False])
async def test_a_tensor_that_declares_a_huge_shape(
    board: httpx.AsyncClient, shape: list[int], binary: bool
) -> None:
    tensor: dict[str, Any] = {"name": "image", "shape": shape, "datatype": "FP32"}
    if binary:
        tensor["parameters"] = {"binary_data_size": shape[0] * shape[1] * 4}
    else:
        tensor["data"] = [0.0] * 16
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = await board.post(INFER, content=head, headers=headers)
    assert (answer.status_code, refusal(answer)) == (400, "REQUEST_INVALID")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"inputs":' * 50_000, b'{"id":' + b"9" * 9999])
async def test_a_document_nested_without_end(board: httpx.AsyncClient, body: bytes) -> None:
    answer = await board.post(INFER, content=body)
    assert (answer.status_code, refusal(answer)) == (400, "REQUEST_INVALID")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_bomb_at_the_door_of_devices(
    door: httpx.AsyncClient, code_of: Code, encoding: str
) -> None:
    body = b" " * (MAX_DEVICE_BODY_BYTES + 1) if encoding == "identity" else BOMB
    answer = await door.post("/api/v1/enrol", content=body, headers={"Content-Encoding": encoding})
    assert code_of(answer) == "MESSAGE_TOO_LARGE"


class Endless(http.server.BaseHTTPRequestHandler):
    """A stolen server: a small answer that unpacks to gigabytes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with self.server.lock:  # type: ignore[attr-defined]
            for _ in range(20):
                self.wfile.write(BOMB)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endless() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.lock = threading.Lock()  # type: ignore[attr-defined]
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def test_an_answer_that_fills_the_signers_memory(endless: str) -> None:
    with Api(endless) as api, refused("MESSAGE_TOO_LARGE"):
        api.get_bytes("/api/v1/trust/files/root.json")
    assert len(BOMB) < MAX_ANSWER_BYTES


def test_a_zip_bomb_in_a_carried_case(tmp_path: Path) -> None:
    bomb = b"0" * 10_000_000

    def write(archive: zipfile.ZipFile) -> None:
        archive.writestr(f"files/{sha256(bomb)}", bomb)

    path = made(tmp_path / "x.case", write, zipfile.ZIP_DEFLATED)
    with refused("MESSAGE_MALFORMED"):
        read_case(path)
