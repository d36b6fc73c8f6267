"""A small release that a real runtime can run."""

import io
from functools import cache

import msgspec
import numpy as np
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from tests.protocol.conftest import make_manifest

from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import HealthPolicy, Manifest, TensorSpec


@cache
def _files(seed: int, note: str) -> dict[str, bytes]:
    inputs = np.random.default_rng(seed).uniform(0, 16, (60, 16)).astype(np.float32)
    labels = (inputs.mean(axis=1) > 8).astype(np.int64)
    estimator = LogisticRegression().fit(inputs, labels)
    graph = to_onnx(
        estimator,
        initial_types=None,
        X=inputs[:1],
        options={"zipmap": False},
        target_opset=17,
    )
    graph.graph.input[0].name = "image"
    for node in graph.graph.node:
        for position, name in enumerate(node.input):
            if name == "X":
                node.input[position] = "image"
    graph.doc_string = note
    golden = io.BytesIO()
    np.savez(
        golden,
        **{
            "image": inputs[:4],
            "onnx-fp32/label": estimator.predict(inputs[:4]),
            "onnx-fp32/probabilities": estimator.predict_proba(inputs[:4]).astype(np.float32),
        },
    )
    return {"model.onnx": graph.SerializeToString(), "golden.npz": golden.getvalue()}


def real_bundle(
    release: int, health: HealthPolicy | None = None, note: str = ""
) -> tuple[Manifest, dict[str, bytes]]:
    """A classifier of 16 numbers; every release answers in its own way.

    Args:
        release: Its number.
        health: How devices judge it; half a second of probation if None.
        note: Text that goes into the model's file.
    """
    files = _files(release, note)
    manifest = make_manifest(release)
    return (
        msgspec.structs.replace(
            manifest,
            files={name: describe(raw) for name, raw in files.items()},
            outputs=(
                *manifest.outputs,
                TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 2)),
            ),
            golden=msgspec.structs.replace(manifest.golden, rows=4),
            health=health or HealthPolicy(probation_s=0.5),
        ),
        files,
    )
