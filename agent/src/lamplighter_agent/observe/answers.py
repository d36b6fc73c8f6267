"""What a model answered, checked against what was signed. Imported in worker processes only."""

import math
from typing import NamedTuple

import numpy as np

from lamplighter_agent.ports.session import DATATYPES, Array, Tensors
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.errors import LamplighterError


class Answers(NamedTuple):
    """The answers to a batch.

    Attributes:
        classes: Positions of the answered labels in ClassOutput.labels, one for each row.
        probabilities: Those of all labels, shape (n, labels).
    """

    classes: list[int]
    probabilities: Array


class AnswerReader:
    """Reads the answers of one release.

    The class that counts is the label that the client gets, which need not be the most probable
    one: scikit-learn's SVC and every classifier with a moved threshold answer otherwise.

    This is in the path of every request: it checks what must not be answered and leaves the
    arithmetic to whoever counts in bulk.
    """

    def __init__(self, manifest: Manifest) -> None:
        answer = manifest.answer
        self._outputs = [(spec.name, DATATYPES[spec.datatype]) for spec in manifest.outputs]
        self._label, self._probability = answer.label_tensor, answer.probability_tensor
        self._labels = len(answer.labels)
        self._positions = _Positions(answer.labels)

    def read(self, outputs: Tensors, rows: int) -> Answers:
        """Check and read the outputs for a batch.

        Args:
            outputs: Arrays by tensor name.
            rows: The size of the batch.

        Raises:
            LamplighterError: INFERENCE_FAILED if an output is missing, of another type or size
                than signed, if a probability is not finite or if a label is unknown.
        """
        for name, dtype in self._outputs:
            array = outputs.get(name)
            if array is None or array.dtype != dtype or array.shape[:1] != (rows,):
                found = "nothing" if array is None else f"{array.dtype} {array.shape}"
                raise _failed(f"{name!r} shall be {dtype} for {rows} rows but is {found}")
        labels, probabilities = outputs[self._label], outputs[self._probability]
        if labels.size != rows or probabilities.shape != (rows, self._labels):
            raise _failed(
                f"labels have shape {labels.shape} and probabilities {probabilities.shape}, "
                f"for {rows} rows and {self._labels} labels"
            )
        # A sum is the quickest look; only one that is not finite is worth a closer one.
        if not math.isfinite(np.add.reduce(probabilities, axis=None)) and not (
            np.isfinite(probabilities).all()
        ):
            raise _failed("a probability is NaN or infinite")
        try:
            classes = [self._positions[label] for label in labels.ravel().tolist()]
        except KeyError as error:
            raise _failed(f"it answers with {error}, which is no signed label") from error
        return Answers(classes, probabilities)


class _Positions(dict[object, int]):
    """Position by label as the tensor has it; the signed labels are its text."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        super().__init__()
        self._by_text = {label: at for at, label in enumerate(labels)}

    def __missing__(self, label: object) -> int:
        position = self[label] = self._by_text[str(label)]
        return position


def _failed(what: str) -> LamplighterError:
    return LamplighterError("INFERENCE_FAILED", f"The model answers not as signed: {what}.")
