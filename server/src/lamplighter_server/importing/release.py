"""From a file that was judged and asked to a release: count, pack, note what was measured."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from lamplighter_converters import golden, reference
from lamplighter_converters.pack import Bundle, pack
from lamplighter_protocol.bundle import (
    ClassOutput,
    Golden,
    HealthPolicy,
    Lineage,
    TensorSpec,
    Variant,
)
from lamplighter_server.clock import utc_now
from lamplighter_server.importing.asking import NAMES, Asked

Array = npt.NDArray[Any]

GOLDEN_FILE: Final = "golden.npz"
CONFIDENCE_BINS: Final = 20
#: Probabilities may differ by so much between kinds of processor; int8 kernels differ most.
TOLERANCE_ABS: Final = 5e-2
MIN_AGREEMENT: Final = 0.95
_ENDINGS: Final = {"onnxruntime": "onnx", "litert": "tflite"}


@dataclass(frozen=True)
class Imported:
    """A bundle, and what was measured on the way."""

    bundle: Bundle
    evidence: dict[str, Any]


def build_import(asked: Asked, *, model: str, release: int) -> Imported:
    """Make a release of a file that was judged and asked.

    Args:
        asked: The file and its answers; the rows become the reference.
        model: The model's name.
        release: The number that it will be published under.
    """
    data, classes, width = asked.data, asked.classes, len(asked.labels)
    name = NAMES[asked.signature.runtime]
    file = f"{name}.{_ENDINGS[asked.signature.runtime]}"
    answer = ClassOutput(
        label_tensor=asked.label.name,
        probability_tensor=asked.probability.name,
        labels=asked.labels,
        confidence_edges=tuple(np.linspace(0, 1, CONFIDENCE_BINS + 1).tolist()),
    )
    inputs = tuple(_batched(spec) for spec in asked.signature.inputs)
    columns = reference.table_columns(
        [(spec, asked.features[spec.name]) for spec in inputs], asked.inputs
    )
    rows = golden.choose_rows(classes, asked.probabilities)
    bundle = pack(
        {file: asked.raw, GOLDEN_FILE: _golden(asked, name, rows)},
        model=model,
        release=release,
        task="classification",
        inputs=inputs,
        outputs=(
            _batched(asked.label),
            msgspec.structs.replace(asked.probability, shape=(-1, width)),
        ),
        image=None,
        columns=columns,
        answer=answer,
        variants=(
            Variant(
                name=name,
                runtime=asked.signature.runtime,
                file=file,
                tolerance_abs=TOLERANCE_ABS,
                min_agreement=MIN_AGREEMENT,
            ),
        ),
        golden=Golden(file=GOLDEN_FILE, rows=len(rows)),
        reference=reference.count_reference(
            columns,
            answer,
            None,
            inputs=asked.inputs,
            probabilities=asked.probabilities,
            classes=classes,
        ),
        health=HealthPolicy(),
        lineage=Lineage(
            dataset=data.name,
            dataset_sha256=data.sha256,
            code_commit="imported",
            parameters={"imported_sha256": asked.imported_sha256},
            seed=0,
            lock_sha256="imported",
        ),
    )
    return Imported(bundle, _evidence(bundle, asked, name))


def _batched(spec: TensorSpec) -> TensorSpec:
    """A file with a batch of one serves rows one by one; the signature leaves it free."""
    return msgspec.structs.replace(spec, shape=(-1, *spec.shape[1:]))


def _golden(asked: Asked, variant: str, rows: Array) -> bytes:
    arrays = {name: values[rows] for name, values in asked.inputs.items()}
    arrays |= {f"{variant}/{name}": values[rows] for name, values in asked.outputs.items()}
    return golden.write_npz(arrays)


def _evidence(bundle: Bundle, asked: Asked, variant: str) -> dict[str, Any]:
    measured: dict[str, Any] = {"rows": len(asked.classes), "size_bytes": len(asked.raw)}
    if asked.truth is not None and (known := asked.truth >= 0).any():
        measured["accuracy"] = float((asked.classes[known] == asked.truth[known]).mean())
    return {
        "model": bundle.manifest.model,
        "release": bundle.manifest.release,
        "bundle_sha256": bundle.sha256,
        "bundle_size_bytes": bundle.size_bytes,
        "created_utc": utc_now().isoformat(timespec="seconds"),
        "variants": {variant: measured},
        "parity": [
            {
                "variant": variant,
                "rows": asked.parity.rows,
                "agreement": asked.parity.agreement,
                "max_abs_difference": asked.parity.max_error,
                "flips": asked.parity.flips,
            }
        ],
        "imported": msgspec.to_builtins(asked.signature),
    }
