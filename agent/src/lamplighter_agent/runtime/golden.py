"""Golden inputs: does this chip answer as the one on which the release was made?"""

import zipfile
from pathlib import Path

import numpy as np

from lamplighter_agent.ports.session import Array, Session
from lamplighter_protocol.bundle import Manifest, Variant
from lamplighter_protocol.errors import LamplighterError


def read_golden(path: Path) -> dict[str, Array]:
    """The arrays of a golden file by name.

    Raises:
        LamplighterError: GOLDEN_MISMATCH if the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise LamplighterError(
            "GOLDEN_MISMATCH", f"The golden inputs cannot be read: {error}."
        ) from error


def self_test(
    session: Session, manifest: Manifest, variant: Variant, golden: dict[str, Array]
) -> None:
    """Run the golden inputs, row by row as requests come, and compare.

    Raises:
        LamplighterError: GOLDEN_MISMATCH with what differed.
    """
    answer = manifest.answer
    try:
        inputs = {spec.name: golden[spec.name] for spec in manifest.inputs}
        wanted_labels = golden[f"{variant.name}/{answer.label_tensor}"]
        wanted = golden[f"{variant.name}/{answer.probability_tensor}"]
        rows = [
            session.run({name: values[row : row + 1] for name, values in inputs.items()})
            for row in range(manifest.golden.rows)
        ]
        labels = np.concatenate([row[answer.label_tensor] for row in rows])
        probabilities = np.concatenate([row[answer.probability_tensor] for row in rows])
        difference = float(np.abs(probabilities - wanted).max())
        agreement = float((labels == wanted_labels).mean())
    except (KeyError, ValueError, LamplighterError) as error:
        raise LamplighterError(
            "GOLDEN_MISMATCH", f"{variant.name} cannot answer the golden inputs: {error}."
        ) from error
    # Written so that NaN fails.
    if not (difference <= variant.tolerance_abs and agreement >= variant.min_agreement):
        raise LamplighterError(
            "GOLDEN_MISMATCH",
            f"{variant.name} agrees on {agreement:.1%} of {len(labels)} golden rows and differs by "
            f"up to {difference:.3g}; signed are {variant.min_agreement:.1%} and "
            f"{variant.tolerance_abs:.3g}.",
        )
