"""How a model treats the groups of a sensitive column; the definitions are Fairlearn's.

Fairlearn says what demographic parity and equalized odds are; the intervals come from the same
resamples as all others. Its own bootstrap calls Python for each resample and group: on 20,000
rows in 4 groups it takes 11 minutes for 1,000 resamples, this a few milliseconds.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.validation import apart
from lamplighter_server.validation.group_rates import GroupRates, Rate, mean_errors
from lamplighter_server.validation.predictions import Array, Codes, Predictions
from lamplighter_server.validation.resampling import Draws, Resampling
from lamplighter_server.validation.results import Disparity, Estimate, Fairness, Group

#: Rates over fewer rows than this are not given: nothing could be concluded from them.
MIN_GROUP_ROWS: Final = 30
MAX_GROUPS: Final = 50
#: What can be said of a sensitive column, by task.
FIGURES: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": (
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equalized_odds_difference",
        "equalized_odds_ratio",
    ),
    "regression": ("mae_difference", "mae_ratio"),
}


class _Apart(NamedTuple):
    """How far groups are apart, and the rates that say so."""

    value: float
    draws: Draws
    rates: tuple[Rate, ...]


def require_fairlearn() -> Any:  # noqa: ANN401 - the module has no types
    """Fairlearn's metrics.

    Raises:
        LamplighterError: EXTRA_MISSING.
    """
    try:
        import fairlearn.metrics
    except ImportError as error:
        raise LamplighterError(
            "EXTRA_MISSING",
            "Figures by sensitive group take Fairlearn: 'lamplighter-server[mlops]'.",
        ) from error
    return fairlearn.metrics


def measure(p: Predictions, column: str, resampling: Resampling) -> Fairness:
    """Figures of every group, and how far the groups are apart.

    Raises:
        LamplighterError: EXTRA_MISSING; DATA_INVALID if the column has more than MAX_GROUPS values.
    """
    library = require_fairlearn()
    names, groups = _read(column, p.groups[column])
    found = (
        _classified(p, groups, resampling, library)
        if p.classes
        else _regressed(p, groups, resampling, library)
    )
    figures, distances = found
    return Fairness(
        groups=tuple(
            Group(
                name=name,
                rows=int(rows),
                metrics={
                    figure: resampling.estimate(rate.value[i], rate.draws.at(i))
                    for figure, rate in figures.items()
                    if rate.rows[i] >= MIN_GROUP_ROWS
                },
            )
            for i, (name, rows) in enumerate(zip(names, np.bincount(groups), strict=True))
        ),
        disparities=tuple(
            Disparity(
                positive=positive,
                figures={
                    figure: _estimate(distance, names, resampling)
                    for figure, distance in own.items()
                },
            )
            for positive, own in distances.items()
        ),
    )


def _read(column: str, values: Array) -> tuple[list[str], Codes]:
    names, groups = np.unique(np.array([str(value) for value in values]), return_inverse=True)
    if len(names) > MAX_GROUPS:
        raise LamplighterError(
            "DATA_INVALID",
            f"Sensitive column {column!r} has {len(names)} values; {MAX_GROUPS} are the most.",
        )
    return list(map(str, names)), groups


_Found = tuple[dict[str, Rate], dict[str, dict[str, _Apart]]]


def _classified(p: Predictions, groups: Codes, resampling: Resampling, library: Any) -> _Found:  # noqa: ANN401
    """Each class in turn is the one that is given or refused. Fairlearn is told cells of rows."""
    cells = GroupRates(p, groups, resampling)
    figures, distances = {"accuracy": cells.accuracy()}, {}
    for position, name in enumerate(p.classes):
        rates = cells.of_class(position)
        figures |= {f"{figure}/{name}": rate for figure, rate in rates.items()}
        selected, hits, alarms = rates.values()
        differences, ratios = ([of(rate) for rate in rates.values()] for of in _OF_RATES)
        draws = {
            "demographic_parity_difference": (differences[0], (selected,)),
            "demographic_parity_ratio": (ratios[0], (selected,)),
            "equalized_odds_difference": (apart.larger(*differences[1:]), (hits, alarms)),
            "equalized_odds_ratio": (apart.smaller(*ratios[1:]), (hits, alarms)),
        }
        told = {
            "y_true": cells.truth == position,
            "y_pred": cells.answer == position,
            "sensitive_features": cells.group,
            "sample_weight": cells.rows,
        }
        distances[name] = {
            figure: _Apart(float(getattr(library, figure)(**told)), *draws[figure])
            for figure in FIGURES["classification"]
        }
    return figures, distances


_OF_RATES: Final = (apart.difference, apart.ratio)


def _regressed(p: Predictions, groups: Codes, resampling: Resampling, library: Any) -> _Found:  # noqa: ANN401
    from sklearn.metrics import mean_absolute_error

    figures = mean_errors(p, groups, resampling)
    frame = library.MetricFrame(
        metrics=mean_absolute_error, y_true=p.truth, y_pred=p.answers, sensitive_features=groups
    )
    mae = figures["mae"]
    distances = {
        "mae_difference": _Apart(frame.difference(), apart.difference(mae), (mae,)),
        "mae_ratio": _Apart(frame.ratio(), apart.ratio(mae), (mae,)),
    }
    return figures, {"": distances}


def _estimate(distance: _Apart, names: Sequence[str], resampling: Resampling) -> Estimate:
    if why := _why(names, distance.rates):
        return Estimate(why=why)
    if not np.isfinite(distance.value):
        return Estimate(why="a rate is 0 in every group, so there is no ratio")
    return resampling.estimate(distance.value, distance.draws)


def _why(names: Sequence[str], rates: Sequence[Rate]) -> str:
    """Why groups cannot be compared; empty if they can."""
    if len(names) < 2:
        return "there is only one group"
    for rate in rates:
        for name, rows in zip(names, rate.rows, strict=True):
            if rows < MIN_GROUP_ROWS:
                return (
                    f"group {name!r} is too small: {rows:.0f} of its rows count for this, "
                    f"{MIN_GROUP_ROWS} are needed"
                )
    return ""
