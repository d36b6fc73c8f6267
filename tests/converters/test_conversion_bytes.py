"""The same estimator, the same bytes: also where the converter counts on from call to call."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from tests.converters.conftest import Arrays

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.session import run
from lamplighter_protocol.errors import LamplighterError


def test_a_graph_with_a_graph_inside_has_the_same_bytes_every_time(digits: Arrays) -> None:
    images, labels = digits[0][:200], digits[1][:200]
    neighbours = KNeighborsClassifier(3).fit(images, labels)
    first = to_onnx(neighbours, Inputs.matrix("image", 64))
    assert to_onnx(neighbours, Inputs.matrix("image", 64)) == first
    answers = run(first, {"image": images})
    assert answers["label"].tolist() == neighbours.predict(images).tolist()
    np.testing.assert_allclose(
        answers["probabilities"], neighbours.predict_proba(images), atol=1e-6
    )


@pytest.mark.parametrize("features", [0, 10, 65])
def test_another_width_than_the_fitted_one_is_refused(network: Pipeline, features: int) -> None:
    with pytest.raises(LamplighterError, match=f"fitted on rows of 64, not of {features}"):
        to_onnx(network, Inputs.matrix("image", features))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_labels_that_are_text_are_answered_by_their_position(digits: Arrays) -> None:
    words = MLPClassifier((4,), max_iter=2).fit(digits[0], digits[1].astype(str))
    answers = run(to_onnx(words, Inputs.matrix("image", 64)), {"image": digits[0]})
    assert words.classes_[answers["label"]].tolist() == words.predict(digits[0]).tolist()
