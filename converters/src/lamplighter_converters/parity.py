"""Does a variant answer as the estimator does? Success is parity, never an exit code."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from lamplighter_protocol.errors import LamplighterError

Array = npt.NDArray[Any]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How far a variant is from the estimator on the same rows."""

    variant: str
    rows: int
    agreement: float
    """The share of rows with the same label, 0 to 1."""
    max_abs_difference: float
    """The largest difference of any probability."""
    flips: dict[str, int]
    """Rows whose label changed, by the estimator's label."""


def compare(
    variant: str, *, labels: Array, probabilities: Array, reference: tuple[Array, Array]
) -> Parity:
    """Compare a variant's answers with the estimator's.

    Args:
        variant: Its name.
        labels: The variant's labels, shape (n,), n >= 1.
        probabilities: The variant's probabilities, shape (n, classes).
        reference: The estimator's labels and probabilities, of the same shapes.

    Raises:
        LamplighterError: PARITY_REFUSED if the shapes differ or a value is not finite.
    """
    wanted_labels, wanted_probabilities = reference
    same_shape = (labels.shape, probabilities.shape) == (
        wanted_labels.shape,
        wanted_probabilities.shape,
    )
    if not same_shape or not len(labels) or not np.isfinite(probabilities).all():
        raise LamplighterError(
            "PARITY_REFUSED", f"{variant} answers with other shapes or with values not finite."
        )
    flipped = labels != wanted_labels
    classes, counts = np.unique(wanted_labels[flipped], return_counts=True)
    return Parity(
        variant=variant,
        rows=len(labels),
        agreement=float(1 - flipped.mean()),
        max_abs_difference=float(np.abs(probabilities - wanted_probabilities).max()),
        flips={str(label): int(count) for label, count in zip(classes, counts, strict=True)},
    )


def require(parity: Parity, *, min_agreement: float, max_abs_difference: float) -> None:
    """Refuse a variant that answers otherwise than declared.

    Args:
        parity: What was found.
        min_agreement: The least share of equal labels, 0 to 1.
        max_abs_difference: How far a probability may differ; 1 allows all.

    Raises:
        LamplighterError: PARITY_REFUSED.
    """
    if parity.agreement < min_agreement:
        raise LamplighterError(
            "PARITY_REFUSED",
            f"{parity.variant} agrees on {parity.agreement:.2%} of {parity.rows} rows; "
            f"{min_agreement:.2%} was declared.",
        )
    if parity.max_abs_difference > max_abs_difference:
        raise LamplighterError(
            "PARITY_REFUSED",
            f"{parity.variant} differs by {parity.max_abs_difference:.2g} in a probability; "
            f"{max_abs_difference:.2g} was declared.",
        )
