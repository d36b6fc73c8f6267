"""Golden inputs: does this chip answer as the one on which the release was made?"""

import io
from pathlib import Path

import numpy as np

from lamplighter_agent.ports.session import Array, Session, Tensors
from lamplighter_protocol.bundle import ClassOutput, Manifest, Variant
from lamplighter_protocol.errors import LamplighterError


def read_golden(path: Path) -> dict[str, Array]:
    """The arrays of a golden file by name.

    Raises:
        LamplighterError: GOLDEN_MISMATCH if the file cannot be read.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged file makes the readers raise anything
        raise LamplighterError(
            "GOLDEN_MISMATCH", f"The golden inputs cannot be read: {error}."
        ) from error


def self_test(session: Session, manifest: Manifest, variant: Variant, golden: Tensors) -> None:
    """Run the golden inputs, row by row as requests come, and compare.

    Raises:
        LamplighterError: GOLDEN_MISMATCH with what differed.
    """
    answer = manifest.answer
    try:
        inputs = {spec.name: golden[spec.name] for spec in manifest.inputs}
        wanted = {
            name: golden[f"{variant.name}/{name}"]
            for name in (answer.label_tensor, answer.probability_tensor)
        }
        rows = [
            session.run({name: values[row : row + 1] for name, values in inputs.items()})
            for row in range(manifest.golden.rows)
        ]
        answered = {name: np.concatenate([row[name] for row in rows]) for name in wanted}
    except (KeyError, ValueError, LamplighterError) as error:
        raise LamplighterError(
            "GOLDEN_MISMATCH", f"{variant.name} cannot answer the golden inputs: {error}."
        ) from error
    compare(answered, wanted, answer, variant)


def compare(answered: Tensors, wanted: Tensors, answer: ClassOutput, variant: Variant) -> None:
    """The verdict on answers to golden inputs. Pure.

    Args:
        answered: Labels, shape (n,), and probabilities, shape (n, labels), by tensor name.
        wanted: The signed ones.
        answer: Which tensor is which.
        variant: The signed tolerances.

    Raises:
        LamplighterError: GOLDEN_MISMATCH with the figures.
    """
    shapes = {name: (answered[name].shape, wanted[name].shape) for name in wanted}
    if any(found != signed for found, signed in shapes.values()):
        raise LamplighterError(
            "GOLDEN_MISMATCH", f"{variant.name} answers in other shapes than signed: {shapes}."
        )
    labels = answered[answer.label_tensor]
    probabilities = answered[answer.probability_tensor]
    agreement = float((labels == wanted[answer.label_tensor]).mean())
    difference = float(np.abs(probabilities - wanted[answer.probability_tensor]).max())
    # Written so that NaN fails.
    if not (difference <= variant.tolerance_abs and agreement >= variant.min_agreement):
        raise LamplighterError(
            "GOLDEN_MISMATCH",
            f"{variant.name} agrees on {agreement:.1%} of {len(labels)} golden rows and differs by "
            f"up to {difference:.3g}; signed are {variant.min_agreement:.1%} and "
            f"{variant.tolerance_abs:.3g}.",
        )
