"""The figures of a classifier with their intervals."""

from typing import Final

import numpy as np

from lamplighter_server.validation import calibration, rates, scores
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.resampling import Draws, Figure, Resampling
from lamplighter_server.validation.results import Estimate
from lamplighter_server.validation.tallies import count, draw, tally

#: Figures of one class by the name of their mean over all classes. Balanced accuracy is the mean
#: recall (Brodersen et al. 2010), so it stands under its usual name.
_MEANS: Final = {"precision": "precision", "recall": "balanced_accuracy", "f1": "f1"}


def measure(p: Predictions, resampling: Resampling) -> dict[str, Estimate]:
    """Every figure; `precision/CLASS` and the like are of one class."""
    return {**_counted(p, resampling), **_ranked(p, resampling), **_scored(p, resampling)}


def _counted(p: Predictions, resampling: Resampling) -> dict[str, Estimate]:
    """What the confusion matrix tells."""
    cells, classes = count(p.truth, p.labels), len(p.classes)
    truth, answer = cells.keys
    weights = draw(cells, resampling.resamples, resampling.random)
    exact = tally(cells.rows, truth, answer, classes)
    drawn = tally(weights, truth, answer, classes)
    extra = resampling.extra()
    found = {
        "accuracy": resampling.estimate(exact.hit.sum() / p.rows, rates.accuracy(drawn, extra))
    }
    values = rates.by_class(exact, np.zeros(1))
    for figure, draws in rates.by_class(drawn, extra[:, None]).items():
        rows = exact.predicted if figure == "precision" else exact.actual
        own = {}
        for i, name in enumerate(p.classes):
            if not exact.actual[i]:
                own[name] = Estimate(why=f"class {name!r} has no held-out row")
            elif not rows[i]:
                own[name] = Estimate(why=f"no row was given class {name!r}")
            else:
                own[name] = resampling.estimate(values[figure].plain[i], draws.at(i))
        found |= {f"{figure}/{name}": item for name, item in own.items()}
        found[_MEANS[figure]] = _mean(own, rates.mean(draws, rows), resampling)
    return found


def _ranked(p: Predictions, resampling: Resampling) -> dict[str, Estimate]:
    """AUROC: of the second class of two, or of each class against the rest, and their mean."""
    rows = np.bincount(p.truth, minlength=len(p.classes))
    areas: dict[int, Figure] = {
        i: scores.Ranking(p.answers[:, i], p.truth == i).area
        for i in range(len(p.classes))
        if 0 < rows[i] < p.rows and (i == 1 or len(p.classes) > 2)
    }
    values, drawn = resampling.values(p.rows, areas), resampling.draw(p.rows, areas)
    own = {
        name: resampling.estimate(values[i], drawn[i])
        if i in areas
        else Estimate(why=f"class {name!r} has {rows[i]} of {p.rows} held-out rows")
        for i, name in enumerate(p.classes)
        if i == 1 or len(p.classes) > 2
    }
    if len(p.classes) == 2:
        return {"auroc": own[p.classes[1]]}
    smaller = np.minimum(rows, p.rows - rows)[list(areas)]
    mean = scores.mean_area([*drawn.values()], smaller)
    return {
        **{f"auroc/{name}": item for name, item in own.items()},
        "auroc": _mean(own, mean, resampling),
    }


def _scored(p: Predictions, resampling: Resampling) -> dict[str, Estimate]:
    """What the probabilities are worth."""
    bins = calibration.bin_rows(p)
    figures: dict[str, Figure] = {
        "log_loss": scores.log_loss(p),
        "brier": scores.brier(p),
        "calibration_error": calibration.error_draws(bins),
    }
    values, drawn = resampling.values(p.rows, figures), resampling.draw(p.rows, figures)
    values["calibration_error"] = calibration.error(bins)
    return {name: resampling.estimate(values[name], drawn[name]) for name in figures}


def _mean(own: dict[str, Estimate], draws: Draws, resampling: Resampling) -> Estimate:
    """The mean over classes: not known if one of them is not."""
    for item in own.values():
        if item.value is None:
            return Estimate(why=item.why)
    values = [item.value for item in own.values() if item.value is not None]
    return resampling.estimate(float(np.mean(values)), draws)
