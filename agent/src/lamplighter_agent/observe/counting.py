"""Answered requests to counts, off the request path. Imported in worker processes only."""

from typing import Final

import numpy as np

from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol import binning
from lamplighter_protocol.bundle import Column, Manifest
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_protocol.summaries import column_values

#: Rows are binned in bulk, at the latest when this many wait.
MAX_WAITING_ROWS: Final = 4096


class Counting:
    """Counts of one release: since the last `take`, and in total."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._since = Counts.zero(manifest)
        self._taken = Counts.zero(manifest)
        self._inputs: list[Tensors] = []
        self._probabilities: list[Array] = []
        self._waiting_rows = 0

    def answered(self, inputs: Tensors, probabilities: Array, seconds: float) -> None:
        """Note an answered request.

        Args:
            inputs: Arrays by tensor name, first dimension the batch.
            probabilities: Shape (batch, labels).
            seconds: From the arrival of the request to its answer.
        """
        self._since.latency[binning.latency_slot(seconds)] += 1
        self._inputs.append(inputs)
        self._probabilities.append(probabilities)
        self._waiting_rows += len(probabilities)
        if self._waiting_rows >= MAX_WAITING_ROWS:
            self._bin()

    def failed(self, code: str) -> None:
        """Note a request that could not be answered."""
        self._since.errors[code] = self._since.errors.get(code, 0) + 1

    def take(self) -> Counts:
        """The counts since the last time; they are counted once only."""
        self._bin()
        taken, self._since = self._since, Counts.zero(self._manifest)
        self._taken = self._taken.merge(taken)
        return taken

    def total(self) -> Counts:
        """The counts since the start."""
        self._bin()
        return self._taken.merge(self._since)

    def _bin(self) -> None:
        if not self._probabilities:
            return
        manifest, answer = self._manifest, self._manifest.answer
        inputs = {
            name: np.concatenate([batch[name] for batch in self._inputs])
            for name in self._inputs[0]
        }
        probabilities = np.concatenate(self._probabilities)
        self._inputs, self._probabilities, self._waiting_rows = [], [], 0
        binned = Counts(
            rows=len(probabilities),
            columns={
                column.name: _count_column(
                    column, column_values(column, inputs[column.tensor], manifest.image)
                )
                for column in manifest.columns
            },
            predictions=binning.count_predictions(
                np.argmax(probabilities, axis=1),
                probabilities.max(axis=1),
                answer.confidence_edges,
                len(answer.labels),
            ),
            latency=[0] * LATENCY_SLOTS,
            errors={},
        )
        self._since = self._since.merge(binned)


def _count_column(column: Column, values: Array) -> list[int]:
    if column.kind == "numeric":
        return binning.count_numeric(values, column.edges)
    return binning.count_categories([str(value) for value in values], column.categories)
