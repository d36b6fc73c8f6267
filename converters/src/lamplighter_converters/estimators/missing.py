"""Which way a missing value takes in a tree: the converter forgets it."""

import itertools
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper
from sklearn.base import BaseEstimator

from lamplighter_converters.estimators.histogram import at_most_float32
from lamplighter_converters.estimators.prepared import parts

Array = npt.NDArray[Any]

_TRACKS: Final = "nodes_missing_value_tracks_true"


def direct_missing(model: ModelProto, estimator: BaseEstimator) -> None:
    """Write into each tree of the graph where its original sends NaN.

    Trees are recognised by the features and thresholds of their nodes. Trees that are none of
    scikit-learn's binary trees (histogram trees) were converted right and stay.
    """
    ways: dict[bytes, Array] = {}
    for part in parts(estimator):
        tree = getattr(part, "tree_", None)
        if tree is not None:
            leaf = tree.children_left < 0
            features = np.where(leaf, 0, tree.feature)
            thresholds = np.where(leaf, 0, tree.threshold)
            ways[_key(features, at_most_float32(thresholds))] = np.where(
                leaf, 0, tree.missing_go_to_left
            )
    for node in model.graph.node:
        if node.op_type.startswith("TreeEnsemble"):
            _direct(node, ways)


def _direct(node: NodeProto, ways: dict[bytes, Array]) -> None:
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    trees, features = np.array(found["nodes_treeids"]), np.array(found["nodes_featureids"])
    thresholds = np.array(found["nodes_values"], np.float32)
    tracks = np.array(found.get(_TRACKS, np.zeros(len(trees))), np.int64)
    cuts = [0, *(np.flatnonzero(np.diff(trees)) + 1).tolist(), len(trees)]
    for start, end in itertools.pairwise(cuts):
        way = ways.get(_key(features[start:end], thresholds[start:end]))
        if way is not None:
            tracks[start:end] = way
    kept = [attribute for attribute in node.attribute if attribute.name != _TRACKS]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(_TRACKS, tracks.tolist())])


def _key(features: Array, thresholds: Array) -> bytes:
    return features.astype(np.int64).tobytes() + thresholds.astype(np.float32).tobytes()
