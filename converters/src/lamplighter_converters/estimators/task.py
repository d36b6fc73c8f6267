"""What a fitted estimator answers, and under which names."""

from typing import Any, Final, Literal

from sklearn.base import (
    BaseEstimator,
    is_classifier,
    is_clusterer,
    is_outlier_detector,
    is_regressor,
)

from lamplighter_protocol.errors import LamplighterError

Task = Literal["classification", "decision", "regression", "outliers", "clusters"]

LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"
SCORES: Final = "scores"
VALUE: Final = "value"

#: The outputs of the graph by task. All are of shape (n, k) but `label`, of shape (n,).
OUTPUTS: Final[dict[Task, tuple[str, ...]]] = {
    "classification": (LABEL, PROBABILITIES),
    "decision": (LABEL, SCORES),
    "regression": (VALUE,),
    "outliers": (LABEL, SCORES),
    "clusters": (LABEL, SCORES),
}
#: The estimator's own method behind the numbers of an answer.
METHODS: Final[dict[Task, str]] = {
    "classification": "predict_proba",
    "decision": "decision_function",
    "regression": "predict",
    "outliers": "decision_function",
    "clusters": "transform",
}


def task_of(estimator: BaseEstimator) -> Task:
    """The task of an estimator, or of the pipeline that ends in one.

    A classifier without probabilities has the task `decision`.

    Raises:
        LamplighterError: CONVERSION_REFUSED if it answers nothing that we serve.
    """
    kinds: tuple[tuple[Any, Task], ...] = (
        (is_outlier_detector, "outliers"),
        (is_regressor, "regression"),
        (is_clusterer, "clusters"),
        (is_classifier, "classification"),
    )
    for matches, task in kinds:
        if matches(estimator):
            has_it = hasattr(estimator, METHODS[task])
            return "decision" if task == "classification" and not has_it else task
    raise LamplighterError(
        "CONVERSION_REFUSED", f"{type(estimator).__name__} does not end in a model that answers."
    )
