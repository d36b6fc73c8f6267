"""The kinds of values that a configuration file may hold, each with the range that it allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from lamplighter_agent.core.conditions import DailyWindow

KEY: Final = "key"
_T = TypeVar("_T")


class Kind(Protocol):
    """What one key allows."""

    @property
    def allowed(self) -> str:
        """The permitted values, to stand behind "must be"."""

    def read(self, value: object) -> Any:  # noqa: ANN401 - each kind has its own
        """The value as the agent uses it.

        Raises:
            ValueError: It is not allowed.
        """


class Key(NamedTuple):
    """One key of the configuration file."""

    kind: Kind
    meaning: str


def key(default: _T, kind: Kind, meaning: str) -> _T:
    """Declare a field of Settings as a key of the configuration file."""
    declared: _T = field(default=default, metadata={KEY: Key(kind, meaning)})
    return declared


@dataclass(frozen=True)
class Number:
    """A number in a range."""

    low: float
    high: float

    @property
    def allowed(self) -> str:
        """See Kind."""
        return f"a number from {self.low:g} to {self.high:.0f}"

    def read(self, value: object) -> float:
        """See Kind. NaN is in no range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(self.allowed)  # noqa: TRY004 - one error for all that is not allowed
        if not self.low <= value <= self.high:
            raise ValueError(self.allowed)
        return float(value)


@dataclass(frozen=True)
class Whole:
    """A whole number in a range."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        """See Kind."""
        return f"a whole number from {self.low} to {self.high}"

    def read(self, value: object) -> int:
        """See Kind."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(self.allowed)  # noqa: TRY004 - one error for all that is not allowed
        if not self.low <= value <= self.high:
            raise ValueError(self.allowed)
        return value


class Flag:
    """Yes or no."""

    allowed = "true or false"

    def read(self, value: object) -> bool:
        """See Kind."""
        if not isinstance(value, bool):
            raise ValueError(self.allowed)  # noqa: TRY004 - one error for all that is not allowed
        return value


class Text:
    """Any text."""

    allowed = "a text in quotes"

    def read(self, value: object) -> str:
        """See Kind."""
        if not isinstance(value, str):
            raise ValueError(self.allowed)  # noqa: TRY004 - one error for all that is not allowed
        return value


class Choice:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self._words = words

    @property
    def words(self) -> tuple[str, ...]:
        """What can be chosen."""
        return self._words

    @property
    def allowed(self) -> str:
        """See Kind."""
        return "one of " + ", ".join(f'"{word}"' for word in self._words)

    def read(self, value: object) -> str:
        """See Kind."""
        if value not in self._words:
            raise ValueError(self.allowed)
        return str(value)


class Windows:
    """Times of day."""

    allowed = 'a list of times of day, such as ["02:00-04:00", "22:30-01:00"]'

    def read(self, value: object) -> tuple[DailyWindow, ...]:
        """See Kind."""
        if not isinstance(value, list):
            raise ValueError(self.allowed)  # noqa: TRY004 - one error for all that is not allowed
        try:
            return tuple(map(DailyWindow.parse, value))
        except (TypeError, ValueError) as error:
            raise ValueError(self.allowed) from error


class Tables:
    """Tables that somebody else reads."""

    allowed = "tables in double brackets"

    def read(self, value: object) -> tuple[Mapping[str, Any], ...]:
        """See Kind."""
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValueError(self.allowed)
        return tuple(value)
