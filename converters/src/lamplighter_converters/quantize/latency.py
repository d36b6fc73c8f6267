"""How long variants take beside the float model, on a machine that does other things too."""

import time
from collections.abc import Callable, Mapping
from typing import Final

Ask = Callable[[], object]

ROUNDS: Final = 60
_ROUND_S: Final = 0.001
_MAX_CALLS: Final = 100


def latency_ratios(base: Ask, others: Mapping[str, Ask]) -> dict[str, float]:
    """The shortest round / the shortest round of `base`, by name; below 1 is faster.

    What else the machine does can only lengthen a round: so rounds are shorter than a time slice,
    taken in turns, and the shortest counts.

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
    shortest = {name: min(times[name] for times in rounds) for name in asks}
    return {name: round(shortest[name] / shortest[""], 3) for name in others}


def _calls(ask: Ask) -> int:
    return max(1, min(_MAX_CALLS, int(_ROUND_S / max(_time_s(ask, 3), 1e-7))))


def _time_s(ask: Ask, calls: int) -> float:
    started_mono = time.perf_counter()
    for _ in range(calls):
        ask()
    return (time.perf_counter() - started_mono) / calls
