"""A real small release: a classifier of scikit-learn's digits, as ONNX, with its manifest."""

import io
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from lamplighter_agent.runtime.load import load
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
    encode_manifest,
)
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts

VARIANT = "onnx-fp32"
MODEL_FILE = f"{VARIANT}.onnx"
LABELS = tuple(str(digit) for digit in range(10))
CONFIDENCE_EDGES = tuple(step / 20 for step in range(21))
COLUMNS = (
    Column(name="brightness", kind="numeric", tensor="image", summary="brightness", edges=(0, 1)),
    Column(name="contrast", kind="numeric", tensor="image", summary="contrast", edges=(0, 0.5, 1)),
    Column(name="centre", kind="numeric", tensor="image", index=36, edges=(0, 0.25, 0.5, 0.75)),
)

Images = npt.NDArray[np.float32]


class Bundle(NamedTuple):
    """What a worker gets."""

    manifest: Manifest
    manifest_raw: bytes
    files: dict[str, bytes]


def digits() -> tuple[Images, npt.NDArray[np.int64]]:
    """Images of shape (n, 64), 0 black to 1 white, and what they show."""
    found = load_digits()
    return (found.data / 16).astype(np.float32), found.target.astype(np.int64)


def train(images: Images, labels: npt.NDArray[np.int64], hidden: tuple[int, ...] = (16,)) -> bytes:
    """An ONNX model with the outputs `label` and `probabilities`."""
    rounds = 20 if sum(hidden) < 100 else 1
    network = MLPClassifier(hidden_layer_sizes=hidden, max_iter=rounds, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it need not be good
        network.fit(images, labels)
    model: Any = convert_sklearn(
        network,
        initial_types=[("image", FloatTensorType([None, 64]))],
        options={"zipmap": False},
        target_opset=17,
    )
    raw: bytes = model.SerializeToString()
    return raw


def pack(model: bytes, images: Images) -> Bundle:
    """The manifest and the files of release 1, with the first 20 images as golden inputs."""
    golden_images = images[:20]
    answers = load("onnxruntime", model).run({"image": golden_images})
    expected: dict[str, Any] = {f"{VARIANT}/{name}": values for name, values in answers.items()}
    golden = io.BytesIO()
    np.savez(golden, image=golden_images, **expected)
    files = {MODEL_FILE: model, "golden.npz": golden.getvalue()}
    manifest = Manifest(
        format=1,
        requires=("classification", "golden-npz", "image-summaries"),
        model="meter-digits",
        release=1,
        task="classification",
        inputs=(TensorSpec(name="image", datatype="FP32", shape=(-1, 64)),),
        outputs=(
            TensorSpec(name="label", datatype="INT64", shape=(-1,)),
            TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 10)),
        ),
        image=ImageInput(tensor="image", height=8, width=8, white=1.0),
        columns=COLUMNS,
        answer=ClassOutput(
            label_tensor="label",
            probability_tensor="probabilities",
            labels=LABELS,
            confidence_edges=CONFIDENCE_EDGES,
        ),
        variants=(Variant(name=VARIANT, runtime="onnxruntime", file=MODEL_FILE),),
        files={name: describe(raw) for name, raw in files.items()},
        golden=Golden(file="golden.npz", rows=len(golden_images)),
        reference=Counts(
            rows=0,
            columns={column.name: [0] * column.count_slots for column in COLUMNS},
            predictions=[[0] * (len(CONFIDENCE_EDGES) - 1) for _ in LABELS],
            latency=[0] * LATENCY_SLOTS,
            errors={},
        ),
        health=HealthPolicy(),
        lineage=Lineage(
            dataset="digits",
            dataset_sha256="0" * 64,
            code_commit="0" * 40,
            parameters={},
            seed=0,
            lock_sha256="0" * 64,
        ),
    )
    return Bundle(manifest, encode_manifest(manifest), files)
