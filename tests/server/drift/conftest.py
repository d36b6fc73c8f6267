"""A release with numeric, category and predicted columns, and samples drawn from it."""

from collections.abc import Callable

import numpy as np
import pytest

from lamplighter_protocol.binning import count_categories, count_numeric, quantile_edges
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import (
    ClassOutput,
    Column,
    Golden,
    HealthPolicy,
    Lineage,
    Manifest,
    TensorSpec,
    Variant,
)
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts

NUMERIC = 8
KINDS = ("round", "flat", "none")
Draw = Callable[..., Counts]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Counts of n rows; `shift` in sigmas by column, `nulls` and `label` as shares."""

    def counts(
        rng: np.random.Generator,
        manifest: Manifest,
        n: int,
        *,
        shift: dict[str, float] | None = None,
        nulls: float = 0.0,
        label: float = 0.5,
    ) -> Counts:
        columns = {}
        for column in manifest.columns:
            if column.kind == "category":
                drawn = [str(kind) for kind in rng.choice(KINDS, size=n, p=[0.6, 0.3, 0.1])]
                columns[column.name] = count_categories(list(drawn), column.categories)
                continue
            values = rng.normal((shift or {}).get(column.name, 0.0), size=n)
            values[rng.uniform(size=n) < nulls] = np.nan
            columns[column.name] = count_numeric(values, column.edges)
        ones = int(rng.binomial(n, label))
        return Counts(
            rows=n,
            columns=columns,
            predictions=[[0, n - ones], [0, ones]],
            latency=[n] + [0] * (LATENCY_SLOTS - 1),
            errors={},
        )

    return counts


@pytest.fixture(scope="session")
def drifting_manifest(draw: Draw) -> Manifest:
    """Eight normal columns, one category and two labels; 5,000 reference rows."""
    rng = np.random.default_rng(1)
    edges = quantile_edges(rng.normal(size=5000))
    numeric = tuple(
        Column(name=f"x{i}", kind="numeric", tensor="row", index=i, edges=edges)
        for i in range(NUMERIC)
    )
    kind = Column(name="kind", kind="category", tensor="row", index=NUMERIC, categories=KINDS)

    def make(reference: Counts) -> Manifest:
        return Manifest(
            format=1,
            requires=("classification",),
            model="pumps",
            release=2,
            task="classification",
            inputs=(TensorSpec(name="row", datatype="FP32", shape=(-1, NUMERIC + 1)),),
            outputs=(TensorSpec(name="label", datatype="INT64", shape=(-1,)),),
            image=None,
            columns=(*numeric, kind),
            answer=ClassOutput(
                label_tensor="label",
                probability_tensor="probabilities",
                labels=("fine", "worn"),
                confidence_edges=(0.0, 0.5, 1.0),
            ),
            variants=(Variant(name="onnx-fp32", runtime="onnxruntime", file="model.onnx"),),
            files={"model.onnx": describe(b"m"), "golden.npz": describe(b"g")},
            golden=Golden(file="golden.npz", rows=2),
            reference=reference,
            health=HealthPolicy(),
            lineage=Lineage(
                dataset="pumps",
                dataset_sha256="0" * 64,
                code_commit="unknown",
                parameters={},
                seed=7,
                lock_sha256="unknown",
            ),
        )

    slots = {column.name: [0] * column.count_slots for column in (*numeric, kind)}
    empty = Counts(
        rows=0,
        columns=slots,
        predictions=[[0, 0], [0, 0]],
        latency=[0] * LATENCY_SLOTS,
        errors={},
    )
    return make(draw(rng, make(empty), 5000))
