"""How long variants take beside the float model: in turns, so that noise meets all alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

Ask = Callable[[], object]

ROUNDS: Final = 9
_ROUND_S: Final = 0.01


def latency_ratios(base: Ask, others: Mapping[str, Ask]) -> dict[str, float]:
    """The median over rounds of time / time of `base`, by name; below 1 is faster.

    Args:
        base: One inference of the float model.
        others: One inference of each variant.
    """
    asks: dict[str, Ask] = {"": base, **others}
    for ask in asks.values():
        ask()
    calls = {name: _calls(ask) for name, ask in asks.items()}
    rounds = [
        {name: _time_s(ask, calls[name]) for name, ask in asks.items()} for _ in range(ROUNDS)
    ]
    return {name: _median([times[name] / times[""] for times in rounds]) for name in others}


def _calls(ask: Ask) -> int:
    return max(1, min(200, int(_ROUND_S / max(_time_s(ask, 3), 1e-7))))


def _time_s(ask: Ask, calls: int) -> float:
    started_mono = time.perf_counter()
    for _ in range(calls):
        ask()
    return (time.perf_counter() - started_mono) / calls


def _median(ratios: Sequence[float]) -> float:
    return round(statistics.median(ratios), 3)
