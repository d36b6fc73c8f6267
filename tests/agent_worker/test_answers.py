from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.agent_worker.small_release import Bundle

from lamplighter_agent.observe.answers import AnswerReader
from lamplighter_protocol.errors import LamplighterError

Tensors = dict[str, npt.NDArray[Any]]


def outputs(**fields: npt.NDArray[Any]) -> Tensors:
    probabilities = np.full((3, 10), 0.05, dtype=np.float32)
    probabilities[:, 4] = 0.55
    return {"label": np.array([4, 4, 0]), "probabilities": probabilities, **fields}


def test_the_answered_label_is_read_even_if_another_is_more_probable(bundle: Bundle) -> None:
    answers = AnswerReader(bundle.manifest).read(outputs(), 3)
    assert answers.classes == [4, 4, 0]
    assert answers.probabilities.shape == (3, 10)


@pytest.mark.parametrize(
    "broken",
    [
        {"label": np.array([4, 4, 10])},
        {"label": np.array([4, 4, -1])},
        {"label": np.array([4, 4])},
        {"label": np.array(4)},
        {"label": np.array([4, 4, 0], dtype=np.int32)},
        {"label": np.array([[4, 4], [4, 4], [4, 4]])},
        {"probabilities": np.zeros((3, 9), dtype=np.float32)},
        {"probabilities": np.zeros((2, 10), dtype=np.float32)},
        {"probabilities": np.zeros(3, dtype=np.float32)},
        {"probabilities": np.zeros((3, 10), dtype=np.float16)},
        {"probabilities": np.full((3, 10), np.nan, dtype=np.float32)},
        {"probabilities": np.full((3, 10), np.inf, dtype=np.float32)},
    ],
)
def test_answers_that_are_not_as_signed_are_failures(bundle: Bundle, broken: Tensors) -> None:
    with pytest.raises(LamplighterError) as refused:
        AnswerReader(bundle.manifest).read(outputs(**broken), 3)
    assert refused.value.code == "INFERENCE_FAILED"


@pytest.mark.parametrize("missing", ["label", "probabilities"])
def test_a_missing_output_is_a_failure(bundle: Bundle, missing: str) -> None:
    found = outputs()
    del found[missing]
    with pytest.raises(LamplighterError, match="INFERENCE_FAILED"):
        AnswerReader(bundle.manifest).read(found, 3)
