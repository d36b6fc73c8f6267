"""What travels to a device that runs the former release: whole, compressed, or as a patch.

The demo's model family at a size that is worth a patch (a network of 64-512-256-10): trained, then
trained on a little more, then with more data and other random numbers. Each pair as ONNX float and
int8, in every form that the server makes, beside xdelta3 where it is installed. The smallest is
what the server offers; dense retraining is close to incompressible, and no form changes that.
"""

import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import report
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from lamplighter_converters.convert import to_onnx
from lamplighter_converters.quantize import to_int8
from lamplighter_protocol.assignment import PATCHES
from lamplighter_protocol.patches import apply, make

SEED = 20261123


def train(more: str) -> dict[str, bytes]:
    """The variants of one release; `more` says what came after the first training."""
    digits = load_digits()
    rows = digits.data.astype(np.float32)
    seed = SEED + (more == "anew")
    warnings.filterwarnings("ignore", category=ConvergenceWarning)  # short trainings, on purpose
    network = MLPClassifier((512, 256), max_iter=15, random_state=seed, warm_start=True)
    network.fit(rows[:1500], digits.target[:1500])
    if more == "gently":
        network.set_params(max_iter=1, learning_rate_init=1e-5)
        network.fit(rows[:1500], digits.target[:1500])
    exact = to_onnx(network, input_name="image", features=64)
    return {"onnx-fp32": exact, "onnx-int8": to_int8(exact, {"image": rows[:500]})}


def sizes(new: bytes, base: bytes) -> dict[str, Any]:
    """Every form of one file: bytes, and the time to apply the smallest."""
    found: dict[str, Any] = {"whole_bytes": len(new)}
    made = {
        kind: make(kind, new, b"" if kind == "zstd" else base)
        for kind in PATCHES
        if kind != "zstd-subtract" or len(new) == len(base)
    }
    found |= {f"{kind}_bytes": len(patch) for kind, patch in made.items()}
    kind = min(made, key=lambda item: len(made[item]))
    started_mono = time.perf_counter()
    done = b"".join(apply(kind, made[kind], b"" if kind == "zstd" else base, len(new)))
    found["apply_ms"] = round(1000 * (time.perf_counter() - started_mono), 1)
    assert done == new
    found["smallest_share"] = round(len(made[kind]) / len(new), 3)
    return found


def xdelta3(new: bytes, base: bytes) -> int | None:
    """The bytes of a patch by xdelta3 -9; None where it is not installed."""
    if not shutil.which("xdelta3"):
        return None
    with tempfile.TemporaryDirectory() as name:
        old, fresh, patch = (Path(name) / item for item in ("old", "new", "patch"))
        old.write_bytes(base)
        fresh.write_bytes(new)
        subprocess.run(["xdelta3", "-9", "-e", "-s", old, fresh, patch], check=True)
        return patch.stat().st_size


def main() -> None:
    """Measure and publish."""
    report.progress("Training three releases")
    first = train("")
    figures: dict[str, Any] = {}
    peers: dict[str, Any] = {}
    for more in ("gently", "anew"):
        for variant, new in train(more).items():
            report.progress(f"{variant}, trained {more}")
            figures[f"{variant} trained {more}"] = sizes(new, first[variant])
            peers[f"{variant} trained {more}"] = {"xdelta3_bytes": xdelta3(new, first[variant])}
    report.publish(
        "deltas",
        figures=figures,
        peers=peers,
        packages=("backports.zstd", "lamplighter-protocol", "scikit-learn"),
    )


if __name__ == "__main__":
    main()
