"""What feeding asks of sources and sinks: an installed package may bring its own.

A package names them in the entry points `lamplighter_agent.sources` and `lamplighter_agent.sinks`.
Each is a callable that takes the keys of its `[[source]]` or `[[sink]]` table, without those that
every table has, and raises ValueError if they are not right. They run in a process of their own, a
source and its sinks in one thread, and may block.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from lamplighter_agent.ports.session import Array

#: Values for the only input of a model, or arrays by its inputs' names.
Content = Array | Mapping[str, Array]


class Item(NamedTuple):
    """Something to ask a model.

    Attributes:
        key: Names it in the result, and to its source.
        read: Gives its content; raises ValueError or OSError if it has none.
    """

    key: str
    read: Callable[[], Content]


class Source(Protocol):
    """Where questions come from."""

    def items(self) -> Iterator[Item]:
        """Wait for items and yield them, without end.

        Raises:
            OSError: It cannot be read now; it is opened anew after a pause.
        """

    def done(self, item: Item, *, ok: bool) -> None:
        """Take note, durably, that an item's result has reached every sink.

        An item that was not done when the process ended is yielded again by the next one.

        Args:
            item: The item yielded last.
            ok: Whether the model has answered; otherwise it never will.
        """


class Sink(Protocol):
    """Where results go."""

    def put(self, result: Mapping[str, Any]) -> None:
        """Take a result: JSON values; `key` names it, if it should come twice.

        Raises:
            OSError: It cannot be taken now; it is offered again after a pause.
        """
