"""scikit-learn to ONNX. The same estimator gives the same bytes."""

import warnings

from skl2onnx import convert_sklearn
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from lamplighter_converters.estimators.finish import TARGET_OPSET, finish
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.estimators.missing import direct_missing
from lamplighter_converters.estimators.prepared import parts, prepare
from lamplighter_converters.estimators.task import task_of
from lamplighter_converters.onnx_bytes import canonical_bytes
from lamplighter_protocol.errors import LamplighterError


def to_onnx(estimator: BaseEstimator, inputs: Inputs) -> bytes:
    """Convert a fitted model, or a pipeline that ends in one.

    The outputs follow from the task (`estimators.task.OUTPUTS`): `label` is int64 of shape (n,),
    everything else float32 of shape (n, k). Labels that are text become their position in
    `classes_`. Whether the graph answers as the estimator is for `parity` to say.

    Args:
        estimator: What was fitted; it is not changed.
        inputs: What the graph shall take.

    Raises:
        LamplighterError: CONVERSION_REFUSED with the reason.
    """
    kind = type(estimator).__name__
    task = task_of(estimator)
    fitted_on = getattr(estimator, "n_features_in_", inputs.width)
    if fitted_on != inputs.width:
        raise LamplighterError(
            "CONVERSION_REFUSED",
            f"{kind} was fitted on rows of {fitted_on}, not of {inputs.width}.",
        )
    try:
        check_is_fitted(estimator)
        prepared = prepare(estimator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's own use of what is deprecated
            model = convert_sklearn(
                prepared,
                name="lamplighter",
                initial_types=inputs.types(),
                # Named without options, else pipelines hand their own on to classifiers that
                # do not take them.
                options={id(part): {} for part in parts(prepared)},
                target_opset={"": TARGET_OPSET, "ai.onnx.ml": 3},
            )
        direct_missing(model, prepared)
    except (MissingConverter, MissingShapeCalculator) as error:
        missing = str(error).partition("'<class '")[2].partition("'")[0].rpartition(".")[2]
        raise LamplighterError(
            "CONVERSION_REFUSED", f"There is no ONNX converter for {missing or kind}."
        ) from error
    except NotFittedError as error:
        raise LamplighterError("CONVERSION_REFUSED", f"{kind} is not fitted.") from error
    except LamplighterError:
        raise
    except Exception as error:  # converters are 125 modules by many hands
        reason = " ".join(str(error).split())[:300]
        raise LamplighterError(
            "CONVERSION_REFUSED", f"{kind} could not be converted: {reason}."
        ) from error
    finish(model, task)
    return canonical_bytes(model)
