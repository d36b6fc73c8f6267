"""The reference: what the release was made for, as counts in its own bins."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamplighter_protocol.binning import (
    count_categories,
    count_numeric,
    count_predictions,
    quantile_edges,
)
from lamplighter_protocol.bundle import ClassOutput, Column, ImageInput, ImageSummary, TensorSpec
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_protocol.summaries import column_values, summarize

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
Columns = tuple[Column, ...]
BINS = 64
#: Of a column of words; the rarer ones are counted as other.
MAX_CATEGORIES = 100


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


def table_columns(inputs: Sequence[tuple[TensorSpec, Sequence[str]]], rows: Tensors) -> Columns:
    """One column for each value of a row, with bins at the quantiles of the reference.

    Args:
        inputs: Tensors of shape (n, width), each with the names of its values.
        rows: The reference by tensor. A value that is never finite or text is not observed.
    """
    columns = []
    for spec, names in inputs:
        for index, name in enumerate(names):
            values = rows[spec.name].reshape(len(rows[spec.name]), -1)[:, index]
            if spec.datatype == "BYTES":
                known, counts = np.unique(values.astype(str), return_counts=True)
                most = np.sort(np.argsort(-counts, kind="stable")[:MAX_CATEGORIES])
                columns.append(
                    Column(
                        name=name,
                        kind="category",
                        tensor=spec.name,
                        index=index,
                        categories=tuple(known[most].tolist()),
                    )
                )
            elif (finite := values[np.isfinite(values)]).size:
                edges = quantile_edges(finite, BINS)
                columns.append(
                    Column(name=name, kind="numeric", tensor=spec.name, index=index, edges=edges)
                )
    return tuple(columns)


def count_reference(
    columns: tuple[Column, ...],
    answer: ClassOutput,
    image: ImageInput | None,
    *,
    inputs: dict[str, Array],
    probabilities: Array,
    classes: Array | None = None,
) -> Counts:
    """Count the reference as a device would count it.

    Args:
        columns: What is observed.
        answer: Labels and confidence bins.
        image: How to read images, for columns that are summaries.
        inputs: Reference rows by tensor, first dimension n.
        probabilities: The model's answers to them, shape (n, labels).
        classes: Positions of the answered labels, shape (n,); the most probable ones if None.
    """
    if classes is None:
        classes = np.argmax(probabilities, axis=1)
    return Counts(
        rows=len(probabilities),
        columns={
            column.name: _count(column, column_values(column, inputs[column.tensor], image))
            for column in columns
        },
        predictions=count_predictions(
            classes,
            probabilities[np.arange(len(classes)), classes],
            answer.confidence_edges,
            len(answer.labels),
        ),
        latency=[0] * LATENCY_SLOTS,
        errors={},
    )


def _count(column: Column, values: Array) -> list[int]:
    if column.kind == "numeric":
        return count_numeric(values, column.edges)
    return count_categories(values.astype(str).tolist(), column.categories)
