"""Which messages of a stream are stored: exactly once each, in whatever order they arrive."""

from typing import Final, NamedTuple

NOTHING: Final = -1


class Progress(NamedTuple):
    """What is stored of one stream of one device."""

    contiguous: int = NOTHING
    """Every sequence up to here is stored or will never come; -1 before the first."""
    seen: frozenset[int] = frozenset()
    """Sequences stored above `contiguous`."""

    def has(self, sequence: int) -> bool:
        """Whether this message was stored already, or was given up by its sender."""
        return sequence <= self.contiguous or sequence in self.seen

    @property
    def highest(self) -> int:
        """The highest sequence known."""
        return max(self.seen, default=self.contiguous)


def advance(progress: Progress, sequence: int, oldest: int) -> Progress:
    """The progress once the message `sequence` is stored.

    Args:
        progress: The progress before.
        sequence: The message that arrived, perhaps not for the first time.
        oldest: The lowest sequence that its sender still held: what is below never comes.
    """
    seen = progress.seen | {sequence}
    contiguous = max(progress.contiguous, min(oldest, sequence) - 1)
    while contiguous + 1 in seen:
        contiguous += 1
    return Progress(contiguous, frozenset(item for item in seen if item > contiguous))
