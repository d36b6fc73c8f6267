"""Updates that come on a stick: the same verdicts as over the broker, and hostile files."""

import asyncio
import struct
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.app.test_supervisor import DEVICE_KEY, KEY, Board, bundle
from tests.agent.cloud import DEVICE, FLEET
from tests.agent.recorder import TOPICS, Recorder

from lamplighter_agent.app.carrier import hand_in
from lamplighter_agent.app.cli import main
from lamplighter_agent.app.supervisor import Supervisor
from lamplighter_agent.core.update import State
from lamplighter_agent.store.carried import CarriedFile
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics

DESIRED = TOPICS.device(DEVICE, "desired")
CHUNK = TOPICS.chunk("a" * 64, 0)


@pytest.fixture
def server() -> Recorder:
    return Recorder(DEVICE_KEY.public_key(), KEY)


@pytest.fixture
def board(tmp_path: Path, free_port: Callable[[], int], server: Recorder) -> Board:
    """A board that no broker answers."""
    return Board(tmp_path / "data", free_port(), server.repository.root_bytes)


@pytest.fixture(name="supervisor")
async def _supervisor(board: Board) -> AsyncIterator[Supervisor]:
    async with board.running() as supervisor:
        yield supervisor


def carry(board: Board, file: Path) -> None:
    assert main(["apply", "--data-dir", str(board.data), str(file)]) == 0


async def until(board: Board, release: int, phase: State) -> None:
    def is_there() -> bool:
        attempts = [item.attempt for item in board.status().models]
        return any(one and (one.release, one.phase) == (release, phase) for one in attempts)

    async def wait() -> None:
        while not ((board.data / "status.json").exists() and is_there()):
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait(), 20)


async def problem(board: Board, code: str) -> None:
    while (told := board.status().problem) is None or told.code != code:
        await asyncio.sleep(0.05)


async def settled(board: Board) -> None:
    async def wait() -> None:
        while (board.data / "carried.lamp").exists():
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait(), 20)


async def test_a_board_without_a_network_is_updated_and_commits(
    board: Board, server: Recorder, supervisor: Supervisor, tmp_path: Path
) -> None:
    manifest, files = bundle(1, {})
    server.assign(1, (server.add(manifest, files), manifest))
    stick = tmp_path / "stick"
    stick.mkdir()
    server.write(stick / f"{DEVICE}.lamp")
    carry(board, stick)
    await until(board, 1, "committed")
    assert not board.status().connected
    assert await board.ask() == 1
    await settled(board)
    manifest, files = bundle(2, {})
    server.assign(2, (server.add(manifest, files), manifest))
    carry(board, server.write(tmp_path / "second.lamp"))
    await until(board, 2, "committed")
    assert await board.ask() == 2


async def test_an_agent_that_runs_takes_a_file_up_at_once(
    board: Board, server: Recorder, tmp_path: Path
) -> None:
    manifest, files = bundle(1, {})
    server.assign(1, (server.add(manifest, files), manifest))
    file = server.write(tmp_path / "x.lamp")
    async with board.running(reconcile_interval_s=3600):
        while not (board.data / "run/agent.bell").exists():
            await asyncio.sleep(0.02)
        carry(board, file)
        await until(board, 1, "committed")
        await settled(board)


async def test_what_is_carried_is_judged_as_what_is_sent(
    board: Board, server: Recorder, supervisor: Supervisor, tmp_path: Path
) -> None:
    manifest, files = bundle(1, {})
    raw = server.add(manifest, files, sign=False)
    server.publish_trust()
    server.assign(1, (raw, manifest))
    carry(board, server.write(tmp_path / "unsigned.lamp"))
    await until(board, 1, "failed")
    attempt = board.status().models[0].attempt
    assert attempt is not None
    assert attempt.failure is not None
    assert attempt.failure.code == "TRUST_REFUSED"
    await settled(board)


async def test_a_changed_chunk_is_refused_and_a_forged_assignment_too(
    board: Board, server: Recorder, supervisor: Supervisor, tmp_path: Path
) -> None:
    manifest, files = bundle(1, {})
    server.assign(1, (server.add(manifest, files), manifest))
    digest = sha256(files["model.onnx"])
    server._blobs[digest][0] = b"\0" * len(server._blobs[digest][0])
    carry(board, server.write(tmp_path / "changed.lamp"))
    await until(board, 1, "fetching")

    await asyncio.wait_for(problem(board, "CHUNK_REFUSED"), 20)
    server.messages[DESIRED] = server.messages[DESIRED][:-40] + b"A" * 38 + b'"}'
    carry(board, server.write(tmp_path / "forged.lamp"))
    await asyncio.wait_for(problem(board, "MESSAGE_MALFORMED"), 20)


async def test_an_update_goes_on_after_a_restart(
    board: Board, server: Recorder, tmp_path: Path
) -> None:
    manifest, files = bundle(1, {})
    server.assign(1, (server.add(manifest, files), manifest))
    async with board.running():
        pass
    carry(board, server.write(tmp_path / "x.lamp"))
    async with board.running():
        await asyncio.sleep(0.1)
    async with board.running():
        await until(board, 1, "committed")


def pack(place: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], kind: int = 0) -> Path:
    with zipfile.ZipFile(place, "w", kind) as archive:
        for name, raw in entries:
            archive.writestr(name, raw)
    return place


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


def grown(place: Path) -> Path:
    """Its directory says that the entry is larger than it is."""
    raw = bytearray(pack(place, (CHUNK, b"small")).read_bytes())
    at = raw.index(b"PK\x01\x02")
    struct.pack_into("<II", raw, at + 20, 4_000_000, 4_000_000)
    place.write_bytes(raw)
    return place


def encrypted(place: Path) -> Path:
    raw = bytearray(pack(place, (CHUNK, b"small")).read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    place.write_bytes(raw)
    return place


def flipped(place: Path) -> Path:
    raw = pack(place, (CHUNK, b"payload")).read_bytes()
    place.write_bytes(raw.replace(b"payload", b"Payload", 1))
    return place


def twice(place: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate"):
        return pack(place, (CHUNK, b"one"), (CHUNK, b"two"))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda at: pack(at, ("../../etc/passwd", b"x")), "CARRIED_REFUSED"),
        (lambda at: pack(at, ("/etc/passwd", b"x")), "CARRIED_REFUSED"),
        (lambda at: pack(at, (f"lamp/1/{FLEET}/trust/../x", b"x")), "CARRIED_REFUSED"),
        (lambda at: pack(at, (TOPICS.device(DEVICE, "ack"), b"x")), "CARRIED_REFUSED"),
        (lambda at: pack(at, (f"lamp/1/{FLEET}/blob/", b"")), "CARRIED_REFUSED"),
        (lambda at: pack(at, (link(CHUNK), b"/etc/shadow")), "CARRIED_REFUSED"),
        (lambda at: pack(at, (CHUNK, b"\0" * 10**7), kind=8), "CARRIED_REFUSED"),
        (lambda at: pack(at, (CHUNK, b"\0" * 100), kind=8), "CARRIED_REFUSED"),
        (lambda at: pack(at, (TOPICS.trust("x.json"), b"\0" * 5_000_001)), "CARRIED_REFUSED"),
        (twice, "CARRIED_REFUSED"),
        (grown, "CARRIED_REFUSED"),
        (encrypted, "CARRIED_REFUSED"),
        (flipped, "CARRIED_DAMAGED"),
        (lambda at: pack(at, (TOPICS.device("pi-2", "desired"), b"x")), "ASSIGNMENT_FOREIGN"),
        (lambda at: pack(at, (Topics("b").device(DEVICE, "desired"), b"")), "ASSIGNMENT_FOREIGN"),
        (lambda at: at.parent / "nowhere", "NOT_FOUND"),
        (lambda at: at.parent, "NOT_FOUND"),
    ],
)
def test_hostile_files_are_refused(
    board: Board, tmp_path: Path, make: Callable[[Path], Path], code: str
) -> None:
    destination = board.data / "carried.lamp"
    with pytest.raises(LamplighterError) as refused:
        hand_in(make(tmp_path / "x.lamp"), destination, board.identity.enrolment)
    assert refused.value.code == code
    assert not destination.exists()


@given(cut=st.integers(0, 400), data=st.data())
def test_a_file_that_is_cut_short_or_changed_anywhere_ends_in_an_expected_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("stick") / "x.lamp"
    raw = bytearray(pack(place, (DESIRED, b"envelope"), (CHUNK, b"chunk")).read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(0, 255))
    place.write_bytes(raw[: len(raw) - cut])
    try:
        carried = CarriedFile(place, TOPICS, DEVICE)
    except LamplighterError:
        return
    try:
        for name in carried.names:
            assert carried.read(name) in {b"envelope", b"chunk"}
    except LamplighterError as error:
        assert error.code == "CARRIED_DAMAGED"  # noqa: PT017 - either is right
    finally:
        carried.close()


async def test_a_file_that_is_put_there_by_other_hands_is_refused_and_removed(
    board: Board, supervisor: Supervisor
) -> None:
    (board.data / "carried.lamp").write_bytes(b"no archive")
    await settled(board)
    await asyncio.wait_for(problem(board, "CARRIED_DAMAGED"), 20)
