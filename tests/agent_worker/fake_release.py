"""A release without a model, for tests of what serves it."""

from lamplighter_agent.ports.servable import Totals
from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.counts import LATENCY_SLOTS


class FakeRelease:
    """Nobody shall ask it anything; tests that do give it an `infer`."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.variant = manifest.variants[0]

    def infer(self, inputs: Tensors, started_mono: float) -> dict[str, Array]:
        raise AssertionError

    def totals(self) -> Totals:
        return Totals(
            predicted=[0] * len(self.manifest.answer.labels),
            latency=[0] * LATENCY_SLOTS,
            seconds=0.0,
            errors={},
            rss_bytes=0,
        )
