"""Whether a candidate may be published: every gate says passed, failed or unknown. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from lamplighter_server.validation import paired
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.resampling import Resampling
from lamplighter_server.validation.results import Estimate, GateResult, Measured
from lamplighter_server.validation.spec import Gates, Groups, Limit, Margin

_MORE_ROWS: Final = "its value alone would do: with more held-out rows the interval is narrower"


def judge(
    spec: Gates,
    measured: Measured,
    *,
    incumbent: tuple[Predictions, Predictions] | None,
    size_bytes: int | None,
    latency_ms: float | None,
    first_release: bool = False,
) -> tuple[GateResult, ...]:
    """Judge every declared gate. What was not measured is unknown, and unknown is never passed.

    Args:
        spec: What is declared.
        measured: Of the candidate.
        incumbent: Candidate and incumbent on the same rows; None if there are no such answers.
        size_bytes: Of the model's file.
        latency_ms: Of one answer.
        first_release: Whether the model has no release yet, so that none can be better.
    """
    results = [
        *(
            _judge_limit(name, limit, measured.metrics.get(name), measured.level)
            for name, limit in spec.metrics.items()
        ),
        *(
            result
            for column, groups in spec.fairness.items()
            for result in _judge_groups(column, groups, measured)
        ),
        *(
            _judge_margin(name, margin, measured, incumbent, first_release=first_release)
            for name, margin in spec.incumbent.items()
        ),
    ]
    if spec.max_size_bytes is not None:
        results.append(_judge_most("size", size_bytes, spec.max_size_bytes, "bytes"))
    if spec.max_latency_ms is not None:
        results.append(_judge_most("latency", latency_ms, spec.max_latency_ms, "ms"))
    return tuple(results)


def _judge_limit(name: str, limit: Limit, figure: Estimate | None, level: float) -> GateResult:
    at_least = limit.min is not None
    wanted = limit.min if limit.min is not None else limit.max
    gate = f"{name} {'>=' if at_least else '<='} {_shown(wanted)}"
    if figure is None or figure.value is None:
        why = figure.why if figure else "it was not measured"
        return _unknown(gate, f"{name} is not known: {why}")
    told = f"{name} is {_interval(figure, level)}"
    end = figure.low if at_least else figure.high
    judged = figure.value if limit.by == "value" else end
    if judged is None or wanted is None:
        return _unknown(gate, f"{told}; with so few rows that end of the interval is not known")

    def keeps(value: float) -> bool:
        return value >= wanted if at_least else value <= wanted

    what = {"value": "value", "bound": "lower bound" if at_least else "upper bound"}[limit.by]
    return _decided(
        gate,
        keeps(judged),
        f"{told}; its {what} must be {'at least' if at_least else 'at most'} {_shown(wanted)}",
        hint=keeps(figure.value),
    )


def _judge_groups(column: str, spec: Groups, measured: Measured) -> Iterator[GateResult]:
    found = measured.fairness.get(column)
    for name, limit in spec.limits:
        if found is None:
            yield _unknown(f"{column}: {name}", f"column {column!r} was not measured")
            continue
        small = [group for group in found.groups if group.rows < spec.min_group_rows]
        positives = [item.positive for item in found.disparities]
        if spec.positive is not None:
            positives = [spec.positive]
        elif len(positives) == 2:
            positives = positives[1:]
        for positive in positives:
            title = f"{column}: {name}" + (f" for {positive!r}" if positive else "")
            figure = next(
                (item.figures.get(name) for item in found.disparities if item.positive == positive),
                None,
            )
            if small:
                figure = Estimate(
                    why=f"group {small[0].name!r} is too small, {small[0].rows} rows of at least "
                    f"{spec.min_group_rows}"
                )
            yield _judge_limit(title, limit, figure, measured.level)


def _judge_margin(
    name: str,
    margin: Margin,
    measured: Measured,
    answers: tuple[Predictions, Predictions] | None,
    *,
    first_release: bool,
) -> GateResult:
    gate = f"{name}: at most {_shown(margin.max_loss)} worse than the incumbent"
    if first_release:
        return GateResult(gate=gate, outcome="passed", sentence="there is no incumbent yet.")
    if answers is None:
        return _unknown(gate, "the incumbent was not measured on these rows")
    candidate, incumbent = answers
    if not paired.same_rows(candidate, incumbent):
        return _unknown(gate, "candidate and incumbent did not answer the same rows")
    resampling = Resampling(
        np.random.default_rng(measured.seed), measured.resamples, measured.level
    )
    loss = paired.loss(name, candidate, incumbent, resampling)
    judged = loss.value if margin.by == "value" else loss.high
    if judged is None or loss.value is None:
        return _unknown(gate, f"the loss of {name} is not known: {loss.why}")
    test = ""
    if name == "accuracy":
        test = f" (McNemar's exact test of no difference: p = {paired.mcnemar(*answers):.2g})"
    return _decided(
        gate,
        judged <= margin.max_loss,
        f"the loss of {name} against the incumbent is {_interval(loss, measured.level)}{test}; "
        f"its {'value' if margin.by == 'value' else 'upper bound'} must be at most "
        f"{_shown(margin.max_loss)}",
        hint=loss.value <= margin.max_loss,
    )


def _judge_most(what: str, value: float | None, most: float, unit: str) -> GateResult:
    gate = f"{what} <= {_shown(most)} {unit}"
    if value is None:
        return _unknown(gate, f"the {what} was not measured")
    return _decided(
        gate, value <= most, f"the {what} is {_shown(value)} {unit}; at most {_shown(most)} may be"
    )


def _decided(gate: str, passed: bool, told: str, *, hint: bool = False) -> GateResult:
    sentence = f"{told}: {'it is' if passed else 'it is not'}."
    if hint and not passed:
        sentence = f"{told}: it is not; {_MORE_ROWS}."
    return GateResult(gate=gate, outcome="passed" if passed else "failed", sentence=sentence)


def _unknown(gate: str, why: str) -> GateResult:
    return GateResult(gate=gate, outcome="unknown", sentence=f"{why}.")


def _interval(figure: Estimate, level: float) -> str:
    ends = " to ".join(
        "unknown" if end is None else _shown(end) for end in (figure.low, figure.high)
    )
    return f"{_shown(figure.value)} ({ends} at {level:.0%})"


def _shown(value: float | None) -> str:
    return (
        "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else f"{value}"
    )
