"""A small fitted network and what it saw."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs

Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@pytest.fixture(scope="session")
def digits() -> Arrays:
    data = load_digits()
    return data.data.astype(np.float32), data.target


@pytest.fixture(scope="session")
def network(digits: Arrays) -> Pipeline:
    steps = [("scale", StandardScaler()), ("net", MLPClassifier((24,), tol=1e-3, random_state=1))]
    return Pipeline(steps).fit(*digits)


@pytest.fixture(scope="session")
def network_onnx(network: Pipeline) -> bytes:
    return to_onnx(network, Inputs.matrix("image", 64))
