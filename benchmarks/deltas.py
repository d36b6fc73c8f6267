"""Bytes on the wire for a retrained model: whole, compressed, and as the patch that is offered.

Two networks for the digits of the demo, the one of its tuned recipe and a wide one, each as float
and as int8 ONNX as the demo packs them. Three ways to retrain: one gentle epoch more (a twentieth
of the learning rate), ten ordinary epochs more on the same data, and from scratch with another
seed. What is offered is chosen by the server's own code: the smallest of zstd, zstd with the old
file before it, and byte-wise difference with zstd; the whole file where none is worth it. Beside
it are bsdiff4 and xdelta3. Dense retraining is close to incompressible, and the figures say so.
"""

import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import report
import venvs
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.quantize.int8 import to_int8
from lamplighter_protocol.patches import apply
from lamplighter_server.patches.smallest import find_smallest, is_suitable
from lamplighter_server.training.dataset import Dataset
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.run import prepare

TUNED = RECIPES["tuned"]
NETWORKS = {"demo": (64, 32), "wide": (1024, 512)}
EPOCHS, RATE = 30, 1e-3
BSDIFF = "import bsdiff4, sys; bsdiff4.file_diff(*sys.argv[1:])"

Files = dict[str, bytes]
Diff = Callable[[Path, Path, Path], list[str]]


def network(data: Dataset, hidden: tuple[int, ...], seed: int) -> Pipeline:
    """A trained network."""
    steps = [
        ("scale", StandardScaler()),
        ("network", MLPClassifier(hidden, max_iter=EPOCHS, random_state=seed)),
    ]
    trained: Pipeline = Pipeline(steps).fit(data.images, data.labels)
    return trained


def go_on(trained: Pipeline, data: Dataset, epochs: int, rate: float) -> None:
    """Train a network further; the scaling of its input stays."""
    mlp, images = trained["network"], trained["scale"].transform(data.images)
    mlp.set_params(learning_rate_init=rate)
    mlp._optimizer.learning_rate = mlp._optimizer.learning_rate_init = rate  # noqa: SLF001
    for _ in range(epochs):
        mlp.partial_fit(images, data.labels)


def export(trained: Pipeline, data: Dataset) -> Files:
    """Its files, as the demo packs them."""
    name = data.image.tensor
    exact = to_onnx(trained, Inputs.matrix(name, data.images.shape[1]))
    return {"fp32": exact, "int8": to_int8(exact, {name: data.images})}


def retrain(data: Dataset, hidden: tuple[int, ...]) -> Iterator[tuple[str, Files, Files]]:
    """Name, former files and new files of each way to retrain."""
    trained = network(data, hidden, seed=1)
    old = export(trained, data)
    go_on(trained, data, 1, RATE / 20)
    yield "gentle", old, export(trained, data)
    go_on(trained, data, 10, RATE)
    yield "ten epochs", old, export(trained, data)
    yield "another seed", old, export(network(data, hidden, seed=2), data)


def offer(new: bytes, old: bytes) -> dict[str, Any]:
    """What the server would offer, and what it costs the device."""
    alone = find_smallest(new, None, len(new)) if is_suitable(len(new)) else None
    zstd_bytes = len(alone.patch) if alone else len(new)
    delta = find_smallest(new, old, zstd_bytes) if is_suitable(len(new)) else None
    best = delta or alone
    started_mono = time.perf_counter()
    if best is not None:
        made = b"".join(apply(best.kind, best.patch, old if delta else b"", len(new)))
        assert made == new
    return {
        "full_bytes": len(new),
        "zstd_bytes": zstd_bytes,
        "offered_bytes": len(best.patch) if best else len(new),
        "offered": best.kind if best else "full",
        "apply_ms": round((time.perf_counter() - started_mono) * 1e3, 1),
    }


def peers() -> dict[str, Diff]:
    """How each peer that is here makes a patch from one file to another."""
    python = venvs.install("deltas", "bsdiff4==1.3.2") / "python"
    found: dict[str, Diff] = {
        "bsdiff4": lambda old, new, out: [
            *(str(python), "-c", BSDIFF),
            *(str(old), str(new), str(out)),
        ]
    }
    if shutil.which("xdelta3"):
        found["xdelta3"] = lambda old, new, out: [
            *("xdelta3", "-e", "-9", "-f", "-s"),
            *(str(old), str(new), str(out)),
        ]
    return found


def size_with(diff: Diff, new: bytes, old: bytes) -> int:
    """The length of a peer's patch."""
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / part for part in ("old", "new", "patch")]
        for path, raw in zip(paths, (old, new), strict=False):
            path.write_bytes(raw)
        subprocess.run(diff(*paths), check=True)
        return paths[2].stat().st_size


def main() -> None:
    """Train, retrain, compare."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore", ConvergenceWarning)  # epochs are what is compared
    data, _ = prepare(TUNED)
    beside, figures, others = peers(), {}, {}
    for size, hidden in NETWORKS.items():
        for way, old, new in retrain(data, hidden):
            report.progress(f"The {size} network, {way}")
            for kind in new:
                case = f"{size} {kind}, {way}"
                figures[case] = offer(new[kind], old[kind])
                others[case] = {
                    f"{peer}_bytes": size_with(diff, new[kind], old[kind])
                    for peer, diff in beside.items()
                }
    report.publish(
        "deltas",
        figures=figures,
        peers=others,
        packages=("lamplighter-server", "numpy", "scikit-learn", "skl2onnx"),
    )


if __name__ == "__main__":
    main()
