"""Training an experiment: cross-validation, tuning, held-out metrics. Deterministic for a seed."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.training.dataset import Dataset, load
from lamplighter_server.training.experiment import Experiment

Array = npt.NDArray[Any]
Progress = Callable[[str], None]
MIN_ROWS_PER_CLASS: Final = 10


@dataclass(frozen=True)
class Run:
    """A trained estimator and what was measured of it."""

    experiment: Experiment
    train: Dataset
    held_out: Dataset
    estimator: Pipeline
    parameters: dict[str, Any]
    """The settings that were chosen."""
    fold_accuracies: tuple[float, ...]
    """Of the chosen settings, on each validation fold."""
    probabilities: Array
    """The estimator's answers to the held-out rows, shape (n, classes)."""
    metrics: dict[str, Any]
    """On the held-out rows."""
    seconds: float


def prepare(experiment: Experiment) -> tuple[Dataset, Dataset]:
    """The experiment's training and held-out rows.

    Raises:
        LamplighterError: NOT_FOUND, or DATA_INVALID if a class is too small to be validated.
    """
    dataset = load(experiment.dataset)
    if experiment.polarity == "inverted":
        dataset = dataset.inverted()
    train, held_out = dataset.split(experiment.seed)
    rows = np.bincount(train.labels, minlength=len(train.classes))
    if rows.min() < MIN_ROWS_PER_CLASS:
        scarce = train.classes[int(rows.argmin())]
        raise LamplighterError(
            "DATA_INVALID", f"Class {scarce!r} has {rows.min()} rows to train with."
        )
    return train, held_out


def run_experiment(experiment: Experiment, on_progress: Progress = lambda _: None) -> Run:
    """Tune by cross-validation on the training rows, refit, measure on the held-out rows.

    Raises:
        LamplighterError: NOT_FOUND or DATA_INVALID.
    """
    started_mono = time.monotonic()
    train, held_out = prepare(experiment)
    settings = len(experiment.hidden) * len(experiment.alpha)
    on_progress(f"cross-validating {settings} setting(s) in {experiment.folds} folds")
    search = GridSearchCV(
        Pipeline(
            [
                ("scale", StandardScaler()),
                (
                    "network",
                    MLPClassifier(max_iter=experiment.max_iter, random_state=experiment.seed),
                ),
            ]
        ),
        {"network__hidden_layer_sizes": experiment.hidden, "network__alpha": experiment.alpha},
        cv=StratifiedKFold(experiment.folds, shuffle=True, random_state=experiment.seed),
        scoring="accuracy",
    )
    # With more threads, BLAS may add in another order every time.
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        # The number of iterations is a setting like the others; it is chosen by validation.
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(train.images, train.labels)
        probabilities = search.predict_proba(held_out.images)
    folds = range(experiment.folds)
    results, best = search.cv_results_, search.best_index_
    chosen = {key.removeprefix("network__"): value for key, value in search.best_params_.items()}
    chosen["hidden_layer_sizes"] = list(chosen["hidden_layer_sizes"])
    on_progress("measuring on the held-out rows")
    return Run(
        experiment=experiment,
        train=train,
        held_out=held_out,
        estimator=search.best_estimator_,
        parameters={**chosen, "max_iter": experiment.max_iter, "folds": experiment.folds},
        fold_accuracies=tuple(float(results[f"split{fold}_test_score"][best]) for fold in folds),
        probabilities=probabilities,
        metrics=measure(held_out.labels, probabilities),
        seconds=time.monotonic() - started_mono,
    )


def measure(labels: Array, probabilities: Array) -> dict[str, Any]:
    """Accuracy, macro F1, log loss and the confusion matrix.

    Args:
        labels: True labels, shape (n,).
        probabilities: Shape (n, classes).
    """
    predicted = probabilities.argmax(axis=1)
    return {
        "rows": len(labels),
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro")),
        "log_loss": float(log_loss(labels, probabilities)),
        "confusion": confusion_matrix(labels, predicted).tolist(),
    }
