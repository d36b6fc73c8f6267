"""The reference: what the release was made for, as counts in its own bins."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lamplighter_protocol.binning import count_numeric, count_predictions, quantile_edges
from lamplighter_protocol.bundle import ClassOutput, Column, ImageInput, ImageSummary
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_protocol.summaries import column_values, summarize

Array = npt.NDArray[Any]
BINS = 64


def image_columns(image: ImageInput, pixels: Array) -> tuple[Column, ...]:
    """One column for each summary of an image, with bins at the quantiles of the reference.

    Args:
        image: How to read the tensor.
        pixels: Reference rows, shape (n, height x width).
    """
    summaries: tuple[ImageSummary, ...] = ("brightness", "contrast", "sharpness")
    pictures = pixels.reshape(-1, image.height, image.width) / image.white
    return tuple(
        Column(
            name=summary,
            kind="numeric",
            tensor=image.tensor,
            summary=summary,
            edges=quantile_edges(summarize(pictures, summary), BINS),
        )
        for summary in summaries
    )


def count_reference(
    columns: tuple[Column, ...],
    answer: ClassOutput,
    image: ImageInput | None,
    *,
    inputs: dict[str, Array],
    probabilities: Array,
) -> Counts:
    """Count the reference as a device would count it.

    Args:
        columns: What is observed.
        answer: Labels and confidence bins.
        image: How to read images, for columns that are summaries.
        inputs: Reference rows by tensor, first dimension n.
        probabilities: The model's answers to them, shape (n, labels).
    """
    return Counts(
        rows=len(probabilities),
        columns={
            column.name: count_numeric(
                column_values(column, inputs[column.tensor], image), column.edges
            )
            for column in columns
        },
        predictions=count_predictions(
            np.argmax(probabilities, axis=1),
            probabilities.max(axis=1),
            answer.confidence_edges,
            len(answer.labels),
        ),
        latency=[0] * LATENCY_SLOTS,
        errors={},
    )
