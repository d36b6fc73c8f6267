"""A copy of an estimator in the form that the converter handles right."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

from lamplighter_converters.estimators.exact import SCALERS, prepare_scaler
from lamplighter_converters.estimators.histogram import prepare_histogram
from lamplighter_protocol.errors import LamplighterError


def parts(estimator: Any) -> Iterator[Any]:  # noqa: ANN401 - pipelines nest in lists and tuples
    """An estimator and all fitted ones inside it."""
    if isinstance(estimator, BaseEstimator):
        yield estimator
        children = [
            value
            for name, value in vars(estimator).items()
            # "estimators" are the unfitted templates of what lies in "estimators_"
            if name not in {"estimator", "estimators", "base_estimator"}
        ]
    elif isinstance(estimator, (list, tuple)):
        children = list(estimator)
    elif isinstance(estimator, np.ndarray) and estimator.dtype == object:
        children = estimator.ravel().tolist()
    else:
        return
    for child in children:
        yield from parts(child)


def prepare(estimator: BaseEstimator) -> BaseEstimator:
    """A deep copy that converts as the original answers; the original stays as it was.

    Raises:
        LamplighterError: CONVERSION_REFUSED for what the converter would get wrong in silence.
    """
    prepared = copy.deepcopy(estimator)
    all_parts = list(parts(prepared))
    has_trees = any(hasattr(part, "tree_") or hasattr(part, "_predictors") for part in all_parts)
    scaled = any(isinstance(part, SCALERS) for part in all_parts)
    for part in all_parts:
        if isinstance(part, (CountVectorizer, HashingVectorizer)):
            raise LamplighterError(
                "CONVERSION_REFUSED", "Text is cut into words otherwise in ONNX than in Python."
            )
        if isinstance(part, VotingClassifier):
            part.flatten_transform = False  # concerns `transform` only; True is not implemented
        if hasattr(part, "_predictors"):
            prepare_histogram(part, scaled=scaled)
        if has_trees and isinstance(part, SCALERS):
            prepare_scaler(part)
    return prepared
