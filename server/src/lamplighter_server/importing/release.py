"""From a model file and a dataset to a release: judge, ask, compare, count, pack."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from lamplighter_converters import golden, reference
from lamplighter_converters.admit.judge import judge_file
from lamplighter_converters.admit.label import with_label
from lamplighter_converters.admit.signature import Signature
from lamplighter_converters.litert.session import LitertSession
from lamplighter_converters.pack import Bundle, pack
from lamplighter_converters.parity.answers import Answers
from lamplighter_converters.parity.compare import Parity, Tolerance, compare, require
from lamplighter_converters.session import OnnxSession, Outputs
from lamplighter_protocol.bundle import (
    ClassOutput,
    Golden,
    HealthPolicy,
    Lineage,
    Runtime,
    TensorSpec,
    Variant,
)
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.datasets import Dataset
from lamplighter_server.importing.rows import feed

Array = npt.NDArray[Any]

GOLDEN_FILE: Final = "golden.npz"
CONFIDENCE_BINS: Final = 20
#: Probabilities may differ by so much between kinds of processor; int8 kernels differ most.
TOLERANCE_ABS: Final = 5e-2
MIN_AGREEMENT: Final = 0.95
#: What is shipped answers as what was given, every time.
SAME: Final = Tolerance(min_agreement=1.0, max_error=1e-6)
_NAMES: Final[dict[Runtime, str]] = {"onnxruntime": "onnx", "litert": "litert"}
_ENDINGS: Final = {"onnxruntime": "onnx", "litert": "tflite"}


@dataclass(frozen=True)
class Asked:
    """A file's answers to the rows of a dataset."""

    raw: bytes
    signature: Signature
    label: TensorSpec
    probability: TensorSpec
    inputs: dict[str, Array]
    features: dict[str, tuple[str, ...]]
    outputs: Outputs
    parity: Parity
    """What is shipped against what was given, asked a second time."""

    @property
    def probabilities(self) -> Array:
        """Shape (n, labels)."""
        return self.outputs[self.probability.name]


@dataclass(frozen=True)
class Imported:
    """A bundle, and what was measured on the way."""

    bundle: Bundle
    evidence: dict[str, Any]


def build_import(
    raw: bytes, *, model: str, release: int, data: Dataset, labels: Sequence[str] = ()
) -> Imported:
    """Make a release of a classifier that was trained elsewhere.

    Args:
        raw: An ONNX or LiteRT file that answers probabilities, and a label or none.
        model: The model's name.
        release: The number that it will be published under.
        data: Rows as the model will see them; they become the reference.
        labels: What the label output says, in the order of the probabilities; "0", "1" and so on
            if empty.

    Raises:
        LamplighterError: MODEL_FILE_MALFORMED, MODEL_FILE_UNSAFE, MODEL_FILE_UNSUPPORTED,
            MODEL_SIGNATURE_MISMATCH, PARITY_REFUSED if it answers otherwise the second time,
            CONVERSION_REFUSED if the runtime refuses a row, or what reading the dataset raises.
    """
    arrays = data.to_arrays()
    asked = _ask(raw, arrays.features)
    width = asked.probabilities.shape[1]
    labels = tuple(labels) or tuple(str(at) for at in range(width))
    classes = _positions(asked, labels)
    name = _NAMES[asked.signature.runtime]
    file = f"{name}.{_ENDINGS[asked.signature.runtime]}"
    answer = ClassOutput(
        label_tensor=asked.label.name,
        probability_tensor=asked.probability.name,
        labels=labels,
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
            parameters={"imported_sha256": sha256(raw)},
            seed=0,
            lock_sha256="imported",
        ),
    )
    truth = arrays.label if len(arrays.classes) == width else None
    return Imported(bundle, _evidence(bundle, asked, name, classes, truth))


def _ask(raw: bytes, features: dict[str, Array]) -> Asked:
    signature = judge_file(raw)
    numbers = [one for one in signature.outputs if one.datatype == "FP32" and len(one.shape) == 2]
    others = [one for one in signature.outputs if one.datatype in {"INT64", "INT32", "BYTES"}]
    if len(numbers) != 1 or len(others) > 1:
        raise LamplighterError(
            "MODEL_SIGNATURE_MISMATCH",
            "A classifier answers one float32 tensor of probabilities (rows, classes) and at most "
            f"one label; the file answers {[one.name for one in signature.outputs]}.",
        )
    inputs, names = feed(signature.inputs, features)
    if others:
        shipped, label = raw, others[0]
    else:
        shipped, label = with_label(raw, signature, numbers[0].name)
    first, again = (_run(one, signature.runtime, inputs) for one in (raw, shipped))
    wanted = first[numbers[0].name]
    parity = compare(
        _NAMES[signature.runtime],
        Answers(again[numbers[0].name], again[label.name].ravel()),
        Answers(wanted, first[label.name].ravel() if others else wanted.argmax(axis=1)),
    )
    require(parity, SAME)
    return Asked(shipped, signature, label, numbers[0], inputs, names, again, parity)


def _run(raw: bytes, runtime: Runtime, inputs: dict[str, Array]) -> Outputs:
    """One by one, as requests come: files with a fixed batch of one are common."""
    session = OnnxSession(raw) if runtime == "onnxruntime" else LitertSession(raw)
    answered = [
        session.run({name: values[at : at + 1] for name, values in inputs.items()})
        for at in range(len(next(iter(inputs.values()))))
    ]
    return {name: np.concatenate([row[name] for row in answered]) for name in answered[0]}


def _positions(asked: Asked, labels: tuple[str, ...]) -> Array:
    """The positions of the answered labels; everything that is answered must be signed."""
    probabilities, answered = asked.probabilities, asked.outputs[asked.label.name].ravel()
    if probabilities.shape != (len(answered), len(labels)) or len(set(labels)) != len(labels):
        raise LamplighterError(
            "MODEL_SIGNATURE_MISMATCH",
            f"The file answers {probabilities.shape[1:]} probabilities; {len(labels)} labels were "
            "given.",
        )
    sums = probabilities.sum(axis=1)
    if not (probabilities >= 0).all() or not (np.abs(sums - 1) < 0.05).all():
        raise LamplighterError(
            "MODEL_SIGNATURE_MISMATCH",
            f"{asked.probability.name!r} holds no probabilities: a row sums to {sums.max():.3g}. "
            "Export the model with its softmax.",
        )
    known = {label: at for at, label in enumerate(labels)}
    unknown = sorted({str(label) for label in answered.tolist()} - known.keys())
    if unknown:
        raise LamplighterError(
            "MODEL_SIGNATURE_MISMATCH",
            f"The file answers the labels {unknown[:5]}; name all with --labels.",
        )
    return np.array([known[str(label)] for label in answered.tolist()], np.int64)


def _batched(spec: TensorSpec) -> TensorSpec:
    """A file with a batch of one serves rows one by one; the signature leaves it free."""
    return msgspec.structs.replace(spec, shape=(-1, *spec.shape[1:]))


def _golden(asked: Asked, variant: str, rows: Array) -> bytes:
    arrays = {name: values[rows] for name, values in asked.inputs.items()}
    arrays |= {f"{variant}/{name}": values[rows] for name, values in asked.outputs.items()}
    return golden.write_npz(arrays)


def _evidence(
    bundle: Bundle, asked: Asked, variant: str, classes: Array, truth: Array | None
) -> dict[str, Any]:
    known = None if truth is None else truth >= 0
    measured: dict[str, Any] = {"rows": len(classes), "size_bytes": len(asked.raw)}
    if truth is not None and known is not None and known.any():
        measured["accuracy"] = float((classes[known] == truth[known]).mean())
    return {
        "model": bundle.manifest.model,
        "release": bundle.manifest.release,
        "bundle_sha256": bundle.sha256,
        "bundle_size_bytes": bundle.size_bytes,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
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
