"""What a model answered on rows that it has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lamplighter_protocol.errors import LamplighterError

Task = Literal["classification", "regression"]
Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """Answers beside the truth.

    Attributes:
        truth: Shape (n,): positions in `classes`, or numbers for a regression.
        answers: Probabilities of shape (n, classes), each row adding up to 1; or numbers, (n,).
        classes: Names of the classes; empty for a regression.
        groups: What each row belongs to, shape (n,), by the name of the sensitive column.

    Raises:
        LamplighterError: DATA_INVALID if shapes do not fit or a value is not finite.
    """

    truth: Array
    answers: Array
    classes: tuple[str, ...] = ()
    groups: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = len(self.truth)
        wanted = (rows, len(self.classes)) if self.classes else (rows,)
        if not rows or self.truth.shape != (rows,) or self.answers.shape != wanted:
            raise _invalid(f"answers of shape {self.answers.shape} for {rows} rows")
        if not np.isfinite(self.answers).all() or not np.isfinite(self.truth).all():
            raise _invalid("a value is missing or infinite")
        if short := [name for name, values in self.groups.items() if values.shape != (rows,)]:
            raise _invalid(f"column {short[0]!r} has another number of rows")
        if self.classes:
            self._check_classes()

    def _check_classes(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise _invalid("a classification needs two classes with different names")
        if not np.issubdtype(self.truth.dtype, np.integer):
            raise _invalid("the truth of a classification is positions of classes")
        if self.truth.min() < 0 or self.truth.max() >= len(self.classes):
            raise _invalid("a true class is not among the classes")
        sums = self.answers.sum(axis=1)
        if self.answers.min() < 0 or not np.allclose(sums, 1, atol=1e-3):
            raise _invalid("probabilities do not add up to 1")

    @property
    def task(self) -> Task:
        """What the model does."""
        return "classification" if self.classes else "regression"

    @property
    def rows(self) -> int:
        """How many rows were answered."""
        return len(self.truth)

    @property
    def labels(self) -> Codes:
        """The class that the model gives each row: the most probable one."""
        chosen: Codes = self.answers.argmax(axis=1)
        return chosen


def _invalid(what: str) -> LamplighterError:
    return LamplighterError("DATA_INVALID", f"The predictions cannot be judged: {what}.")
