from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from lamplighter_agent.feed.model import Answer, Refused
from lamplighter_agent.feed.plan import Feed, Tables, build
from lamplighter_agent.feed.run import FIRST_PAUSE_S, LONGEST_PAUSE_S, Runner
from lamplighter_agent.ports.feed import Content, Item
from lamplighter_protocol.errors import LamplighterError

DONE = [("good", True), ("unreadable", False), ("refused", False)]


class End(Exception):  # noqa: N818 - ends a runner, which never does by itself
    pass


class World:
    """A source, a model and two sinks, each of which fails as often as it is told."""

    def __init__(self, **failures: int) -> None:
        self.failures = {"open": 0, "model": 0, "sink": 0, **failures}
        self.done_keys: list[tuple[str, bool]] = []
        self.results: list[Mapping[str, Any]] = []
        self.told: list[str] = []
        self.pauses: list[float] = []

    def fail(self, what: str) -> None:
        if self.failures[what]:
            self.failures[what] -= 1
            raise OSError(f"{what} does not work now")

    def items(self) -> Iterator[Item]:
        self.fail("open")
        yield Item("good", lambda: np.zeros(1))
        yield Item("unreadable", self.unreadable)
        yield Item("refused", lambda: np.ones(1))
        raise End

    def unreadable(self) -> Content:
        raise ValueError("no rows")

    def done(self, item: Item, *, ok: bool) -> None:
        self.done_keys.append((item.key, ok))

    def ask(self, content: Content) -> Answer:
        self.fail("model")
        if np.asarray(content).any():
            raise Refused("it has another shape")
        return Answer(model_version="3", outputs=[{"name": "y", "data": [1]}])

    def put(self, result: Mapping[str, Any]) -> None:
        self.fail("sink")
        self.results.append(dict(result))

    def tell(self, error: LamplighterError) -> None:
        self.told.append(error.code)

    def run(self) -> None:
        feed = Feed("1-test", "digits", self, {"one": self, "two": self})
        with pytest.raises(End):
            Runner(feed, self, self.tell, self.pauses.append).run()


def test_every_item_reaches_every_sink_and_is_done_then() -> None:
    world = World()
    world.run()
    assert world.done_keys == DONE
    assert [result["key"] for result in world.results] == [
        *("good", "good", "unreadable", "unreadable", "refused", "refused")
    ]
    good, refused = world.results[0], world.results[-1]
    assert (good["release"], good["outputs"]) == ("3", [{"name": "y", "data": [1]}])
    assert (refused["error"], "outputs" in refused) == ("it has another shape", False)
    assert (world.told, world.pauses) == ([], [])


@pytest.mark.parametrize("what", ["model", "sink"])
def test_what_does_not_work_now_is_waited_for_and_told_once(what: str) -> None:
    world = World(**{what: 9})
    world.run()
    assert world.done_keys == DONE
    assert world.told == ["SOURCE_WAITS"]
    assert len(world.pauses) == 9
    assert world.pauses[0] == FIRST_PAUSE_S
    assert max(world.pauses) == LONGEST_PAUSE_S


def test_a_source_that_cannot_be_opened_is_opened_again() -> None:
    world = World(open=3)
    world.run()
    assert world.done_keys == DONE
    assert world.told == ["SOURCE_FAILED"] * 3
    assert world.pauses == [1.0, 2.0, 4.0]


FOLDER = {"kind": "folder", "model": "digits", "path": "/in", "sinks": ["results"]}
FILE = {"kind": "file", "name": "results", "path": "/out.jsonl"}


def test_the_tables_of_all_kinds_are_understood() -> None:
    picture = {"height": 8, "width": 8}
    feeds = build(
        Tables(
            source=[
                FOLDER,
                {"kind": "camera", "model": "m", "picture": picture, "sinks": ["hook", "out"]},
                {"kind": "mqtt", "model": "m", "topic": "in", "client_id": "c", "sinks": ["out"]},
            ],
            sink=[
                FILE,
                {"kind": "webhook", "name": "hook", "url": "http://127.0.0.1/"},
                {"kind": "mqtt", "name": "out", "topic": "out"},
            ],
        )
    )
    assert [feed.name for feed in feeds] == ["1-folder", "2-camera", "3-mqtt"]
    assert [[*feed.sinks] for feed in feeds] == [["results"], ["hook", "out"], ["out"]]


@pytest.mark.parametrize(
    ("source", "sink", "said"),
    [
        ([{**FOLDER, "kind": "fax"}], [FILE], "kind must be one of"),
        ([{**FOLDER, "model": ""}], [FILE], "model is missing"),
        ([{**FOLDER, "sinks": ["nowhere"]}], [FILE], "sinks must be"),
        ([{**FOLDER, "sinks": []}], [FILE], "sinks must be"),
        ([{**FOLDER, "sinks": "results"}], [FILE], "sinks must be"),
        ([{**FOLDER, "sinks": [["results"]]}], [FILE], "sinks must be"),
        ([{**FOLDER, "colour": "red"}], [FILE], "colour"),
        ([FOLDER], [FILE, FILE], "twice"),
        ([FOLDER], [FILE, {"kind": "webhook", "name": "w", "url": "ftp://x"}], "http://"),
        ([FOLDER], [{"kind": "file", "path": "x"}], "name is missing"),
        ([FOLDER], [{**FILE, "max_mb": "much"}], "max_mb"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    source: list[dict[str, Any]], sink: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(LamplighterError, match=said) as refused:
        build(Tables(source=source, sink=sink))
    assert refused.value.code == "SOURCE_INVALID"
