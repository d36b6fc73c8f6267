import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from tests.converters.conftest import Arrays

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.session import run


@pytest.mark.parametrize(
    "estimator",
    [
        Pipeline([("scale", StandardScaler()), ("line", LogisticRegression(max_iter=500))]),
        RandomForestClassifier(n_estimators=10, random_state=1),
    ],
)
def test_the_graph_answers_as_the_estimator(estimator: BaseEstimator, digits: Arrays) -> None:
    images, labels = digits
    estimator.fit(images, labels)
    answers = run(to_onnx(estimator, Inputs.matrix("image", 64)), {"image": images})
    assert (answers["label"] == estimator.predict(images)).mean() > 0.999
    np.testing.assert_allclose(answers["probabilities"], estimator.predict_proba(images), atol=1e-4)


def test_the_same_estimator_gives_the_same_bytes(network: Pipeline, network_onnx: bytes) -> None:
    assert to_onnx(network, Inputs.matrix("image", 64)) == network_onnx
