"""scikit-learn to ONNX, with the preprocessing in the graph."""

from typing import Final

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from lamplighter_protocol.errors import LamplighterError

#: Understood by every runtime on the agent's list, down to onnxruntime 1.23.
TARGET_OPSET: Final = 17
LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"


def to_onnx(estimator: BaseEstimator, *, input_name: str, features: int) -> bytes:
    """Convert a fitted classifier, or a pipeline that ends in one.

    The input is float32 of shape (n, features); the outputs are `label`, shape (n,), and
    `probabilities`, shape (n, classes). The same estimator gives the same bytes.

    Raises:
        LamplighterError: CONVERSION_REFUSED with the reason.
    """
    kind = type(estimator).__name__
    last = getattr(estimator, "steps", [(kind, estimator)])[-1][1]
    if not isinstance(last, ClassifierMixin) or not hasattr(last, "predict_proba"):
        raise LamplighterError(
            "CONVERSION_REFUSED", f"{kind} is not a classifier that gives probabilities."
        )
    try:
        model = convert_sklearn(
            estimator,
            name="lamplighter",
            initial_types=[(input_name, FloatTensorType([None, features]))],
            final_types=None,
            options={"zipmap": False},
            target_opset=TARGET_OPSET,
        )
    except (MissingConverter, MissingShapeCalculator) as error:
        raise LamplighterError(
            "CONVERSION_REFUSED", f"There is no ONNX converter for {type(last).__name__}."
        ) from error
    except (NotFittedError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise LamplighterError(
            "CONVERSION_REFUSED", f"{kind} could not be converted: {error}."
        ) from error
    if [output.name for output in model.graph.output] != [LABEL, PROBABILITIES]:
        raise LamplighterError("CONVERSION_REFUSED", f"{kind} has outputs that we do not serve.")
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw
