import pytest
from tests.agent.allowances import Allowances

from lamplighter_agent.app.ways import RETURN_S, Ways
from lamplighter_agent.ports.transport import Allowance, ChunkSink
from lamplighter_agent.store.blobs import BlobStore, PartialBlob
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.errors import LamplighterError


class FakeWay:
    def __init__(self) -> None:
        self.pulls = 0
        self.fails = ""

    async def pull(self, sink: ChunkSink, allowance: Allowance) -> None:
        self.pulls += 1
        if self.fails:
            raise LamplighterError(self.fails, "not here")


class World:
    def __init__(self, sink: PartialBlob) -> None:
        self.usual, self.other = FakeWay(), FakeWay()
        self.told: list[str] = []
        self.now_mono = 1000.0
        self._sink = sink
        self._ways = Ways(
            [self.usual, self.other],
            lambda error: self.told.append(error.code),
            lambda: self.now_mono,
        )

    async def pull(self) -> tuple[int, int]:
        """How often each way was tried."""
        self.usual.pulls = self.other.pulls = 0
        await self._ways.pull(self._sink, Allowances())
        return self.usual.pulls, self.other.pulls


@pytest.fixture
def world(tmp_path: object) -> World:
    sink = BlobStore(tmp_path).partial(describe(b"x"))  # type: ignore[arg-type]
    return World(sink)


async def test_the_usual_way_is_enough(world: World) -> None:
    assert await world.pull() == (1, 0)
    assert world.told == []


async def test_the_other_helps_out_for_a_while_and_then_the_usual_one_is_back(
    world: World,
) -> None:
    world.usual.fails = "FETCH_STALLED"
    assert await world.pull() == (1, 1)
    assert world.told == ["FETCH_STALLED"]
    assert await world.pull() == (0, 1), "not every file waits for the stall"
    world.usual.fails = ""
    world.now_mono += RETURN_S
    assert await world.pull() == (1, 0)


async def test_the_usual_way_helps_out_the_helper(world: World) -> None:
    world.usual.fails = "FETCH_STALLED"
    await world.pull()
    world.usual.fails, world.other.fails = "", "FETCH_REFUSED"
    assert await world.pull() == (1, 1)
    assert await world.pull() == (1, 0)


@pytest.mark.parametrize(
    ("usual", "other", "code"),
    [
        ("FETCH_STALLED", "FETCH_REFUSED", "FETCH_STALLED"),
        ("FETCH_REFUSED", "FETCH_STALLED", "FETCH_STALLED"),
        ("CHUNK_REFUSED", "FETCH_STALLED", "CHUNK_REFUSED"),
        ("FETCH_REFUSED", "FETCH_REFUSED", "FETCH_REFUSED"),
    ],
)
async def test_it_is_permanent_only_if_no_way_may_succeed_later(
    world: World, usual: str, other: str, code: str
) -> None:
    world.usual.fails, world.other.fails = usual, other
    with pytest.raises(LamplighterError, match=code):
        await world.pull()


@pytest.mark.parametrize("code", ["DISK_FULL", "BUDGET_SPENT"])
async def test_what_is_of_this_device_is_tried_no_other_way(world: World, code: str) -> None:
    world.usual.fails = code
    with pytest.raises(LamplighterError, match=code):
        await world.pull()
    assert world.other.pulls == 0
