"""scikit-learn to ONNX, with the preprocessing in the graph."""

from typing import Final

from onnx import GraphProto, ModelProto, TensorProto
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
_SERVED: Final = [(LABEL, TensorProto.INT64), (PROBABILITIES, TensorProto.FLOAT)]


def to_onnx(estimator: BaseEstimator, *, input_name: str, features: int) -> bytes:
    """Convert a fitted classifier, or a pipeline that ends in one.

    The input is float32 of shape (n, features); the outputs are `label`, int64 of shape (n,), and
    `probabilities`, float32 of shape (n, classes). The same estimator gives the same bytes.

    Args:
        estimator: What was fitted, on classes that are whole numbers.
        input_name: What the input tensor shall be called.
        features: How many numbers a row has; what the estimator was fitted on.

    Raises:
        LamplighterError: CONVERSION_REFUSED with the reason.
    """
    kind = type(estimator).__name__
    last = getattr(estimator, "steps", [(kind, estimator)])[-1][1]
    if not isinstance(last, ClassifierMixin) or not hasattr(last, "predict_proba"):
        raise LamplighterError(
            "CONVERSION_REFUSED", f"{kind} is not a classifier that gives probabilities."
        )
    fitted_on = getattr(estimator, "n_features_in_", features)
    if fitted_on != features:
        raise LamplighterError(
            "CONVERSION_REFUSED", f"{kind} was fitted on rows of {fitted_on}, not of {features}."
        )
    try:
        model = convert_sklearn(
            estimator,
            name="lamplighter",
            initial_types=[(input_name, FloatTensorType([None, features]))],
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
    outputs = [(out.name, out.type.tensor_type.elem_type) for out in model.graph.output]
    if outputs != _SERVED:
        raise LamplighterError("CONVERSION_REFUSED", f"{kind} has outputs that we do not serve.")
    # The converter lists them from a set, in the order of string hashes: another in each process.
    model.opset_import.sort(key=lambda opset: opset.domain)
    _number_names(model)
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


def _number_names(model: ModelProto) -> None:
    """Name what is inside the graph by its position: the converter counts on from call to call."""
    kept = [*model.graph.input, *model.graph.output]
    names: dict[str, str] = {"": "", **{value.name: value.name for value in kept}}

    def rename(name: str) -> str:
        return names.setdefault(name, f"v{len(names)}")

    def visit(graph: GraphProto) -> None:
        for values in (graph.input, graph.initializer, graph.output, graph.value_info):
            for value in values:
                value.name = rename(value.name)
        for number, node in enumerate(graph.node):
            node.name = f"n{number}"
            node.input[:] = map(rename, node.input)
            node.output[:] = map(rename, node.output)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    attribute.g.name = f"g{number}"
                    visit(attribute.g)

    visit(model.graph)
