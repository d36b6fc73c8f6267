from functools import reduce

import msgspec
import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from tests.agent_worker.small_release import Bundle

from lamplighter_agent.observe.answers import Answers
from lamplighter_agent.observe.counting import MAX_WAITING_BATCHES, MAX_WAITING_BYTES, Counting
from lamplighter_protocol.bundle import Column
from lamplighter_protocol.counts import Counts


def answers(size: int) -> Answers:
    return Answers([at % 10 for at in range(size)], np.full((size, 10), 0.82, dtype=np.float32))


@given(sizes=st.lists(st.integers(1, 30), max_size=8), take_after=st.sets(st.integers(0, 7)))
def test_what_is_taken_adds_up_to_the_total(
    bundle: Bundle, images: npt.NDArray[np.float32], sizes: list[int], take_after: set[int]
) -> None:
    counting = Counting(bundle.manifest)
    at_once = Counting(bundle.manifest)
    taken = [Counts.zero(bundle.manifest)]
    for number, size in enumerate(sizes):
        batch = {"image": images[number * 30 : number * 30 + size]}
        counting.answered(batch, answers(size), 0.001)
        at_once.answered(batch, answers(size), 0.001)
        if number in take_after:
            taken.append(counting.take())
    taken.append(counting.take())
    assert reduce(Counts.merge, taken) == counting.total() == at_once.take()
    assert counting.total().rows == sum(sizes)


def test_missing_values_are_counted_as_null_and_failures_by_code(bundle: Bundle) -> None:
    counting = Counting(bundle.manifest)
    counting.answered({"image": np.full((2, 64), np.nan, dtype=np.float32)}, answers(2), 0.001)
    counting.failed("INFERENCE_FAILED")
    counts = counting.take()
    assert all(slots[-1] == 2 for slots in counts.columns.values())
    assert counts.errors == {"INFERENCE_FAILED": 1}
    assert counts.requests == 2


def test_infinite_pixels_are_counted_without_a_warning(bundle: Bundle) -> None:
    counting = Counting(bundle.manifest)
    batch = np.full((2, 64), np.inf, dtype=np.float32)
    batch[1, ::2] = -np.inf
    counting.answered({"image": batch}, answers(2), 0.001)
    assert all(sum(slots) == 2 for slots in counting.take().columns.values())


def test_the_answered_label_counts_with_its_own_confidence(bundle: Bundle) -> None:
    counting = Counting(bundle.manifest)
    probabilities = np.full((3, 10), 0.5)
    probabilities[[0, 1, 2], [3, 3, 9]] = [0.31, 1.0, 0.0]
    said = Answers([3, 3, 9], probabilities)
    counting.answered({"image": np.zeros((3, 64), dtype=np.float32)}, said, 0.001)
    predictions = counting.take().predictions
    assert [sum(row) for row in predictions] == [0, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    assert (predictions[3][6], predictions[3][-1], predictions[9][0]) == (1, 1, 1)


def test_categories_are_counted_by_name_other_and_null(bundle: Bundle) -> None:
    column = Column(
        name="kind", kind="category", tensor="image", index=0, categories=("1.0", "2.0")
    )
    reference = Counts.zero(bundle.manifest)
    reference.columns = {"kind": [0, 0, 0, 0]}
    manifest = msgspec.structs.replace(bundle.manifest, columns=(column,), reference=reference)
    counting = Counting(manifest)
    batch = np.zeros((4, 64), dtype=np.float32)
    batch[:, 0] = [2, 7, np.nan, 2]
    counting.answered({"image": batch}, answers(4), 0.001)
    assert counting.take().columns == {"kind": [0, 2, 1, 1]}


def test_what_waits_is_bounded(bundle: Bundle) -> None:
    counting = Counting(bundle.manifest)
    batch = {"image": np.zeros((1000, 64), dtype=np.float32)}
    for _ in range(20):
        counting.answered(batch, answers(1000), 0.001)
        assert counting._waiting_bytes < MAX_WAITING_BYTES
    for _ in range(3000):
        counting.answered({"image": batch["image"][:1]}, answers(1), 0.001)
        assert len(counting._waiting) < MAX_WAITING_BATCHES
    assert counting.total().rows == 23_000
