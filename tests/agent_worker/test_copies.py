"""Copies of requests: their frames, the queue that sends them, and what compares them."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent_worker.small_release import LABELS, Bundle
from tests.agent_worker.test_engine import FakeSession, engine

from lamplighter_agent.app.comparing import Comparing
from lamplighter_agent.ports.session import DATATYPES, Array
from lamplighter_agent.serve import mirroring
from lamplighter_agent.serve.copies import LENGTH, Copy, decode, encode, short_path
from lamplighter_agent.serve.mirroring import MAX_WAITING, Mirroring
from lamplighter_agent.serve.shadow import ShadowServer
from lamplighter_protocol.errors import LamplighterError

IMAGE: Array = np.zeros((2, 64), dtype=np.float32)


@given(
    datatype=st.sampled_from(sorted(DATATYPES)),
    shape=st.lists(st.integers(0, 4), max_size=3),
    labels=st.lists(st.text(max_size=4), max_size=4),
    missed=st.integers(0, 2**40),
)
def test_a_copy_arrives_as_it_was_sent(
    datatype: str, shape: list[int], labels: list[str], missed: int
) -> None:
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    values = numbers.astype(str) if datatype == "BYTES" else numbers
    array = values.astype(DATATYPES[datatype])
    frame = encode({"x": array}, labels, missed)
    (size,) = LENGTH.unpack(frame[: LENGTH.size])
    copy = decode(frame[LENGTH.size :])
    assert size == len(frame) - LENGTH.size
    assert (copy.labels, copy.missed) == (labels, missed)
    found = copy.inputs["x"]
    assert (found.dtype, found.shape, found.tolist()) == (array.dtype, array.shape, array.tolist())


def test_text_travels_too() -> None:
    words = np.array([["a", "ä"], ["", "x" * 300]], dtype=object)
    copy = decode(encode({"words": words}, [], 0)[LENGTH.size :])
    assert copy.inputs["words"].tolist() == words.tolist()


@given(raw=st.binary(max_size=200))
def test_garbage_is_no_copy(raw: bytes) -> None:
    with suppress(LamplighterError):
        assert decode(raw).inputs.keys() == decode(raw).tensors.keys()


@pytest.fixture
def shadow(tmp_path: Path) -> Iterator[tuple[Path, socket.socket]]:
    """Where a shadow would listen, in a folder whose name no socket could bear."""
    path = tmp_path / ("long" * 30) / "copies.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening, short_path(path) as short:
        listening.bind(short)
        listening.listen()
        listening.settimeout(10)
        yield path, listening


def read(connection: socket.socket) -> Copy:
    with connection.makefile("rb") as stream:
        return decode(stream.read(*LENGTH.unpack(stream.read(LENGTH.size))))


def test_requests_are_copied_with_what_was_answered(shadow: tuple[Path, socket.socket]) -> None:
    path, listening = shadow
    mirror = Mirroring(path, LABELS)
    mirror.copy({"image": IMAGE}, [3, 9])
    connection, _ = listening.accept()
    with connection:
        copy = read(connection)
    mirror.close()
    assert (copy.labels, copy.missed, copy.inputs["image"].shape) == (["3", "9"], 0, (2, 64))


def test_what_finds_no_room_is_counted_and_nobody_waits(
    shadow: tuple[Path, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "PAUSE_S", 0.01)
    path, listening = shadow
    large: Array = np.zeros((1, 64 * 1024), dtype=np.float32)
    mirror = Mirroring(path, LABELS)
    sent = 10 * MAX_WAITING
    started_mono = time.monotonic()
    for _ in range(sent):  # nobody reads
        mirror.copy({"image": large}, [1])
    assert time.monotonic() - started_mono < 2
    missed = 0
    connection, _ = listening.accept()
    with connection, connection.makefile("rb") as stream:
        while not missed:  # the next copy tells what was missed
            mirror.copy({"image": IMAGE}, [1, 1])
            missed = decode(stream.read(*LENGTH.unpack(stream.read(LENGTH.size)))).missed
    mirror.close()
    assert missed > sent / 2


def test_a_shadow_that_comes_later_is_found(
    shadow: tuple[Path, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "PAUSE_S", 0.01)
    path, listening = shadow
    mirror = Mirroring(path, LABELS)
    first, _ = listening.accept()
    first.close()
    copies: list[Copy] = []

    def ask_on() -> None:
        while not copies:
            mirror.copy({"image": IMAGE}, [1, 1])
            time.sleep(0.01)

    asking = threading.Thread(target=ask_on)
    asking.start()
    second, _ = listening.accept()
    with second:
        copies.append(read(second))
    asking.join()
    mirror.close()
    assert copies[0].labels == ["1", "1"]


async def test_a_slow_shadow_gives_signs_of_life_between_copies(tmp_path: Path) -> None:
    taken: list[int] = []
    turns: list[int] = []

    def take(copy: Copy) -> None:
        time.sleep(0.01)
        taken.append(copy.missed)

    server = ShadowServer(tmp_path / "copies.sock", take)
    await server.serve()
    _, writer = await asyncio.open_unix_connection(tmp_path / "copies.sock")
    writer.writelines(encode({"image": IMAGE[:1]}, ["1"], number) for number in range(30))
    while len(taken) < 30:
        turns.append(len(taken))
        await asyncio.sleep(0)
    writer.close()
    server.close()
    assert taken == [*range(30)]
    assert len(set(turns)) > 20


def copy_of(inputs: dict[str, Array], labels: list[str], missed: int = 0) -> Copy:
    return decode(encode(inputs, labels, missed)[LENGTH.size :])


def test_answers_are_compared_and_counted(bundle: Bundle) -> None:
    release = engine(bundle, FakeSession(label=3))
    comparing = Comparing(release, release.counting)
    comparing.take(copy_of({"image": IMAGE}, ["3", "4"], missed=7))
    comparing.take(copy_of({"image": IMAGE}, ["3", "3"]))
    counts = release.counting.take()
    assert (counts.compared, counts.disagreed, counts.missed) == (4, 1, 7)
    assert (counts.rows, counts.requests, counts.errors) == (4, 2, {})
    assert release.counting.total().compared == 4


@pytest.mark.parametrize(
    "inputs",
    [
        {"picture": IMAGE},
        {"image": IMAGE.astype(np.float64)},
        {"image": IMAGE[:, :60]},
        {"image": IMAGE[0]},
        {"image": IMAGE, "more": IMAGE},
    ],
)
def test_a_request_of_another_signature_is_an_error_of_the_shadow(
    bundle: Bundle, inputs: dict[str, Array]
) -> None:
    release = engine(bundle, FakeSession())
    Comparing(release, release.counting).take(copy_of(inputs, ["3", "3"], missed=1))
    counts = release.counting.take()
    assert (counts.compared, counts.missed, counts.errors) == (0, 1, {"REQUEST_INVALID": 1})


def test_a_shadow_that_fails_has_compared_nothing(bundle: Bundle) -> None:
    failing: Any = FakeSession(error=LamplighterError("INFERENCE_FAILED", "As it wants."))
    release = engine(bundle, failing)
    Comparing(release, release.counting).take(copy_of({"image": IMAGE}, ["3", "3"]))
    counts = release.counting.take()
    assert (counts.compared, counts.errors) == (0, {"INFERENCE_FAILED": 1})
