"""Answered requests to counts, off the request path. Imported in worker processes only."""

from typing import Final

import numpy as np

from lamplighter_agent.observe.answers import Answers
from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol import binning
from lamplighter_protocol.bundle import Column, Manifest
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_protocol.summaries import column_values

#: Batches are binned in bulk, at the latest when so many or so much of them wait.
MAX_WAITING_BATCHES: Final = 1024
MAX_WAITING_BYTES: Final = 1024 * 1024


class Counting:
    """Counts of one release: since the last `take`, and in total."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._observed = sorted({column.tensor for column in manifest.columns})
        self._since = Counts.zero(manifest)
        self._taken = Counts.zero(manifest)
        self._waiting: list[tuple[list[Array], Answers]] = []
        self._waiting_bytes = 0

    def answered(self, inputs: Tensors, answers: Answers, seconds: float) -> None:
        """Note an answered request.

        Args:
            inputs: Arrays by tensor name, first dimension the batch.
            answers: What the model said to them.
            seconds: From the arrival of the request to its answer.
        """
        self._since.latency[binning.latency_slot(seconds)] += 1
        observed = [inputs[name] for name in self._observed]
        self._waiting.append((observed, answers))
        self._waiting_bytes += sum(tensor.nbytes for tensor in observed)
        if len(self._waiting) >= MAX_WAITING_BATCHES or self._waiting_bytes >= MAX_WAITING_BYTES:
            self._bin()

    def failed(self, code: str) -> None:
        """Note a request that could not be answered."""
        self._since.errors[code] = self._since.errors.get(code, 0) + 1

    def compared(self, rows: int, disagreed: int, missed: int) -> None:
        """Note how answers to copied requests compare with those of the active release.

        Args:
            rows: Rows that both answered.
            disagreed: Of these, rows with different answers.
            missed: Requests of which no copy came, since the last time.
        """
        self._since.compared += rows
        self._since.disagreed += disagreed
        self._since.missed += missed

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
        if not self._waiting:
            return
        manifest, answer = self._manifest, self._manifest.answer
        inputs = {
            name: np.concatenate([observed[at] for observed, _ in self._waiting])
            for at, name in enumerate(self._observed)
        }
        classes = np.concatenate([answers.classes for _, answers in self._waiting])
        confidence = np.concatenate([answers.confidence for _, answers in self._waiting])
        self._waiting, self._waiting_bytes = [], 0
        # Summaries of images with NaN or infinity are NaN: null, as they should be.
        with np.errstate(invalid="ignore", over="ignore"):
            columns = {
                column.name: _count_column(
                    column, column_values(column, inputs[column.tensor], manifest.image)
                )
                for column in manifest.columns
            }
        binned = Counts(
            rows=len(classes),
            columns=columns,
            predictions=binning.count_predictions(
                classes, confidence, answer.confidence_edges, len(answer.labels)
            ),
            latency=[0] * LATENCY_SLOTS,
            errors={},
        )
        self._since = self._since.merge(binned)


def _count_column(column: Column, values: Array) -> list[int]:
    if column.kind == "numeric":
        return binning.count_numeric(values, column.edges)
    # NaN is the only value that differs from itself.
    return binning.count_categories(
        [str(value) if value == value else None for value in values],
        column.categories,
    )
