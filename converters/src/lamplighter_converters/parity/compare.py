"""How far a variant is from what it was made of, and whether that is near enough."""

from typing import Final

import msgspec
import numpy as np

from lamplighter_converters.parity.answers import Answers, Array
from lamplighter_protocol.errors import LamplighterError

#: How many of the worst rows are kept.
WORST: Final = 5
#: Variance / squared size below which answers count as constant: well above float32's rounding.
_CONSTANT: Final = 1e-9


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """What a variant may lose; declared before it is measured."""

    min_agreement: float
    """0 to 1, see Parity.agreement."""
    max_error: float
    """See Parity.max_error; infinity allows all."""


class WorstRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row on which the variant is far off."""

    row: int
    error: float
    wanted: tuple[float, ...]
    answered: tuple[float, ...]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How far a variant's answers are from others to the same rows."""

    variant: str
    rows: int
    agreement: float
    """The share of rows with the same label. Without labels: 1 - residual / total sum of squares
    over all rows and outputs, at least 0."""
    max_error: float
    """The largest |answered - wanted| / max(1, |wanted|) of any number: absolute for
    probabilities and small values, relative for large ones."""
    flips: dict[str, int]
    """Rows whose label changed, by the wanted label."""
    worst: tuple[WorstRow, ...]
    """The rows with the largest errors, worst first; none where all are equal."""


def compare(variant: str, answered: Answers, wanted: Answers) -> Parity:
    """Compare answers.

    Raises:
        LamplighterError: PARITY_REFUSED if there is no row, the shapes differ, or a number is not
            finite where the wanted one is.
    """
    _require_comparable(variant, answered, wanted)
    difference = np.abs(answered.numbers - wanted.numbers)
    difference[answered.numbers == wanted.numbers] = 0  # also of infinities
    errors = (difference / np.maximum(1, np.abs(wanted.numbers))).max(axis=1)
    order = np.argsort(-errors, kind="stable")[:WORST]
    agreement, flips = _agreement(answered, wanted)
    return Parity(
        variant=variant,
        rows=len(errors),
        agreement=agreement,
        max_error=float(errors.max()),
        flips=flips,
        worst=tuple(
            WorstRow(
                row=int(row),
                error=float(errors[row]),
                wanted=tuple(wanted.numbers[row].tolist()),
                answered=tuple(answered.numbers[row].tolist()),
            )
            for row in order
            if errors[row] > 0
        ),
    )


def require(parity: Parity, tolerance: Tolerance) -> Parity:
    """The same, if it lies within the tolerance.

    Raises:
        LamplighterError: PARITY_REFUSED.
    """
    if not parity.agreement >= tolerance.min_agreement:
        raise LamplighterError(
            "PARITY_REFUSED",
            f"{parity.variant} agrees to {parity.agreement:.2%} on {parity.rows} rows; "
            f"{tolerance.min_agreement:.2%} was declared.",
        )
    if not parity.max_error <= tolerance.max_error:
        raise LamplighterError(
            "PARITY_REFUSED",
            f"{parity.variant} differs by {parity.max_error:.2g} on row {parity.worst[0].row}; "
            f"{tolerance.max_error:.2g} was declared.",
        )
    return parity


def _require_comparable(variant: str, answered: Answers, wanted: Answers) -> None:
    def shapes(answers: Answers) -> tuple[object, ...]:
        labels = answers.labels
        return answers.numbers.shape, None if labels is None else labels.shape

    if shapes(answered) != shapes(wanted) or not answered.numbers.size:
        raise LamplighterError(
            "PARITY_REFUSED",
            f"{variant} answers in shapes {shapes(answered)}, wanted were {shapes(wanted)}.",
        )
    lost = ~np.isfinite(answered.numbers) & (answered.numbers != wanted.numbers)
    if lost.any() or np.isnan(wanted.numbers).any():
        row = int(np.argmax((lost | np.isnan(wanted.numbers)).any(axis=1)))
        raise LamplighterError("PARITY_REFUSED", f"{variant} has no finite answer to row {row}.")


def _agreement(answered: Answers, wanted: Answers) -> tuple[float, dict[str, int]]:
    if answered.labels is None or wanted.labels is None:
        residual = float(np.square(answered.numbers - wanted.numbers).sum())
        total = float(np.square(wanted.numbers - wanted.numbers.mean(axis=0)).sum())
        # Answers that hardly differ from row to row are held against their size.
        total = max(total, _CONSTANT * float(np.maximum(1, np.square(wanted.numbers)).sum()))
        return max(0.0, 1 - residual / total), {}
    flipped = answered.labels != wanted.labels
    return float(1 - flipped.mean()), _count(wanted.labels[flipped])


def _count(labels: Array) -> dict[str, int]:
    values, counts = np.unique(labels, return_counts=True)
    return {str(value): int(count) for value, count in zip(values, counts, strict=True)}
