from functools import reduce

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.observe.counting import Counting
from lamplighter_converters.pack import Bundle
from lamplighter_protocol.counts import Counts

SOFT = np.eye(10, dtype=np.float32) * 0.8 + 0.02


@given(sizes=st.lists(st.integers(1, 30), max_size=8), take_after=st.sets(st.integers(0, 7)))
def test_what_is_taken_adds_up_to_the_total(
    bundle: Bundle, images: npt.NDArray[np.float32], sizes: list[int], take_after: set[int]
) -> None:
    counting = Counting(bundle.manifest)
    at_once = Counting(bundle.manifest)
    taken = [Counts.zero(bundle.manifest)]
    for number, size in enumerate(sizes):
        batch = {"image": images[number * 30 : number * 30 + size]}
        answers = SOFT[np.arange(size) % 10]
        counting.answered(batch, answers, 0.001)
        at_once.answered(batch, answers, 0.001)
        if number in take_after:
            taken.append(counting.take())
    taken.append(counting.take())
    assert reduce(Counts.merge, taken) == counting.total() == at_once.take()
    assert counting.total().rows == sum(sizes)


def test_missing_values_are_counted_as_null_and_failures_by_code(bundle: Bundle) -> None:
    counting = Counting(bundle.manifest)
    counting.answered({"image": np.full((2, 64), np.nan, dtype=np.float32)}, SOFT[:2], 0.001)
    counting.failed("INFERENCE_FAILED")
    counts = counting.take()
    assert all(slots[-1] == 2 for slots in counts.columns.values())
    assert counts.errors == {"INFERENCE_FAILED": 1}
    assert counts.requests == 2
