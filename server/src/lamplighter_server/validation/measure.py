"""Every figure of a model on its held-out rows, each with an interval. Deterministic for a seed."""

from typing import Final

import numpy as np

from lamplighter_server.validation import calibration, classification, fairness, regression
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.resampling import Resampling
from lamplighter_server.validation.results import Measured

RESAMPLES: Final = 1000
LEVEL: Final = 0.95


def measure(
    p: Predictions, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> Measured:
    """Measure everything that fits the task.

    Args:
        p: The held-out rows.
        seed: For the resamples.
        resamples: How many; with more, the ends of intervals depend less on the seed.
        level: The confidence of the intervals, 0 to 1.

    Raises:
        LamplighterError: EXTRA_MISSING if there are groups but no Fairlearn; DATA_INVALID if a
            sensitive column has too many values.
    """
    resampling = Resampling(np.random.default_rng(seed), resamples, level)
    figures = classification.measure if p.classes else regression.measure
    return Measured(
        task=p.task,
        rows=p.rows,
        seed=seed,
        resamples=resamples,
        level=level,
        classes=p.classes,
        metrics=figures(p, resampling),
        confusion=_confusion(p),
        calibration=calibration.curve(calibration.bin_rows(p)) if p.classes else (),
        fairness={column: fairness.measure(p, column, resampling) for column in p.groups},
    )


def _confusion(p: Predictions) -> tuple[tuple[int, ...], ...]:
    if not p.classes:
        return ()
    classes = len(p.classes)
    counts = np.bincount(p.truth * classes + p.labels, minlength=classes**2)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())
