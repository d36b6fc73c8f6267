"""Estimator families on real data: what the conversion table shows and the tests hold to parity."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from sklearn import (
    cluster,
    datasets,
    discriminant_analysis,
    ensemble,
    gaussian_process,
    linear_model,
    mixture,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
    tree,
)
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_classif
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from lamplighter_converters.estimators.inputs import Inputs

Rows = Any


@dataclass(frozen=True)
class Table:
    """Rows with answers, in two parts, and how a graph takes them."""

    inputs: Inputs
    train: Rows
    held_out: Rows
    train_answers: Rows


@dataclass(frozen=True)
class Family:
    """How to make an estimator, and the rows to fit it on."""

    make: Callable[[], BaseEstimator]
    table: Callable[[], Table]


@cache
def digits() -> Table:
    """1797 scans of 64 grey values, ten classes."""
    return _matrix(*datasets.load_digits(return_X_y=True))


@cache
def wine() -> Table:
    """178 wines, 13 measurements of very different ranges, three classes."""
    return _matrix(*datasets.load_wine(return_X_y=True))


@cache
def tumours() -> Table:
    """569 tumours, 30 measurements, two classes."""
    return _matrix(*datasets.load_breast_cancer(return_X_y=True))


@cache
def diabetes() -> Table:
    """442 patients, 10 measurements, the progress of their disease."""
    return _matrix(*datasets.load_diabetes(return_X_y=True))


@cache
def missing() -> Table:
    """The wines, with one value in ten missing."""
    rows, answers = datasets.load_wine(return_X_y=True)
    rows = rows.astype(np.float32)
    rows[np.random.default_rng(1).random(rows.shape) < 0.1] = np.nan
    return _matrix(rows, answers)


@cache
def mixed() -> Table:
    """The wines with two columns of strings and with missing values; the classes are words."""
    rows, answers = datasets.load_wine(return_X_y=True)
    random = np.random.default_rng(2)
    alcohol = np.where(random.random(len(rows)) < 0.1, np.nan, rows[:, 0])
    hue = np.where(rows[:, 10] > 1, "pale", "deep")
    soil = random.choice(["clay", "sand", "chalk, dry", "löss"], len(rows))
    columns = (alcohol.astype(np.float32), rows[:, 12].astype(np.float32), hue, soil)
    frame = np.column_stack([column.astype(object) for column in columns])
    words = np.array(["barolo", "grignolino", "barbera"])[answers]
    train, held_out, train_words, _ = train_test_split(frame, words, test_size=0.4, random_state=3)
    held_out[0, 3] = "peat"  # never seen in training
    inputs = Inputs.columns(alcohol="FP32", proline="FP32", hue="BYTES", soil="BYTES")
    return Table(inputs, train, held_out, train_words)


def _matrix(rows: Rows, answers: Rows) -> Table:
    rows = np.asarray(rows, np.float32)
    train, held_out, train_answers, _ = train_test_split(
        rows, answers, test_size=0.4, random_state=3
    )
    return Table(Inputs.matrix("rows", rows.shape[1]), train, held_out, train_answers)


@cache
def fitted(name: str) -> BaseEstimator:
    """The estimator of a family, fitted once."""
    return fit(FAMILIES[name])


def fit(family: Family) -> BaseEstimator:
    """A family's estimator, fitted on its rows."""
    table = family.table()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some pixels are constant, some networks stop early
        return family.make().fit(table.train, table.train_answers)


def _scaled(model: BaseEstimator) -> Callable[[], BaseEstimator]:
    return lambda: make_pipeline(StandardScaler(), model)


def _columns(model: BaseEstimator, *, encoder: BaseEstimator | None = None) -> Pipeline:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = encoder or OneHotEncoder(handle_unknown="ignore")
    preparation = ColumnTransformer([("numbers", numbers, [0, 1]), ("words", words, [2, 3])])
    return Pipeline([("prepare", preparation), ("model", model)])


_SGD = {"random_state": 1, "tol": 1e-3}

FAMILIES: dict[str, Family] = {
    # Linear
    "LogisticRegression": Family(_scaled(linear_model.LogisticRegression()), digits),
    "LogisticRegression, two classes": Family(_scaled(linear_model.LogisticRegression()), tumours),
    "LogisticRegressionCV": Family(
        _scaled(
            linear_model.LogisticRegressionCV(
                Cs=2, cv=2, use_legacy_attributes=False, l1_ratios=(0,), scoring="accuracy"
            )
        ),
        wine,
    ),
    "SGDClassifier": Family(_scaled(linear_model.SGDClassifier(loss="log_loss", **_SGD)), tumours),
    "Perceptron": Family(_scaled(linear_model.Perceptron(random_state=1)), digits),
    "SGDClassifier, hinge": Family(
        _scaled(linear_model.SGDClassifier(loss="hinge", **_SGD)), digits
    ),
    "RidgeClassifier": Family(_scaled(linear_model.RidgeClassifier()), wine),
    "LinearSVC": Family(_scaled(svm.LinearSVC(random_state=1)), digits),
    "LinearSVC, two classes": Family(_scaled(svm.LinearSVC(random_state=1)), tumours),
    "LinearDiscriminantAnalysis": Family(discriminant_analysis.LinearDiscriminantAnalysis, wine),
    "QuadraticDiscriminantAnalysis": Family(
        _scaled(discriminant_analysis.QuadraticDiscriminantAnalysis()), wine
    ),
    "LinearRegression": Family(linear_model.LinearRegression, diabetes),
    "Ridge": Family(linear_model.Ridge, diabetes),
    "Lasso": Family(lambda: linear_model.Lasso(alpha=0.1), diabetes),
    "ElasticNet": Family(lambda: linear_model.ElasticNet(alpha=0.01), diabetes),
    "BayesianRidge": Family(linear_model.BayesianRidge, diabetes),
    "ARDRegression": Family(linear_model.ARDRegression, diabetes),
    "HuberRegressor": Family(linear_model.HuberRegressor, diabetes),
    "TheilSenRegressor": Family(
        lambda: linear_model.TheilSenRegressor(random_state=1, max_subpopulation=200), diabetes
    ),
    "RANSACRegressor": Family(lambda: linear_model.RANSACRegressor(random_state=1), diabetes),
    "PoissonRegressor": Family(linear_model.PoissonRegressor, diabetes),
    "GammaRegressor": Family(linear_model.GammaRegressor, diabetes),
    "TweedieRegressor": Family(lambda: linear_model.TweedieRegressor(power=1.5), diabetes),
    "QuantileRegressor": Family(lambda: linear_model.QuantileRegressor(alpha=0.0), diabetes),
    "Lars": Family(linear_model.Lars, diabetes),
    "LinearSVR": Family(_scaled(svm.LinearSVR(random_state=1)), diabetes),
    "PLSRegression": Family(PLSRegression, diabetes),
    # Trees
    "DecisionTreeClassifier": Family(lambda: tree.DecisionTreeClassifier(random_state=1), digits),
    "DecisionTreeClassifier, missing values": Family(
        lambda: tree.DecisionTreeClassifier(random_state=1), missing
    ),
    "DecisionTreeRegressor": Family(
        lambda: tree.DecisionTreeRegressor(max_depth=6, random_state=1), diabetes
    ),
    "ExtraTreeClassifier": Family(lambda: tree.ExtraTreeClassifier(random_state=1), digits),
    "RandomForestClassifier": Family(
        lambda: ensemble.RandomForestClassifier(20, random_state=1), digits
    ),
    "RandomForestClassifier, missing values": Family(
        lambda: ensemble.RandomForestClassifier(20, random_state=1), missing
    ),
    "RandomForestRegressor": Family(
        lambda: ensemble.RandomForestRegressor(20, random_state=1), diabetes
    ),
    "ExtraTreesClassifier": Family(
        lambda: ensemble.ExtraTreesClassifier(20, random_state=1), digits
    ),
    "ExtraTreesRegressor": Family(
        lambda: ensemble.ExtraTreesRegressor(20, random_state=1), diabetes
    ),
    "GradientBoostingClassifier": Family(
        lambda: ensemble.GradientBoostingClassifier(n_estimators=20, random_state=1), wine
    ),
    "GradientBoostingRegressor": Family(
        lambda: ensemble.GradientBoostingRegressor(n_estimators=20, random_state=1), diabetes
    ),
    "HistGradientBoostingClassifier": Family(
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=1), digits
    ),
    "HistGradientBoostingClassifier, missing values": Family(
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=1), missing
    ),
    "HistGradientBoostingRegressor": Family(
        lambda: ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=1), diabetes
    ),
    "AdaBoostClassifier": Family(
        lambda: ensemble.AdaBoostClassifier(n_estimators=10, random_state=1), wine
    ),
    "AdaBoostRegressor": Family(
        lambda: ensemble.AdaBoostRegressor(n_estimators=10, random_state=1), diabetes
    ),
    "BaggingClassifier": Family(
        lambda: ensemble.BaggingClassifier(n_estimators=5, random_state=1), wine
    ),
    "BaggingRegressor": Family(
        lambda: ensemble.BaggingRegressor(n_estimators=5, random_state=1), diabetes
    ),
    # Networks
    "MLPClassifier": Family(
        _scaled(neural_network.MLPClassifier((64, 32), max_iter=60, random_state=1)), digits
    ),
    "MLPClassifier, wide": Family(
        _scaled(neural_network.MLPClassifier((512, 256), max_iter=15, random_state=1)), digits
    ),
    "MLPClassifier, two classes": Family(
        _scaled(neural_network.MLPClassifier((16,), max_iter=200, random_state=1)), tumours
    ),
    "MLPClassifier, tanh": Family(
        _scaled(
            neural_network.MLPClassifier((32,), activation="tanh", max_iter=60, random_state=1)
        ),
        digits,
    ),
    "MLPRegressor": Family(
        _scaled(
            neural_network.MLPRegressor(hidden_layer_sizes=(32,), max_iter=500, random_state=1)
        ),
        diabetes,
    ),
    # Kernels and neighbours
    "SVC": Family(_scaled(svm.SVC()), wine),
    "SVC, linear kernel": Family(_scaled(svm.SVC(kernel="linear")), wine),
    "NuSVC": Family(_scaled(svm.NuSVC(nu=0.2)), wine),
    "SVR": Family(_scaled(svm.SVR(C=100)), diabetes),
    "NuSVR": Family(_scaled(svm.NuSVR(C=100)), diabetes),
    "KNeighborsClassifier": Family(lambda: neighbors.KNeighborsClassifier(5), digits),
    "KNeighborsRegressor": Family(lambda: neighbors.KNeighborsRegressor(5), diabetes),
    "GaussianProcessRegressor": Family(
        _scaled(gaussian_process.GaussianProcessRegressor(RBF(10.0), alpha=1.0, normalize_y=True)),
        diabetes,
    ),
    # Bayes
    "GaussianNB": Family(naive_bayes.GaussianNB, wine),
    "BernoulliNB": Family(lambda: naive_bayes.BernoulliNB(binarize=8.0), digits),
    "MultinomialNB": Family(naive_bayes.MultinomialNB, digits),
    "ComplementNB": Family(naive_bayes.ComplementNB, digits),
    # Of other estimators
    "VotingClassifier": Family(
        lambda: ensemble.VotingClassifier(
            [
                ("line", linear_model.LogisticRegression(max_iter=2000)),
                ("tree", tree.DecisionTreeClassifier(max_depth=4, random_state=1)),
            ],
            voting="soft",
        ),
        digits,
    ),
    "VotingRegressor": Family(
        lambda: ensemble.VotingRegressor(
            [("line", linear_model.Ridge()), ("tree", tree.DecisionTreeRegressor(max_depth=4))]
        ),
        diabetes,
    ),
    "StackingClassifier": Family(
        lambda: ensemble.StackingClassifier(
            [("tree", tree.DecisionTreeClassifier(max_depth=4, random_state=1))],
            final_estimator=linear_model.LogisticRegression(),
            cv=2,
        ),
        wine,
    ),
    "StackingRegressor": Family(
        lambda: ensemble.StackingRegressor(
            [("tree", tree.DecisionTreeRegressor(max_depth=4, random_state=1))],
            final_estimator=linear_model.Ridge(),
            cv=2,
        ),
        diabetes,
    ),
    "CalibratedClassifierCV": Family(
        lambda: CalibratedClassifierCV(
            tree.DecisionTreeClassifier(max_depth=4, random_state=1), cv=2
        ),
        wine,
    ),
    "OneVsRestClassifier": Family(
        _scaled(OneVsRestClassifier(linear_model.LogisticRegression())), wine
    ),
    "OneVsOneClassifier": Family(
        _scaled(OneVsOneClassifier(linear_model.LogisticRegression())), wine
    ),
    # Without answers in training
    "KMeans": Family(_scaled(cluster.KMeans(4, n_init=2, random_state=1)), wine),
    "MiniBatchKMeans": Family(lambda: cluster.MiniBatchKMeans(4, n_init=2, random_state=1), digits),
    "IsolationForest": Family(
        lambda: ensemble.IsolationForest(n_estimators=20, random_state=1), wine
    ),
    "OneClassSVM": Family(_scaled(svm.OneClassSVM(nu=0.1)), wine),
    "LocalOutlierFactor": Family(
        lambda: neighbors.LocalOutlierFactor(n_neighbors=5, novelty=True), wine
    ),
    # Preparation in the graph
    "Imputer > Scaler > LogisticRegression": Family(
        lambda: make_pipeline(SimpleImputer(), RobustScaler(), linear_model.LogisticRegression()),
        missing,
    ),
    "MinMaxScaler > PCA > MLPClassifier": Family(
        lambda: make_pipeline(
            MinMaxScaler(),
            PCA(16, random_state=1),
            neural_network.MLPClassifier((32,), max_iter=60, random_state=1),
        ),
        digits,
    ),
    "PolynomialFeatures > Ridge": Family(
        lambda: make_pipeline(PolynomialFeatures(2), linear_model.Ridge()), diabetes
    ),
    "PowerTransformer > LogisticRegression": Family(
        lambda: make_pipeline(PowerTransformer(), linear_model.LogisticRegression()), wine
    ),
    "VarianceThreshold > SelectKBest > LogisticRegression": Family(
        lambda: make_pipeline(
            VarianceThreshold(),
            SelectKBest(f_classif, k=20),
            StandardScaler(),
            linear_model.LogisticRegression(),
        ),
        digits,
    ),
    "QuantileTransformer > LogisticRegression": Family(
        lambda: make_pipeline(
            QuantileTransformer(n_quantiles=50), linear_model.LogisticRegression()
        ),
        wine,
    ),
    "Normalizer > LogisticRegression": Family(
        lambda: make_pipeline(Normalizer(), linear_model.LogisticRegression()), digits
    ),
    "KBinsDiscretizer > LogisticRegression": Family(
        lambda: make_pipeline(
            KBinsDiscretizer(5, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
            linear_model.LogisticRegression(),
        ),
        wine,
    ),
    "FeatureUnion > LogisticRegression": Family(
        lambda: make_pipeline(
            StandardScaler(),
            FeatureUnion([("pca", PCA(3, random_state=1)), ("same", MinMaxScaler())]),
            linear_model.LogisticRegression(),
        ),
        wine,
    ),
    "ColumnTransformer > LogisticRegression": Family(
        lambda: _columns(linear_model.LogisticRegression()), mixed
    ),
    "ColumnTransformer > RandomForestClassifier": Family(
        lambda: _columns(ensemble.RandomForestClassifier(20, random_state=1)), mixed
    ),
    "ColumnTransformer > MLPClassifier": Family(
        lambda: _columns(neural_network.MLPClassifier((16,), max_iter=300, random_state=1)), mixed
    ),
    "ColumnTransformer > OrdinalEncoder > HistGradientBoosting": Family(
        lambda: _columns(
            ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=1),
            encoder=OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        ),
        mixed,
    ),
}

#: What has no converter, or would be converted wrongly: refused, never guessed.
REFUSED: dict[str, tuple[Family, str]] = {
    "NearestCentroid": (
        Family(neighbors.NearestCentroid, wine),
        "There is no ONNX converter for NearestCentroid.",
    ),
    "GaussianProcessClassifier": (
        Family(_scaled(gaussian_process.GaussianProcessClassifier(random_state=1)), tumours),
        "The runtime refuses the model",
    ),
    "SGDClassifier, many sure classes": (
        Family(_scaled(linear_model.SGDClassifier(loss="log_loss", **_SGD)), digits),
        "onnx-fp32 agrees to 99.",  # probabilities of 1 - 1e-9 are all 1 in float32
    ),
    "GaussianMixture": (
        Family(lambda: mixture.GaussianMixture(2, random_state=1), wine),
        "does not end in a model",
    ),
    "StandardScaler": (Family(StandardScaler, wine), "does not end in a model"),
}
