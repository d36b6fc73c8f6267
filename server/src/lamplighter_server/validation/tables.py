"""What a model card tells, as words and tables; its two forms share them. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from lamplighter_server.validation.results import Estimate, Evidence, Measured, Validation

#: More classes than this are told by their averages only.
MAX_CLASSES: Final = 30


class Table(NamedTuple):
    """Cells of text below a heading."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def verdict(validation: Validation) -> str:
    """One sentence on the gates."""
    if not validation.gates:
        return "No gates were declared: nobody has said what this model must reach."
    stopped = validation.not_passed
    if not stopped:
        return f"All {len(validation.gates)} gates have passed."
    names = ", ".join(item.gate for item in stopped)
    said = f"{len(stopped)} of {len(validation.gates)} gates have not passed: {names}."
    if (override := validation.override) is None:
        return said
    agreed = f", {override.approved_by} agreed" if override.approved_by else ""
    decided = f"{override.person} has decided to publish it nevertheless{agreed}"
    return f"{said} {decided}: {override.reason}"


def how_to_read(measured: Measured) -> str:
    """What the intervals mean."""
    return (
        f"Measured on {measured.rows:,} held-out rows, with intervals at {measured.level:.0%}: "
        "what the model is worth on all rows of this kind lies inside, as far as these rows can "
        "tell. Nothing is said on rows of another kind."
    )


def tables(evidence: Evidence) -> Iterator[Table]:
    """Everything that was found, in the order in which it matters."""
    if evidence.validation is not None:
        yield from _judged(evidence.validation)
        yield from _measured(evidence.validation.measured)
    names = sorted({name for facts in evidence.variants.values() for name in facts} & _TOLD.keys())
    if names:
        yield Table(
            "Variants",
            ("Variant", *(_TOLD[name] for name in names)),
            [
                (variant, *(_plain(facts.get(name)) for name in names))
                for variant, facts in evidence.variants.items()
            ],
        )


_TOLD: Final = {
    "size_bytes": "Bytes",
    "accuracy": "Accuracy",
    "macro_f1": "F1",
    "log_loss": "Log loss",
}


def _judged(validation: Validation) -> Iterator[Table]:
    if validation.gates:
        yield Table(
            "Gates",
            ("Outcome", "Gate", "What was found"),
            [(item.outcome, item.gate, item.sentence) for item in validation.gates],
        )


def _measured(measured: Measured) -> Iterator[Table]:
    whole = {name: item for name, item in measured.metrics.items() if "/" not in name}
    yield Table(
        "Figures", ("Figure", "Value", "Interval"), [(n, *_cells(e)) for n, e in whole.items()]
    )
    if 0 < len(measured.classes) <= MAX_CLASSES:
        figures = ("precision", "recall", "f1")
        yield Table(
            "Classes",
            ("Class", *figures),
            [
                (name, *(interval(measured.metrics[f"{figure}/{name}"]) for figure in figures))
                for name in measured.classes
            ],
        )
    for column, fairness in measured.fairness.items():
        told = tuple(dict.fromkeys(name for group in fairness.groups for name in group.metrics))
        yield Table(
            f"Groups of {column}",
            ("Figure", *(f"{group.name}, {group.rows:,} rows" for group in fairness.groups)),
            [
                (
                    name,
                    *(interval(group.metrics.get(name, _TOO_SMALL)) for group in fairness.groups),
                )
                for name in told
            ],
        )
        yield Table(
            f"How far the groups of {column} are apart",
            ("Class", "Figure", "Value", "Interval"),
            [
                (item.positive or "-", name, *_cells(figure))
                for item in fairness.disparities
                for name, figure in item.figures.items()
            ],
        )


_TOO_SMALL: Final = Estimate(why="too small")


def interval(figure: Estimate) -> str:
    """A figure with its interval in one cell."""
    value, between = _cells(figure)
    return f"{value} ({between})" if figure.value is not None else figure.why


def _cells(figure: Estimate) -> tuple[str, str]:
    if figure.value is None:
        return "unknown", figure.why
    low, high = ("unknown" if end is None else _plain(end) for end in (figure.low, figure.high))
    return _plain(figure.value), f"{low} to {high}"


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value or "-")
