"""What the in-process client adds to a call of the runtime, with counting on.

The same session options, the same input and the same thread: `client.infer` beside a bare
`session.run`, taking turns. Two models: one of about a millisecond, for the share, and a tiny one,
for the microseconds. The client checks the input, checks the answer, copies what it will count and
counts in the background; the time of its thread is part of the figure, as it shares the
interpreter. `ns_per_value` is binning alone: the time to count one value of a column, which for two
of the three columns is a summary of the image.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import report

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.agent_worker.installed import install
from tests.agent_worker.small_release import MODEL_FILE, Bundle, Images, digits, pack, train

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.client import Client
from lamplighter_agent.observe.answers import Answers
from lamplighter_agent.observe.counting import Counting

SESSIONS, TURNS = 12, 8
#: Hidden units and calls per turn: the first is about a millisecond on the machine below.
SIZES = {"millisecond": ((3072, 3072), 30), "tiny": ((16,), 1500)}


def bare(model: Path, image: Images) -> Callable[[], object]:
    """A call of the runtime and nothing else."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names, inputs = [output.name for output in session.get_outputs()], {"image": image}
    return lambda: session.run(names, inputs)


def us_per_call(call: Callable[[], object], calls: int) -> float:
    """The mean time of a call."""
    started_mono = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - started_mono) / calls * 1e6


def measure(bundle: Bundle, image: Images, calls: int) -> tuple[float, float]:
    """Microseconds of a bare call, and what the client adds: the median of turns.

    Where a session's weights come to lie makes more difference than what is measured: so there are
    several sessions of each kind.
    """
    model, inputs = bundle.manifest.model, {"image": image}
    pairs = []
    with tempfile.TemporaryDirectory() as name:
        files = install(Path(name), bundle).files
        path = DataDir(Path(name)).blobs / "sha256" / files[MODEL_FILE]
        for _ in range(SESSIONS):
            with Client(Path(name)) as client:
                client.infer(model, inputs)
                alone = bare(path, image)
                for _ in range(TURNS):
                    base_us = us_per_call(alone, calls)
                    ours_us = us_per_call(lambda: client.infer(model, inputs), calls)
                    pairs.append((base_us, ours_us - base_us))
    return (
        statistics.median(base for base, _ in pairs),
        statistics.median(added for _, added in pairs),
    )


def ns_per_value(bundle: Bundle, images: Images) -> float:
    """Binning alone, for each value that is observed."""
    counting, rows = Counting(bundle.manifest), images[:1]
    answers = Answers([3], np.full((1, 10), 0.1, dtype=np.float32))
    taken_s = []
    for _ in range(TURNS):
        for _ in range(1000):
            counting.answered({"image": rows}, answers, 0.001)
        started_mono = time.perf_counter()
        counting.settle()
        taken_s.append(time.perf_counter() - started_mono)
    return statistics.median(taken_s) / 1000 / len(bundle.manifest.columns) * 1e9


def main() -> None:
    """Measure."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    images, labels = digits()
    figures: dict[str, Any] = {}
    peers: dict[str, Any] = {}
    for name, (hidden, calls) in SIZES.items():
        report.progress(f"A model with {hidden} hidden units")
        bundle = pack(train(images, labels, hidden), images)
        base_us, added_us = measure(bundle, images[:1], calls)
        peers[f"session.run, {name}: us"] = round(base_us, 2)
        figures[f"added_us_{name}"] = round(added_us, 2)
        if name == "millisecond":
            figures["overhead_percent"] = round(100 * added_us / base_us, 2)
    figures["ns_per_value"] = round(ns_per_value(bundle, images))
    report.publish(
        "counting",
        figures=figures,
        peers=peers,
        packages=("lamplighter-agent", "onnxruntime", "numpy"),
    )


if __name__ == "__main__":
    main()
