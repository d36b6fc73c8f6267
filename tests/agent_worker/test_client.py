import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from tests.agent_worker.installed import install, store
from tests.agent_worker.small_release import MODEL_FILE, Bundle

from lamplighter_agent import client as following
from lamplighter_agent.app.config import DataDir
from lamplighter_agent.app.counts_door import CountsDoor
from lamplighter_agent.client import Client
from lamplighter_agent.ports.handover import REFUSED, TAKEN
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.journal import Journal
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import encode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.telemetry import Window

MODEL = "meter-digits"
Images = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.02)
    monkeypatch.setattr(following, "RETRY_S", 0.1)


@pytest.fixture
def data(tmp_path: Path, bundle: Bundle) -> Path:
    """An agent's data directory whose windows are a second long."""
    install(tmp_path, bundle)
    journal = Journal(DataDir(tmp_path).journal)
    journal._write(window_s=1)
    DataDir(tmp_path).run.mkdir()
    return tmp_path


@pytest.fixture
def client(data: Path) -> Iterator[Client]:
    with Client(data) as client:
        yield client


def next_release(bundle: Bundle) -> Bundle:
    manifest = msgspec.structs.replace(bundle.manifest, release=bundle.manifest.release + 1)
    return Bundle(manifest, encode_manifest(manifest), bundle.files)


def until(condition: Callable[[], bool]) -> None:
    end_mono = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_mono, "it did not happen"
        time.sleep(0.01)


class Agent:
    """As much of a supervisor as takes counts."""

    def __init__(self, data: Path) -> None:
        self.windows: list[Window] = []
        paths = DataDir(data)
        self.door = CountsDoor(
            paths.counts,
            Journal(paths.journal),
            BlobStore(paths.blobs),
            self.windows.append,
            lambda: datetime.now(timezone.utc),
        )

    @property
    def rows(self) -> int:
        return sum(window.counts.rows for window in self.windows)

    async def until_rows(self, rows: int) -> None:
        async def wait() -> None:
            while self.rows < rows:
                await asyncio.sleep(0.01)

        await asyncio.wait_for(wait(), 10)
        assert self.rows == rows


@pytest.fixture
async def agent(data: Path) -> AsyncIterator[Agent]:
    agent = Agent(data)
    serving = asyncio.create_task(agent.door.run())
    await asyncio.sleep(0.05)
    yield agent
    serving.cancel()


async def test_answers_are_counted_and_handed_over(
    agent: Agent, client: Client, images: Images
) -> None:
    outputs = client.infer(MODEL, {"image": images[:7]})
    assert outputs["probabilities"].shape == (7, 10)
    client.infer(MODEL, {"image": images[:5]})
    await agent.until_rows(12)
    assert sum(sum(window.counts.latency) for window in agent.windows) == 2
    window = agent.windows[0]
    assert (window.model, window.release, window.mode, window.length_s) == (MODEL, 1, "active", 1)
    assert timedelta(0) <= datetime.now(timezone.utc) - window.start_utc < timedelta(seconds=10)


async def test_leaving_hands_over_the_rest(agent: Agent, data: Path, images: Images) -> None:
    with Client(data) as client:
        client.infer(MODEL, {"image": images[:3]})
        await asyncio.to_thread(client.__exit__, None, None, None)
    await agent.until_rows(3)


async def test_counts_wait_for_an_agent_that_is_down(
    data: Path, client: Client, images: Images
) -> None:
    for _ in range(3):
        client.infer(MODEL, {"image": images[:2]})
        await asyncio.sleep(0.2)
    await asyncio.to_thread(until, lambda: bool(client._handing._kept))
    agent = Agent(data)
    serving = asyncio.create_task(agent.door.run())
    client.infer(MODEL, {"image": images[:1]})
    await agent.until_rows(7)
    serving.cancel()


def test_a_new_release_takes_over_between_calls(
    client: Client, data: Path, bundle: Bundle, images: Images
) -> None:
    assert client.release(MODEL) == 1
    stop, failures, releases = threading.Event(), [], set()

    def ask() -> None:
        while not stop.is_set():
            try:
                client.infer(MODEL, {"image": images[:1]})
                releases.add(client.release(MODEL))
            except LamplighterError as error:
                failures.append(error)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    install(data, next_release(bundle))
    until(lambda: client.release(MODEL) == 2)
    install(data, bundle)  # and back, as after a rollback
    until(lambda: client.release(MODEL) == 1)
    stop.set()
    for thread in asking:
        thread.join()
    assert (failures, releases) == ([], {1, 2})


def test_a_damaged_release_does_not_take_over_until_it_is_whole(
    client: Client, data: Path, bundle: Bundle, images: Images
) -> None:
    client.infer(MODEL, {"image": images[:1]})
    newer = next_release(bundle)
    store(data, newer)
    path = DataDir(data).blobs / "sha256" / sha256(newer.manifest_raw)
    whole = path.read_bytes()
    install(data, newer)
    path.write_bytes(whole + b" ")
    until(lambda: MODEL in client._retry_mono or client.release(MODEL) == 2)
    path.write_bytes(whole)
    client.infer(MODEL, {"image": images[:1]})
    until(lambda: client.release(MODEL) == 2)


def test_a_release_that_answers_otherwise_here_is_refused(data: Path, bundle: Bundle) -> None:
    torn = {**bundle.files, "golden.npz": bundle.files["golden.npz"][:-100]}
    manifest = msgspec.structs.replace(
        bundle.manifest, files={name: describe(raw) for name, raw in torn.items()}
    )
    install(data, Bundle(manifest, encode_manifest(manifest), torn))
    with Client(data) as client, pytest.raises(LamplighterError, match="GOLDEN_MISMATCH"):
        client.release(MODEL)


def test_what_the_agent_removes_is_not_found(
    client: Client, data: Path, images: Images, bundle: Bundle
) -> None:
    with pytest.raises(LamplighterError, match="NOT_FOUND"):
        client.infer("other", {"image": images[:1]})
    client.infer(MODEL, {"image": images[:1]})
    Journal(DataDir(data).journal).forget_model(MODEL)

    def is_gone() -> bool:
        try:
            client.infer(MODEL, {"image": images[:1]})
        except LamplighterError as error:
            return error.code == "NOT_FOUND"
        return False

    until(is_gone)
    install(data, bundle)
    client.infer(MODEL, {"image": images[:1]})


def test_a_journal_that_is_lost_changes_nothing(client: Client, data: Path, images: Images) -> None:
    client.infer(MODEL, {"image": images[:1]})
    DataDir(data).journal.write_bytes(b"{torn")
    time.sleep(0.1)
    client.infer(MODEL, {"image": images[:1]})
    DataDir(data).journal.unlink()
    time.sleep(0.1)
    client.infer(MODEL, {"image": images[:1]})


def test_without_an_agent_there_is_nothing(tmp_path: Path, images: Images) -> None:
    with Client(tmp_path) as client, pytest.raises(LamplighterError, match="NOT_FOUND"):
        client.infer(MODEL, {"image": images[:1]})


def test_a_missing_file_is_refused_at_the_first_call(
    client: Client, data: Path, bundle: Bundle
) -> None:
    (DataDir(data).blobs / "sha256" / sha256(bundle.files[MODEL_FILE])).unlink()
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        client.release(MODEL)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"image": [[0.0] * 64]},
        {"image": np.zeros((1, 64))},
        {"image": np.zeros((1, 63), np.float32)},
        {"image": np.zeros(64, np.float32)},
        {"image": np.zeros((0, 64), np.float32)},
        {"image": np.zeros((1, 64), np.float32), "more": np.zeros((1, 64), np.float32)},
    ],
)
async def test_what_the_model_does_not_take_is_refused_and_not_counted(
    client: Client, inputs: dict[str, Images]
) -> None:
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        client.infer(MODEL, inputs)
    assert client._residents[MODEL].take().requests == 0


def test_a_caller_may_use_its_arrays_again(client: Client, images: Images) -> None:
    image = images[:1].copy()
    before = client.infer(MODEL, {"image": image})
    image[:] = np.nan
    before["probabilities"][:] = np.nan
    counts = client._residents[MODEL].take()
    assert all(slots[-1] == 0 for slots in counts.columns.values())
    assert counts.rows == 1


async def test_the_agent_takes_only_what_fits_a_release(
    agent: Agent, data: Path, bundle: Bundle
) -> None:
    window = Window(
        model=MODEL,
        release=1,
        variant="onnx-fp32",
        mode="active",
        start_utc=datetime.now(timezone.utc),
        length_s=1,
        clock_synchronised=True,
        counts=Counts.zero(bundle.manifest),
    )
    shapeless = msgspec.structs.replace(window.counts, columns={})
    hostile = [
        msgspec.structs.replace(window, model="other"),
        msgspec.structs.replace(window, release=2),
        msgspec.structs.replace(window, variant="onnx-int8"),
        msgspec.structs.replace(window, mode="shadow"),
        msgspec.structs.replace(window, counts=shapeless),
        msgspec.structs.replace(window, start_utc=window.start_utc + timedelta(hours=1)),
    ]
    lines = [b"{", b"[" * 9999, b"\xff", *map(msgspec.json.encode, hostile)]
    reader, writer = await asyncio.open_unix_connection(DataDir(data).counts)
    for line in lines:
        writer.write(line + b"\n")
        assert await asyncio.wait_for(reader.readline(), 5) == REFUSED
    writer.write(msgspec.json.encode(window) + b"\n")
    assert await asyncio.wait_for(reader.readline(), 5) == TAKEN
    assert len(agent.windows) == 1
    writer.write(b" " * 2**21)
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
