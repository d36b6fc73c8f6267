import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_converters.parity.answers import Answers
from lamplighter_converters.parity.compare import Tolerance, compare, require
from lamplighter_protocol.errors import LamplighterError

LABELS = np.array([0, 1, 1, 2])
PROBABILITIES = np.eye(3)[LABELS]
WANTED = Answers(PROBABILITIES, LABELS)


def test_flips_are_counted_by_the_estimators_label_and_the_worst_rows_kept() -> None:
    answered = Answers(PROBABILITIES * np.array([[0.9], [1], [0.5], [1]]), np.array([0, 1, 2, 2]))
    found = compare("v", answered, WANTED)
    assert (found.rows, found.agreement, found.flips) == (4, 0.75, {"1": 1})
    assert found.max_error == pytest.approx(0.5)
    assert [row.row for row in found.worst] == [2, 0]
    assert require(found, Tolerance(min_agreement=0.75, max_error=0.5)) is found


@pytest.mark.parametrize(
    ("agreement", "error", "sentence"),
    [(0.76, 1.0, "75.00%"), (0.7, 0.4, "differs by 0.5 on row 2")],
)
def test_more_than_declared_is_refused(agreement: float, error: float, sentence: str) -> None:
    answered = Answers(PROBABILITIES * np.array([[0.9], [1], [0.5], [1]]), np.array([0, 1, 2, 2]))
    with pytest.raises(LamplighterError, match=sentence) as refused:
        require(compare("v", answered, WANTED), Tolerance(min_agreement=agreement, max_error=error))
    assert refused.value.code == "PARITY_REFUSED"


@pytest.mark.parametrize(
    "answered",
    [
        Answers(PROBABILITIES[:3], LABELS[:3]),
        Answers(PROBABILITIES[:, :2], LABELS),
        Answers(np.full((4, 3), np.nan), LABELS),
        Answers(PROBABILITIES),
    ],
    ids=["fewer rows", "fewer classes", "not finite", "no labels"],
)
def test_other_shapes_and_values_that_are_not_finite_are_refused(answered: Answers) -> None:
    with pytest.raises(LamplighterError, match="PARITY_REFUSED"):
        compare("v", answered, WANTED)


def test_no_rows_prove_nothing() -> None:
    none = Answers(PROBABILITIES[:0], LABELS[:0])
    with pytest.raises(LamplighterError, match="PARITY_REFUSED"):
        compare("v", none, none)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
)
def test_agreement_of_values_is_the_share_of_variance_explained(
    left: list[float], right: list[float]
) -> None:
    rows = min(len(left), len(right))
    wanted, answered = (np.array(values[:rows]).reshape(-1, 1) for values in (left, right))
    found = compare("v", Answers(answered), Answers(wanted))
    assert 0 <= found.agreement <= 1
    assert (found.agreement == 1) >= (answered == wanted).all()
    assert compare("v", Answers(wanted), Answers(wanted)).max_error == 0


def test_large_values_are_compared_by_their_share_and_small_ones_as_they_are() -> None:
    wanted, answered = Answers(np.array([[1000.0], [0.0]])), Answers(np.array([[1001.0], [0.01]]))
    assert compare("v", answered, wanted).max_error == pytest.approx(0.01)
