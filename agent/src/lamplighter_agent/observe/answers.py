"""What a model answered, checked against what was signed. Imported in worker processes only."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lamplighter_agent.ports.session import DATATYPES, Array, Tensors
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.errors import LamplighterError


class Answers(NamedTuple):
    """The answers to a batch.

    Attributes:
        classes: Positions of the answered labels in ClassOutput.labels, shape (n,).
        confidence: The probability of each answered label, 0 to 1, shape (n,).
    """

    classes: npt.NDArray[np.int64]
    confidence: Array


class AnswerReader:
    """Reads the answers of one release.

    The class that counts is the label that the client gets, which need not be the most probable
    one: scikit-learn's SVC and every classifier with a moved threshold answer otherwise.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._outputs = manifest.outputs
        self._answer = manifest.answer
        self._positions = {label: at for at, label in enumerate(manifest.answer.labels)}

    def read(self, outputs: Tensors, rows: int) -> Answers:
        """Check and read the outputs for a batch.

        Args:
            outputs: Arrays by tensor name.
            rows: The size of the batch.

        Raises:
            LamplighterError: INFERENCE_FAILED if an output is missing, of another type or size
                than signed, if a probability is not finite or if a label is unknown.
        """
        for spec in self._outputs:
            array = outputs.get(spec.name)
            wanted = (DATATYPES[spec.datatype], (rows,))
            if array is None or (array.dtype, array.shape[:1]) != wanted:
                found = "nothing" if array is None else f"{array.dtype} {array.shape}"
                raise _failed(
                    f"{spec.name!r} shall be {spec.datatype} for {rows} rows but is {found}"
                )
        labels = outputs[self._answer.label_tensor]
        probabilities = outputs[self._answer.probability_tensor]
        if labels.size != rows or probabilities.shape != (rows, len(self._positions)):
            raise _failed(
                f"labels have shape {labels.shape} and probabilities {probabilities.shape}, "
                f"for {rows} rows and {len(self._positions)} labels"
            )
        if not np.isfinite(probabilities).all():
            raise _failed("a probability is NaN or infinite")
        try:
            positions = [self._positions[str(label)] for label in labels.ravel().tolist()]
        except KeyError as error:
            raise _failed(f"it answers with {error}, which is no signed label") from error
        classes = np.array(positions, dtype=np.int64)
        return Answers(classes, probabilities[np.arange(rows), classes])


def _failed(what: str) -> LamplighterError:
    return LamplighterError("INFERENCE_FAILED", f"The model answers not as signed: {what}.")
