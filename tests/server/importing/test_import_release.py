"""Files from elsewhere on real data, and what the device makes of the release."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.converters.families import FAMILIES, fitted
from tests.converters.test_admit import changed, elsewhere
from tests.server.data.conftest import Adder
from tests.server.publishing.conftest import PASSPHRASE
from typer.testing import CliRunner

from lamplighter_agent.observe.answers import AnswerReader
from lamplighter_agent.observe.counting import Counting
from lamplighter_agent.runtime.golden import read_golden, self_test
from lamplighter_agent.runtime.load import load
from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.litert.from_graph import read_network
from lamplighter_converters.litert.writer import write_float
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.cli.app import app
from lamplighter_server.data import datasets
from lamplighter_server.data.datasets import Dataset
from lamplighter_server.importing.asking import ask_file
from lamplighter_server.importing.release import Imported, build_import
from lamplighter_server.importing.rows import feed
from lamplighter_server.publishing.client import publish_release
from lamplighter_server.publishing.steps import check_bundle

ROWS, ANSWERS = load_wine(return_X_y=True)


@pytest.fixture
def wines(add: Adder, tmp_path: Path) -> Dataset:
    names = [f"m{at}" for at in range(13)]
    lines = [",".join([*names, "label"])]
    lines += [",".join(map(str, [*row, at])) for row, at in zip(ROWS, ANSWERS, strict=True)]
    (tmp_path / "wines.csv").write_text("\n".join(lines) + "\n")
    add(tmp_path / "wines.csv", name="wines")
    return datasets.open("wines")


@pytest.fixture(scope="module")
def wine_onnx() -> bytes:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, ANSWERS)
    return to_onnx(model, Inputs.matrix("measured", 13))


def without_label(raw: bytes) -> bytes:
    model = onnx.load_from_string(raw)
    del model.graph.output[0]
    short: bytes = model.SerializeToString()
    return short


def runs_on_a_device(built: Imported, folder: Path) -> None:
    """Self-test, reading and counting by the agent's own code."""
    check_bundle(built.bundle)
    manifest = built.bundle.manifest
    (variant,) = manifest.variants
    for name, raw in built.bundle.files.items():
        (folder / name).write_bytes(raw)
    session = load(variant.runtime, folder / variant.file)
    golden = read_golden(folder / manifest.golden.file)
    self_test(session, manifest, variant, golden)
    counting = Counting(manifest)
    for row in range(manifest.golden.rows):
        inputs = {spec.name: golden[spec.name][row : row + 1] for spec in manifest.inputs}
        answers = AnswerReader(manifest).read(session.run(inputs), 1)
        counting.answered(inputs, answers, 0.001)
    counts = counting.take()
    assert counts.rows == manifest.golden.rows
    for name, slots in counts.columns.items():
        within = np.array(manifest.reference.columns[name]) > 0
        assert np.array(slots)[~within].sum() == 0  # golden rows are rows of the reference


def test_an_onnx_classifier_becomes_a_release(
    wines: Dataset, wine_onnx: bytes, tmp_path: Path
) -> None:
    built = build_import(ask_file(wine_onnx, wines), model="wine", release=1)
    manifest = built.bundle.manifest
    assert [column.name for column in manifest.columns] == [f"m{at}" for at in range(13)]
    assert manifest.lineage.dataset_sha256 == wines.sha256
    assert built.bundle.files["onnx.onnx"] == wine_onnx
    assert built.evidence["variants"]["onnx"]["accuracy"] > 0.95
    assert sum(manifest.reference.predicted) == 178
    runs_on_a_device(built, tmp_path)
    again = build_import(ask_file(wine_onnx, wines), model="wine", release=1)
    assert again.bundle.sha256 == built.bundle.sha256


def without_litert_label(raw: bytes) -> bytes:
    return write_float(dataclasses.replace(read_network(raw), label_name=None))


@pytest.mark.parametrize("form", [without_label, without_litert_label])
def test_a_file_without_a_label_is_given_one(
    form: Callable[[bytes], bytes], wines: Dataset, wine_onnx: bytes, tmp_path: Path
) -> None:
    built = build_import(ask_file(form(wine_onnx), wines), model="wine", release=1)
    assert built.evidence["variants"].popitem()[1]["accuracy"] > 0.95
    label, probabilities = (spec.name for spec in built.bundle.manifest.outputs)
    assert label.startswith("label")
    assert probabilities == "probabilities"
    runs_on_a_device(built, tmp_path)


def test_words_go_in_by_name_and_are_counted_as_categories(add: Adder, tmp_path: Path) -> None:
    name = "ColumnTransformer > LogisticRegression"
    table = FAMILIES[name].table()
    lines = ["alcohol,proline,hue,soil"]
    for alcohol, proline, hue, soil in table.held_out:
        known = "" if np.isnan(alcohol) else alcohol
        lines.append(f'{known},{proline},{hue},"{soil}"')
    (tmp_path / "mixed.csv").write_text("\n".join(lines) + "\n")
    add(tmp_path / "mixed.csv", name="mixed")
    raw = to_onnx(fitted(name), table.inputs)
    built = build_import(ask_file(raw, datasets.open("mixed")), model="wine", release=1)
    manifest = built.bundle.manifest
    kinds = {column.name: column.kind for column in manifest.columns}
    assert kinds == {
        "alcohol": "numeric",
        "proline": "numeric",
        "hue": "category",
        "soil": "category",
    }
    assert "tensor-types-2" in manifest.requires
    assert manifest.reference.columns["alcohol"][-1] > 0  # missing values are null
    runs_on_a_device(built, tmp_path)


def scores(raw: bytes) -> bytes:
    model = onnx.load_from_string(raw)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "post_transform":
                attribute.s = b"NONE"
    for node in [node for node in model.graph.node if node.op_type == "Normalizer"]:
        node.op_type, node.domain = "Identity", ""
        del node.attribute[:]
    changed: bytes = model.SerializeToString()
    return changed


@pytest.mark.parametrize(
    ("change", "labels", "sentence"),
    [
        (scores, (), "no probabilities"),
        (lambda raw: raw, ("a", "b", "c"), "answers the labels"),
        (lambda raw: raw, ("0", "1"), "2 labels were given"),
    ],
    ids=["scores", "other labels", "too few labels"],
)
def test_a_file_that_answers_something_else_is_refused(
    change: Callable[[bytes], bytes],
    labels: tuple[str, ...],
    sentence: str,
    wines: Dataset,
    wine_onnx: bytes,
) -> None:
    with pytest.raises(LamplighterError, match=sentence) as refused:
        ask_file(change(wine_onnx), wines, labels)
    assert refused.value.code == "MODEL_SIGNATURE_MISMATCH"


def test_a_file_that_takes_something_else_is_refused(add: Adder, patients: Path) -> None:
    add(patients, patient="personal", ward="group")
    table = FAMILIES["LogisticRegression"].table()
    raw = to_onnx(fitted("LogisticRegression"), table.inputs)
    with pytest.raises(LamplighterError, match="the dataset has 2 values in a row") as refused:
        ask_file(raw, datasets.open("rows"))
    assert refused.value.code == "MODEL_SIGNATURE_MISMATCH"


def test_a_regressor_is_refused(wines: Dataset) -> None:
    from sklearn.linear_model import Ridge

    raw = to_onnx(Ridge().fit(ROWS, ANSWERS), Inputs.matrix("measured", 13))
    with pytest.raises(LamplighterError, match="MODEL_SIGNATURE_MISMATCH"):
        ask_file(raw, wines)


def test_an_imported_model_is_published(
    wines: Dataset, wine_onnx: bytes, api: Api, established: Path
) -> None:
    built = build_import(ask_file(wine_onnx, wines), model="wine", release=1)
    evidence = encode(built.evidence)
    published = publish_release(api, established, PASSPHRASE, built.bundle, evidence)
    assert published.manifest_sha256 == built.bundle.sha256
    found = api.get("/api/v1/models/wine/releases/1")
    assert found["manifest"]["lineage"]["parameters"] == {"imported_sha256": sha256(wine_onnx)}
    assert found["evidence"]["variants"]["onnx"]["accuracy"] > 0.95


FREE = TensorSpec(name="x", datatype="FP32", shape=(-1, -1))
SPEC = TensorSpec(name="x", datatype="FP32", shape=(-1, 2, 3))


@pytest.mark.parametrize(
    ("spec", "features", "shape"),
    [
        (SPEC, {"grid": np.zeros((5, 2, 3))}, (5, 2, 3)),
        (SPEC, {"row": np.zeros((5, 6))}, (5, 2, 3)),
        (SPEC, {f"f{at}": np.zeros(5) for at in range(6)}, (5, 2, 3)),
        (FREE, {"a": np.zeros(5), "b": np.ones(5)}, (5, 2)),
    ],
    ids=["a tensor", "a flat tensor", "columns", "a free width"],
)
def test_rows_take_the_shape_of_the_input(
    spec: TensorSpec, features: dict[str, np.ndarray], shape: tuple[int, ...]
) -> None:
    tensors, _ = feed([spec], features)
    assert tensors["x"].shape == shape
    assert tensors["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("datatype", "features", "sentence"),
    [
        ("FP32", {"grid": np.zeros((5, 7))}, "has 7 values in a row"),
        ("FP32", {"grid": np.zeros((5, 6)), "more": np.zeros(5)}, "other features beside"),
        ("FP32", {f"f{at}": np.array(["a"] * 5, object) for at in range(6)}, "holds other values"),
        ("INT8", {"grid": np.full((5, 6), 200.0)}, "whole numbers"),
        ("INT64", {"grid": np.full((5, 6), 0.5)}, "whole numbers"),
        ("FP32", {}, "no feature"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_rows_that_do_not_fit_are_refused(
    datatype: Any, features: dict[str, np.ndarray], sentence: str
) -> None:
    with pytest.raises(LamplighterError, match=sentence) as refused:
        feed([msgspec.structs.replace(SPEC, datatype=datatype)], features)
    assert refused.value.code == "MODEL_SIGNATURE_MISMATCH"


def test_a_hostile_file_ends_the_command_before_anybody_is_asked(
    wines: Dataset, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(changed(elsewhere))
    command = ["--server", "http://127.0.0.1:9", "model", "import", str(file)]
    result = CliRunner().invoke(app, [*command, "--model", "wine", "--data", "wines"])
    assert isinstance(result.exception, LamplighterError)
    assert result.exception.code == "MODEL_FILE_UNSAFE"
