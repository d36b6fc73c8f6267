"""A loaded release in shadow: its answers are counted and compared, and go nowhere."""

import contextlib
import time
from collections.abc import Sequence

from lamplighter_agent.observe.counting import Counting
from lamplighter_agent.ports.servable import Servable
from lamplighter_agent.ports.session import DATATYPES, Array, Tensors
from lamplighter_agent.serve.copies import Copy
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError


class Comparing:
    """Answers copies of requests.

    Args:
        servable: The release in shadow; it counts its answers and its errors itself.
        counting: Its counts.
    """

    def __init__(self, servable: Servable, counting: Counting) -> None:
        self._servable = servable
        self._counting = counting

    def take(self, copy: Copy) -> None:
        """Answer a copy and compare; one that does not fit the release is an error of its own.

        Raises:
            LamplighterError: MESSAGE_MALFORMED if the copy cannot be read.
        """
        started_mono = time.perf_counter()
        inputs, rows, disagreed = copy.inputs, 0, 0
        if self._fits(inputs):
            with contextlib.suppress(LamplighterError):  # it is counted where it is raised
                outputs = self._servable.infer(inputs, started_mono)
                rows = len(copy.labels)
                disagreed = self._differences(outputs, copy.labels)
        else:
            self._counting.failed("REQUEST_INVALID")
        self._counting.compared(rows, disagreed, copy.missed)

    def _differences(self, outputs: Tensors, labels: Sequence[str]) -> int:
        mine = outputs[self._servable.manifest.answer.label_tensor].ravel().tolist()
        return sum(str(a) != b for a, b in zip(mine, labels, strict=True))

    def _fits(self, inputs: Tensors) -> bool:
        """Whether the request has the signature of this release, which may be another one."""
        specs = self._servable.manifest.inputs
        return inputs.keys() == {spec.name for spec in specs} and all(
            _is_one_of(inputs[spec.name], spec) for spec in specs
        )


def _is_one_of(array: Array, spec: TensorSpec) -> bool:
    return (
        array.dtype == DATATYPES[spec.datatype]
        and array.ndim == len(spec.shape)
        and all(wanted in (-1, size) for size, wanted in zip(array.shape, spec.shape, strict=True))
    )
