"""Judging a model file from elsewhere, and asking it about every row of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lamplighter_converters.admit.judge import judge_file
from lamplighter_converters.admit.label import with_label
from lamplighter_converters.admit.signature import Signature
from lamplighter_converters.litert.session import LitertSession
from lamplighter_converters.parity.answers import Answers
from lamplighter_converters.parity.compare import Parity, Tolerance, compare, require
from lamplighter_converters.session import OnnxSession, Outputs
from lamplighter_protocol.bundle import Runtime, TensorSpec
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.datasets import Dataset
from lamplighter_server.importing.rows import feed

Array = npt.NDArray[Any]

#: Variants by runtime.
NAMES: Final[dict[Runtime, str]] = {"onnxruntime": "onnx", "litert": "litert"}
#: What is shipped answers as what was given, every time.
SAME: Final = Tolerance(min_agreement=1.0, max_error=1e-6)


@dataclass(frozen=True)
class Asked:
    """A file's answers to the rows of a dataset."""

    raw: bytes
    """What is shipped: the file, with a label if it gave none."""
    imported_sha256: str
    """Of what was given."""
    signature: Signature
    label: TensorSpec
    probability: TensorSpec
    data: Dataset
    inputs: dict[str, Array]
    features: dict[str, tuple[str, ...]]
    """Which features stand in a row of an input."""
    outputs: Outputs
    labels: tuple[str, ...]
    classes: Array
    """Positions of the answered labels, shape (n,)."""
    truth: Array | None
    """Positions of the true labels, -1 where unknown; None if the dataset has no such labels."""
    parity: Parity
    """What is shipped against what was given, asked a second time."""

    @property
    def probabilities(self) -> Array:
        """Shape (n, labels)."""
        return self.outputs[self.probability.name]


def ask_file(raw: bytes, data: Dataset, labels: Sequence[str] = ()) -> Asked:
    """Judge a classifier that was trained elsewhere and ask it about a dataset.

    Args:
        raw: An ONNX or LiteRT file that answers probabilities, and a label or none.
        data: Rows as the model will see them.
        labels: What the label output says, in the order of the probabilities; "0", "1" and so on
            if empty.

    Raises:
        LamplighterError: MODEL_FILE_MALFORMED, MODEL_FILE_UNSAFE, MODEL_FILE_UNSUPPORTED,
            MODEL_SIGNATURE_MISMATCH, PARITY_REFUSED if it answers otherwise the second time,
            CONVERSION_REFUSED if the runtime refuses a row, or what reading the dataset raises.
    """
    signature = judge_file(raw)
    arrays = data.to_arrays()
    numbers = [one for one in signature.outputs if one.datatype == "FP32" and len(one.shape) == 2]
    others = [one for one in signature.outputs if one.datatype in {"INT64", "INT32", "BYTES"}]
    if len(numbers) != 1 or len(others) > 1:
        raise LamplighterError(
            "MODEL_SIGNATURE_MISMATCH",
            "A classifier answers one float32 tensor of probabilities (rows, classes) and at most "
            f"one label; the file answers {[one.name for one in signature.outputs]}.",
        )
    inputs, names = feed(signature.inputs, arrays.features)
    if others:
        shipped, label = raw, others[0]
    else:
        shipped, label = with_label(raw, signature, numbers[0].name)
    first, again = (_run(one, signature.runtime, inputs) for one in (raw, shipped))
    wanted = first[numbers[0].name]
    parity = compare(
        NAMES[signature.runtime],
        Answers(again[numbers[0].name], again[label.name].ravel()),
        Answers(wanted, first[label.name].ravel() if others else wanted.argmax(axis=1)),
    )
    require(parity, SAME)
    labels = tuple(labels) or tuple(str(at) for at in range(wanted.shape[1]))
    return Asked(
        raw=shipped,
        imported_sha256=sha256(raw),
        signature=signature,
        label=label,
        probability=numbers[0],
        data=data,
        inputs=inputs,
        features=names,
        outputs=again,
        labels=labels,
        classes=_positions(again[numbers[0].name], again[label.name].ravel(), labels),
        truth=arrays.label if len(arrays.classes) == len(labels) else None,
        parity=parity,
    )


def _run(raw: bytes, runtime: Runtime, inputs: dict[str, Array]) -> Outputs:
    """One by one, as requests come: files with a fixed batch of one are common."""
    session = OnnxSession(raw) if runtime == "onnxruntime" else LitertSession(raw)
    answered = [
        session.run({name: values[at : at + 1] for name, values in inputs.items()})
        for at in range(len(next(iter(inputs.values()))))
    ]
    return {name: np.concatenate([row[name] for row in answered]) for name in answered[0]}


def _positions(probabilities: Array, answered: Array, labels: tuple[str, ...]) -> Array:
    """The positions of the answered labels; everything that is answered must be signed."""
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
            f"The numbers are no probabilities: a row sums to {sums.max():.3g}. "
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
