"""Answered requests to counts, off the request path. Imported where models run only."""

import threading
from collections import deque
from typing import Final, NamedTuple

import numpy as np

from lamplighter_agent.observe.answers import Answers
from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol import binning
from lamplighter_protocol.bundle import Column, Manifest
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.summaries import column_values

#: Batches are binned in bulk, at the latest when so many or so much of them wait.
MAX_WAITING_BATCHES: Final = 1024
MAX_WAITING_BYTES: Final = 1024 * 1024


class _Batch(NamedTuple):
    observed: list[Array]
    answers: Answers
    seconds: float


class Counting:
    """Counts of one release: since the last `take`, and in total.

    Requests may be noted by several threads while another takes the counts: a request only appends
    to a queue.

    Args:
        manifest: The release.
        copies: Whether the arrays may change after the request, so that they must be copied.

    Attributes:
        seconds: The sum of the latencies of what has been binned.
    """

    def __init__(self, manifest: Manifest, *, copies: bool = False) -> None:
        self._manifest = manifest
        self._copies = copies
        self._observed = sorted({column.tensor for column in manifest.columns})
        self._since = Counts.zero(manifest)
        self._taken = Counts.zero(manifest)
        self._waiting: deque[_Batch] = deque()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self.seconds = 0.0

    def answered(self, inputs: Tensors, answers: Answers, seconds: float) -> None:
        """Note an answered request.

        Args:
            inputs: Arrays by tensor name, first dimension the batch.
            answers: What the model said to them.
            seconds: From the arrival of the request to its answer.
        """
        observed = [inputs[name] for name in self._observed]
        if self._copies:
            observed = [tensor.copy() for tensor in observed]
            answers = Answers(answers.classes, answers.probabilities.copy())
        self._waiting.append(_Batch(observed, answers, seconds))
        for tensor in observed:
            self._waiting_bytes += tensor.nbytes  # a hint: threads may lose an addition
        if len(self._waiting) >= MAX_WAITING_BATCHES or self._waiting_bytes >= MAX_WAITING_BYTES:
            with self._lock:
                self._bin()

    def failed(self, code: str) -> None:
        """Note a request that could not be answered."""
        with self._lock:
            self._since.errors[code] = self._since.errors.get(code, 0) + 1

    def settle(self) -> None:
        """Bin what waits, so that no request has to."""
        with self._lock:
            self._bin()

    def compared(self, rows: int, disagreed: int, missed: int) -> None:
        """Note how answers to copied requests compare with those of the active release.

        Args:
            rows: Rows that both answered.
            disagreed: Of these, rows with different answers.
            missed: Requests of which no copy came, since the last time.
        """
        with self._lock:
            self._since.compared += rows
            self._since.disagreed += disagreed
            self._since.missed += missed

    def take(self) -> Counts:
        """The counts since the last time; they are counted once only."""
        with self._lock:
            self._bin()
            taken, self._since = self._since, Counts.zero(self._manifest)
            self._taken = self._taken.merge(taken)
            return taken

    def total(self) -> Counts:
        """The counts since the start."""
        with self._lock:
            self._bin()
            return self._taken.merge(self._since)

    def _bin(self) -> None:
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        self._waiting_bytes = 0
        if not waiting:
            return
        manifest, answer = self._manifest, self._manifest.answer
        inputs = {
            name: np.concatenate([batch.observed[at] for batch in waiting])
            for at, name in enumerate(self._observed)
        }
        classes = np.array([at for batch in waiting for at in batch.answers.classes], np.int64)
        probabilities = np.concatenate([batch.answers.probabilities for batch in waiting])
        seconds = [batch.seconds for batch in waiting]
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
                classes,
                probabilities[np.arange(len(classes)), classes],
                answer.confidence_edges,
                len(answer.labels),
            ),
            latency=binning.count_latencies(seconds),
            errors={},
        )
        self.seconds += sum(seconds)
        self._since = self._since.merge(binned)


def _count_column(column: Column, values: Array) -> list[int]:
    if column.kind == "numeric":
        return binning.count_numeric(values, column.edges)
    # NaN is the only value that differs from itself.
    return binning.count_categories(
        [str(value) if value == value else None for value in values],
        column.categories,
    )
