"""A small but complete release."""

import numpy as np
import pytest

from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import (
    ClassOutput,
    Column,
    Golden,
    HealthPolicy,
    ImageInput,
    Lineage,
    Manifest,
    TensorSpec,
    Variant,
)
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts


def make_manifest(release: int = 1, requires: tuple[str, ...] = ("classification",)) -> Manifest:
    edges = tuple(float(x) for x in np.linspace(0, 1, 5))
    column = Column(
        name="brightness", kind="numeric", tensor="image", summary="brightness", edges=edges
    )
    return Manifest(
        format=1,
        requires=requires,
        model="digits",
        release=release,
        task="classification",
        inputs=(TensorSpec(name="image", datatype="FP32", shape=(-1, 16)),),
        outputs=(TensorSpec(name="label", datatype="INT64", shape=(-1,)),),
        image=ImageInput(tensor="image", height=4, width=4, white=16.0),
        columns=(column,),
        answer=ClassOutput(
            label_tensor="label",
            probability_tensor="probabilities",
            labels=("0", "1"),
            confidence_edges=(0.0, 0.5, 1.0),
        ),
        variants=(Variant(name="onnx-fp32", runtime="onnxruntime", file="model.onnx"),),
        files={"model.onnx": describe(b"m" * 70_000), "golden.npz": describe(b"g")},
        golden=Golden(file="golden.npz", rows=2),
        reference=Counts(
            rows=3,
            columns={"brightness": [0, 1, 1, 1, 0, 0, 0]},
            predictions=[[1, 0], [0, 2]],
            latency=[0] * LATENCY_SLOTS,
            errors={},
        ),
        health=HealthPolicy(),
        lineage=Lineage(
            dataset="digits",
            dataset_sha256="0" * 64,
            code_commit="unknown",
            parameters={"alpha": 0.5},
            seed=7,
            lock_sha256="unknown",
        ),
    )


@pytest.fixture
def manifest() -> Manifest:
    return make_manifest()
