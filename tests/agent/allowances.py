"""How much tests let come."""

from collections.abc import Callable, Iterable

from lamplighter_protocol.errors import LamplighterError


class Allowances:
    """Lets everything come, after `waits`, until `most_bytes` have come; notes what was asked."""

    def __init__(self, waits: Iterable[float] = (), most_bytes: int = 2**60) -> None:
        self._waits = iter(waits)
        self._most_bytes = most_bytes
        self.admitted: list[int] = []
        self.arrived_bytes = 0
        self.on_admit: Callable[[], None] = lambda: None

    def admit(self, size_bytes: int) -> float:
        self.on_admit()
        if self.arrived_bytes >= self._most_bytes:
            raise LamplighterError("BUDGET_SPENT", "All is spent.", retry_after_s=60)
        if wait_s := next(self._waits, 0.0):
            return wait_s
        self.admitted.append(size_bytes)
        return 0.0

    def arrived(self, size_bytes: int) -> None:
        self.arrived_bytes += size_bytes
