"""Against what speaks HTTP: bombs and endless bodies, on the board and at the server's doors."""

import contextlib
import gzip
import http.server
import json
import socket
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.agent_worker.fake_release import FakeRelease
from tests.conformance.attacks.refusal import refused
from tests.protocol.conftest import make_manifest
from tests.server.publishing.test_case import made

from lamplighter_agent.serve.api import Api as DeviceApi
from lamplighter_agent.serve.http import MAX_BODY_BYTES, MAX_DROPPED_BYTES
from lamplighter_agent.serve.server import Server
from lamplighter_protocol.canonical import sha256
from lamplighter_server.cli.api import MAX_ANSWER_BYTES, Api
from lamplighter_server.doors import MAX_DEVICE_BODY_BYTES
from lamplighter_server.publishing.case import read_case
from lamplighter_server.publishing.exchange import fetch, read_server_keys

Code = Callable[[httpx.Response], str]
INFER = "/v2/models/digits/infer"
UNPACKED_BYTES = 100_000_000
BOMB = gzip.compress(b" " * UNPACKED_BYTES)


@pytest.fixture
async def board() -> AsyncIterator[httpx.AsyncClient]:
    """A worker's server; nothing hostile ever reaches its model."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(DeviceApi(FakeRelease(make_manifest())), [listening])
        await server.serve()
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            yield client
        await server.close()


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

    with contextlib.suppress(httpx.TransportError):  # it is cut off, or hears that it was refused
        answer = await board.post(INFER, content=endless())
        assert (answer.status_code, refusal(answer)) == (413, "MESSAGE_TOO_LARGE")
    assert (await board.get("/v2/health/live")).status_code == 200
    in_buffers = 16 * 1024 * 1024
    assert sent <= MAX_BODY_BYTES + MAX_DROPPED_BYTES + in_buffers


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


class Stolen(http.server.ThreadingHTTPServer):
    """A server that answers everything with the same bytes, as gzip if they are a bomb."""

    answer = b""


class Answering(http.server.BaseHTTPRequestHandler):
    server: Stolen

    def do_GET(self) -> None:
        self.send_response(200)
        if self.server.answer == BOMB:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with contextlib.suppress(OSError):  # the caller had enough
            self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def stolen() -> Iterator[Stolen]:
    server = Stolen(("127.0.0.1", 0), Answering)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


def test_an_answer_that_fills_the_signers_memory(stolen: Stolen) -> None:
    stolen.answer = BOMB
    assert len(BOMB) < MAX_ANSWER_BYTES < UNPACKED_BYTES
    with Api(f"http://127.0.0.1:{stolen.server_port}") as api, refused("MESSAGE_TOO_LARGE"):
        fetch(api)


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[" * 9999, b"[]", b"{}", b'"x"', b"\xff"])
def test_an_answer_that_the_signer_cannot_read(stolen: Stolen, answer: bytes) -> None:
    stolen.answer = answer
    with Api(f"http://127.0.0.1:{stolen.server_port}") as api, refused("MESSAGE_MALFORMED"):
        read_server_keys(api)


def test_a_zip_bomb_in_a_carried_case(tmp_path: Path) -> None:
    bomb = b"0" * 10_000_000

    def write(archive: zipfile.ZipFile) -> None:
        archive.writestr(f"files/{sha256(bomb)}", bomb)

    path = made(tmp_path / "x.case", write, zipfile.ZIP_DEFLATED)
    with refused("MESSAGE_MALFORMED"):
        read_case(path)
