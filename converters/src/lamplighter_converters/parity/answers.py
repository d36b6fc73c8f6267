"""Answers to the same rows, from an estimator and from a graph, in one form."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from lamplighter_converters.estimators.task import LABEL, METHODS, OUTPUTS, Task, task_of

Array = npt.NDArray[Any]


class Answers(msgspec.Struct, frozen=True):
    """What was answered to n rows."""

    numbers: Array
    """Probabilities, scores, distances or values, shape (n, k)."""
    labels: Array | None = None
    """Whole numbers, shape (n,); None for a regression."""


def ask_estimator(estimator: BaseEstimator, rows: Any) -> Answers:  # noqa: ANN401 - or a frame
    """What a fitted estimator answers; labels that are text by their position in `classes_`.

    Raises:
        LamplighterError: CONVERSION_REFUSED if it answers nothing that we serve.
    """
    task = task_of(estimator)
    with threadpool_limits(limits=1):  # with more threads, BLAS may add in another order
        numbers = np.asarray(getattr(estimator, METHODS[task])(rows), np.float64)
        labels = None if LABEL not in OUTPUTS[task] else np.asarray(estimator.predict(rows))
    if labels is not None and labels.dtype.kind in "OUS":
        labels = np.searchsorted(estimator.classes_, labels)
    return Answers(numbers.reshape(len(numbers), -1), labels)


def read_answers(task: Task, outputs: dict[str, Array]) -> Answers:
    """A graph's outputs as answers.

    For two classes some graphs give both scores, -s and s, where the estimator gives s.
    """
    names = OUTPUTS[task]
    numbers = np.asarray(outputs[names[-1]], np.float64)
    if task == "decision" and numbers.shape[1:] == (2,):
        numbers = numbers[:, 1:]
    return Answers(numbers, outputs[LABEL] if LABEL in names else None)
