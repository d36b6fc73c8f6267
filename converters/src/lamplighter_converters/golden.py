"""Golden inputs: rows with known outputs, which each device repeats before it serves."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def choose_rows(labels: Array, probabilities: Array, *, per_class: int = 2) -> Array:
    """Rows that cover every class with its surest and its least sure examples.

    Args:
        labels: Labels of the rows, shape (n,).
        probabilities: Shape (n, classes).
        per_class: How many rows of either kind for each class.

    Returns:
        Ascending row numbers.
    """
    confidence = probabilities.max(axis=1)
    chosen: set[int] = set()
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        ordered = rows[np.argsort(confidence[rows], kind="stable")]
        chosen.update(ordered[:per_class].tolist(), ordered[-per_class:].tolist())
    return np.array(sorted(chosen))


def write_npz(arrays: Mapping[str, Array]) -> bytes:
    """An uncompressed .npz whose bytes depend on the arrays only.

    numpy.savez stamps the time of day on each member.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), version=(1, 0))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()
