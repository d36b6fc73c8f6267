"""Scalar summaries of grey images, which can be counted where raw pixels must not travel."""

import numpy as np
import numpy.typing as npt

from lamplighter_protocol.bundle import Column, ImageInput, ImageSummary

Floats = npt.NDArray[np.floating]
Exact = npt.NDArray[np.float64]


def summarize(images: Floats, summary: ImageSummary) -> Exact:
    """One number for each image.

    Args:
        images: Shape (n, height, width), 0 black to 1 white.
        summary: `brightness` is the mean, `contrast` the standard deviation, `sharpness` the
            mean square of the four-neighbour Laplacian over the inner pixels (the usual focus
            measure of Pertuz et al. 2013, "Analysis of focus measure operators", LAP1 family).

    Returns:
        Shape (n,).
    """
    exact: Exact = np.asarray(images, dtype=np.float64)
    values: Exact
    if summary == "brightness":
        values = exact.mean(axis=(1, 2))
        return values
    if summary == "contrast":
        values = exact.std(axis=(1, 2))
        return values
    inner = exact[:, 1:-1, 1:-1]
    around = exact[:, :-2, 1:-1] + exact[:, 2:, 1:-1] + exact[:, 1:-1, :-2] + exact[:, 1:-1, 2:]
    values = np.square(around - 4 * inner).mean(axis=(1, 2))
    return values


def column_values(column: Column, tensor: Floats, image: ImageInput | None) -> Floats:
    """The values of one column for a batch, shape (n,).

    Args:
        column: What to observe.
        tensor: The column's input tensor, first dimension the batch.
        image: How to read the tensor as images, for columns that are summaries.
    """
    rows = tensor.reshape(len(tensor), -1)
    if column.summary is None or image is None:
        return rows[:, column.index or 0]
    return summarize(rows.reshape(-1, image.height, image.width) / image.white, column.summary)
