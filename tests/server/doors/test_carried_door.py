"""What the server packs for a board without a network, read as that board reads it."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.server.doors.conftest import Offline, file_content
from tests.server.doors.test_provenance_door import Board

from lamplighter_agent.store.carried import CarriedFile
from lamplighter_protocol.blobs import describe
from lamplighter_server.assignments import service as assignments
from lamplighter_server.context import Context
from lamplighter_server.trust import service as trust

Code = Callable[[httpx.Response], str]
PATH = "/api/v1/devices/cam-1/carried"


@pytest.fixture(name="board")
async def _board(
    server: Context, people: httpx.AsyncClient, door: httpx.AsyncClient, offline: Offline
) -> Board:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    board = Board(server)
    await board.enrol(people, door)
    return board


async def test_it_is_what_the_broker_would_send(
    server: Context, people: httpx.AsyncClient, board: Board, tmp_path: Path
) -> None:
    await board.assign(1)
    answer = await people.get(PATH)
    assert answer.status_code == 200, answer.text
    place = tmp_path / "cam-1.lamp"
    place.write_bytes(answer.content)
    carried = CarriedFile(place, server.topics, "cam-1")
    async with server.database.reading() as session:
        published = dict(await trust.published(session))
        row = await assignments.newest(session, "cam-1")
    assert row is not None
    for name, raw in published.items():
        assert carried.read(server.topics.trust(name)) == raw
    assert carried.read(server.topics.device("cam-1", "desired")) == row.envelope
    plain = server.topics.chunk(describe(file_content("model.onnx", 1)).sha256, 0)
    chunks = [name for name in carried.names if "/blob/" in name]
    assert len(chunks) == len(set(chunks)) == 5
    assert plain in chunks
    carried.close()


async def test_nothing_to_carry(people: httpx.AsyncClient, board: Board, code_of: Code) -> None:
    assert code_of(await people.get(PATH)) == "NOT_FOUND"
    assert code_of(await people.get(PATH.replace("cam-1", "cam-2"))) == "DEVICE_UNKNOWN"
    await board.assign(1)
    await people.post("/api/v1/devices/cam-1/revoke", json={"reason": "stolen"})
    assert code_of(await people.get(PATH)) == "DEVICE_REVOKED"
