"""What the server of a protocol asks of the model behind it."""

from typing import NamedTuple, Protocol

from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol.bundle import Manifest, Variant


class Totals(NamedTuple):
    """What a release has done since it was loaded.

    Attributes:
        predicted: Rows by answered label, in the signed order.
        latency: Answered requests by latency slot (lamplighter_protocol.counts.LATENCY_EDGES_S).
        seconds: The sum of their latencies.
        errors: Failed requests by code; the client's own mistakes are not among them.
        rss_bytes: Memory of the process, now.
        compared: In shadow: rows that the active release has answered too.
        disagreed: Of these, rows with different answers.
        missed: Requests of which no copy came.
    """

    predicted: list[int]
    latency: list[int]
    seconds: float
    errors: dict[str, int]
    rss_bytes: int
    compared: int = 0
    disagreed: int = 0
    missed: int = 0

    @property
    def requests(self) -> int:
        """Requests answered or failed."""
        return sum(self.latency) + sum(self.errors.values())


class Servable(Protocol):
    """One loaded release."""

    manifest: Manifest
    variant: Variant

    def infer(self, inputs: Tensors, started_mono: float) -> dict[str, Array]:
        """Answer a batch and count it.

        Args:
            inputs: Arrays by tensor name, of the signed shapes and types.
            started_mono: When the request arrived (time.perf_counter), for its latency.

        Raises:
            LamplighterError: INFERENCE_FAILED.
        """

    def totals(self) -> Totals:
        """What was done so far."""
