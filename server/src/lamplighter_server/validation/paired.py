"""How much worse a candidate is than the incumbent, row by row on the same rows.

Both are weighted with the same lots, so what is difficult for both cancels out. For accuracy only
rows count on which exactly one of them is right. With the imagined row on the incumbent's side,
the bound lies at or below 0 exactly when McNemar's exact test says that the candidate is better:
of b rows that the incumbent alone has right and c that the candidate alone has right, the share
of the former is a beta variate with b + 1 and c, whose distribution function at one half is that
of the binomial test. Margins above 0 carry the same test on.
"""

import numpy as np
from scipy import stats

from lamplighter_server.validation import rates, regression, scores
from lamplighter_server.validation.predictions import Codes, Floats, Predictions
from lamplighter_server.validation.resampling import Draws, Figure, Resampling
from lamplighter_server.validation.results import Estimate
from lamplighter_server.validation.spec import METRICS
from lamplighter_server.validation.tallies import count, draw, tally


def same_rows(candidate: Predictions, incumbent: Predictions) -> bool:
    """Whether both answered the same rows, in the same classes."""
    return candidate.classes == incumbent.classes and np.array_equal(
        candidate.truth, incumbent.truth
    )


def loss(
    figure: str, candidate: Predictions, incumbent: Predictions, resampling: Resampling
) -> Estimate:
    """By how much the candidate is worse; below 0 it is better.

    Args:
        figure: One of `spec.PAIRED`.
        candidate: The answers of the new model.
        incumbent: The answers of the present one to the same rows.
        resampling: How the interval is made.
    """
    if candidate.classes:
        absent = np.bincount(candidate.truth, minlength=len(candidate.classes)) == 0
        if figure != "accuracy" and absent.any():
            return Estimate(why=f"class {candidate.classes[absent.argmax()]!r} has no held-out row")
    more_is_better = METRICS[candidate.task][figure]
    better, worse = (incumbent, candidate) if more_is_better else (candidate, incumbent)
    if figure in {"accuracy", "balanced_accuracy", "f1"}:
        value, draws = _counted(figure, better, worse, resampling)
    else:
        value, draws = _weighted(figure, better, worse, resampling)
    return resampling.estimate(value, draws)


def _counted(
    figure: str, first: Predictions, second: Predictions, resampling: Resampling
) -> tuple[float, Draws]:
    """The first model's figure minus the second's."""
    cells = count(first.truth, first.labels, second.labels)
    truth, *answers = cells.keys
    weights = draw(cells, resampling.resamples, resampling.random)
    extra = resampling.extra()

    def of(answer: Codes, weights: Floats, extra: Floats) -> Draws:
        drawn = tally(weights, truth, answer, len(first.classes))
        if figure == "accuracy":
            return rates.accuracy(drawn, extra)
        own = "recall" if figure == "balanced_accuracy" else figure
        return rates.mean(rates.by_class(drawn, extra[:, None])[own], np.bincount(first.truth))

    exact = _minus(*(of(answer, cells.rows[None], np.zeros(1)) for answer in answers))
    return float(exact.plain[0]), _minus(*(of(answer, weights, extra) for answer in answers))


def _weighted(
    figure: str, first: Predictions, second: Predictions, resampling: Resampling
) -> tuple[float, Draws]:
    ours, theirs = _figure(figure, first), _figure(figure, second)
    figures: dict[str, Figure] = {
        figure: lambda weights, extra: _minus(ours(weights, extra), theirs(weights, extra))
    }
    values, drawn = resampling.values(first.rows, figures), resampling.draw(first.rows, figures)
    return values[figure], drawn[figure]


def _figure(name: str, p: Predictions) -> Figure:
    if not p.classes:
        return regression.figures_of(p)[name]
    return {"auroc": scores.auroc, "log_loss": scores.log_loss, "brier": scores.brier}[name](p)


def _minus(first: Draws, second: Draws) -> Draws:
    """The difference; the imagined row is as good for one model as it is bad for the other."""
    return Draws(first.low - second.high, first.plain - second.plain, first.high - second.low)


def mcnemar(candidate: Predictions, incumbent: Predictions) -> float:
    """McNemar's exact test that both are right equally often: the two-sided p-value."""
    ours, theirs = (p.labels == p.truth for p in (candidate, incumbent))
    lost, won = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    return float(stats.binomtest(lost, lost + won).pvalue) if lost + won else 1.0
