"""Carries items from a source through a model to its sinks, one after the other."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from lamplighter_agent.feed.model import Answer, Refused
from lamplighter_agent.feed.plan import Feed
from lamplighter_agent.ports.feed import Content, Item
from lamplighter_protocol.errors import LamplighterError

_T = TypeVar("_T")
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class Model(Protocol):
    """What is asked; feed.model.ServedModel is one."""

    def ask(self, content: Content) -> Answer:
        """See feed.model."""


class Runner:
    """One feed, in a thread of its own.

    Whatever does not work now is tried again, with growing pauses, and the source waits meanwhile:
    nothing is dropped here, and nothing piles up.

    Args:
        feed: What to carry where.
        model: What to ask.
        tell: Reports what goes wrong, once until it works again.
        pause: Waits so many seconds.
    """

    def __init__(
        self,
        feed: Feed,
        model: Model,
        tell: Callable[[LamplighterError], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._feed = feed
        self._model = model
        self._tell = tell
        self._pause = pause

    def run(self) -> None:
        """Carry items without end."""
        pauses = _pauses()
        while True:
            try:
                for item in self._feed.source.items():
                    self._carry(item)
                    pauses = _pauses()
            except OSError as error:
                self._tell(LamplighterError("SOURCE_FAILED", f"{self._feed.name}: {error}."))
            self._pause(next(pauses))

    def _carry(self, item: Item) -> None:
        result: dict[str, Any] = {
            "key": item.key,
            "source": self._feed.name,
            "model": self._feed.model,
        }
        try:
            content = item.read()
            answer = self._patiently(partial(self._model.ask, content), "model")
            result |= {"release": answer.model_version, "outputs": answer.outputs}
        except (Refused, ValueError, OSError) as error:
            result |= {"error": str(error)}
        result["at_utc"] = datetime.now(timezone.utc).isoformat()
        for name, sink in self._feed.sinks.items():
            self._patiently(partial(sink.put, result), f"sink {name}")
        self._feed.source.done(item, ok="error" not in result)

    def _patiently(self, step: Callable[[], _T], what: str) -> _T:
        """Repeat a step until it succeeds, or never will."""
        for turn, pause_s in enumerate(_pauses()):
            try:
                return step()
            except OSError as error:
                if turn == 0:
                    sentence = f"{self._feed.name} waits for its {what}: {error}."
                    self._tell(LamplighterError("SOURCE_WAITS", sentence))
            self._pause(pause_s)
        raise AssertionError  # pauses have no end


def _pauses() -> Iterator[float]:
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
