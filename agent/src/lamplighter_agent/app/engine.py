"""A loaded release that checks and counts what it answers. Imported where models run only."""

import time

import psutil

from lamplighter_agent.observe.answers import AnswerReader, Answers
from lamplighter_agent.observe.counting import Counting
from lamplighter_agent.ports.servable import Totals
from lamplighter_agent.ports.session import Array, Session, Tensors
from lamplighter_agent.serve.mirroring import Mirroring
from lamplighter_protocol.bundle import Manifest, Variant
from lamplighter_protocol.errors import LamplighterError


class Engine:
    """Implements ports.servable and ports.session.

    Args:
        manifest: The release.
        variant: Which of its forms is loaded.
        session: The loaded model.
        copies: Whether callers may change their arrays after a request.
    """

    def __init__(
        self, manifest: Manifest, variant: Variant, session: Session, *, copies: bool = False
    ) -> None:
        self.manifest = manifest
        self.variant = variant
        self.counting = Counting(manifest, copies=copies)
        self.mirror: Mirroring | None = None
        """Where each answered request is copied to, while a release runs in shadow."""
        self._session = session
        self._reader = AnswerReader(manifest)
        self._process = psutil.Process()

    def infer(self, inputs: Tensors, started_mono: float) -> dict[str, Array]:
        """See ports.servable."""
        try:
            outputs, answers = self._answer(inputs)
        except LamplighterError as error:
            self.counting.failed(error.code)
            raise
        self.counting.answered(inputs, answers, time.perf_counter() - started_mono)
        if self.mirror is not None:
            self.mirror.copy(inputs, answers.classes)
        return outputs

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See ports.session: a checked answer that is not counted."""
        return self._answer(inputs)[0]

    def totals(self) -> Totals:
        """See ports.servable."""
        counts = self.counting.total()
        return Totals(
            predicted=counts.predicted,
            latency=counts.latency,
            seconds=self.counting.seconds,
            errors=counts.errors,
            rss_bytes=self._process.memory_info().rss,
            compared=counts.compared,
            disagreed=counts.disagreed,
            missed=counts.missed,
        )

    def _answer(self, inputs: Tensors) -> tuple[dict[str, Array], Answers]:
        outputs = self._session.run(inputs)
        rows = len(next(iter(inputs.values())))
        return outputs, self._reader.read(outputs, rows)
