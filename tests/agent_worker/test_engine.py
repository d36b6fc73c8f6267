import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.agent_worker.small_release import Bundle

from lamplighter_agent.app.engine import Engine
from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol.errors import LamplighterError

IMAGE: npt.NDArray[np.float32] = np.zeros((2, 64), dtype=np.float32)


class FakeSession:
    """Answers what it is given."""

    def __init__(self, label: int = 3, error: LamplighterError | None = None) -> None:
        self.label = label
        self.error = error

    def run(self, inputs: Tensors) -> dict[str, Array]:
        if self.error is not None:
            raise self.error
        rows = len(inputs["image"])
        probabilities = np.full((rows, 10), 0.1, dtype=np.float32)
        return {"label": np.full(rows, self.label), "probabilities": probabilities}


def engine(bundle: Bundle, session: FakeSession) -> Engine:
    return Engine(bundle.manifest, bundle.manifest.variants[0], session)


def test_what_is_answered_is_counted_and_what_is_only_run_is_not(bundle: Bundle) -> None:
    release = engine(bundle, FakeSession())
    release.run({"image": IMAGE})
    assert release.counting.total().requests == 0
    release.infer({"image": IMAGE}, time.perf_counter())
    counts = release.counting.total()
    assert (counts.requests, counts.rows, counts.predicted[3]) == (1, 2, 2)


@pytest.mark.parametrize(
    "session",
    [
        FakeSession(label=11),
        FakeSession(error=LamplighterError("INFERENCE_FAILED", "The runtime refuses the input.")),
    ],
)
def test_a_failure_is_raised_and_counted_by_code(bundle: Bundle, session: Any) -> None:
    release = engine(bundle, session)
    with pytest.raises(LamplighterError, match="INFERENCE_FAILED"):
        release.infer({"image": IMAGE}, time.perf_counter())
    counts = release.counting.take()
    assert (counts.errors, counts.rows, counts.requests) == ({"INFERENCE_FAILED": 1}, 0, 1)


def test_what_a_runtime_prints_goes_to_the_log() -> None:
    script = (
        "import os\n"
        "from lamplighter_agent.app.worker import take_standard_output\n"
        "out = take_standard_output()\n"
        "print('from Python', flush=True)\n"
        "os.write(1, b'from a library')\n"
        "out.write(b'the message')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=os.environ)
    assert done.stdout == b"the message"
    assert done.stderr == b"from Python\nfrom a library"
