import numpy as np
import pytest

from lamplighter_converters.parity import compare, require
from lamplighter_protocol.errors import LamplighterError

LABELS = np.array([0, 1, 1, 2])
PROBABILITIES = np.eye(3)[LABELS]


def test_flips_are_counted_by_the_estimators_label() -> None:
    answered = np.array([0, 1, 2, 2])
    found = compare(
        "v", labels=answered, probabilities=PROBABILITIES * 0.9, reference=(LABELS, PROBABILITIES)
    )
    assert (found.rows, found.agreement, found.flips) == (4, 0.75, {"1": 1})
    assert found.max_abs_difference == pytest.approx(0.1)
    require(found, min_agreement=0.75, max_abs_difference=0.2)
    with pytest.raises(LamplighterError, match="75.00%") as refused:
        require(found, min_agreement=0.76, max_abs_difference=0.2)
    assert refused.value.code == "PARITY_REFUSED"


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        (LABELS[:3], PROBABILITIES[:3]),
        (LABELS, PROBABILITIES[:, :2]),
        (LABELS, np.full((4, 3), np.nan)),
        (LABELS[:0], PROBABILITIES[:0]),
    ],
)
def test_other_shapes_and_values_that_are_not_finite_are_refused(
    labels: np.ndarray, probabilities: np.ndarray
) -> None:
    with pytest.raises(LamplighterError, match="PARITY_REFUSED"):
        compare("v", labels=labels, probabilities=probabilities, reference=(LABELS, PROBABILITIES))
