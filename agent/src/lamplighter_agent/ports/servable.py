"""What the server of a protocol asks of the model behind it."""

from typing import Protocol

from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol.bundle import Manifest, Variant


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
