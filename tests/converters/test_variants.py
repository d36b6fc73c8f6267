import msgspec
import pytest
from tests.converters.families import FAMILIES, fitted

from lamplighter_converters.estimators.task import LABEL
from lamplighter_converters.litert.session import LitertSession
from lamplighter_converters.parity.compare import Tolerance
from lamplighter_converters.session import OnnxSession
from lamplighter_converters.variants import Declared, Variants, make_variants
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError

BOTH = Declared(recipes={"onnxruntime": "static", "litert": "static"})


def make(name: str, declared: Declared | None = None) -> Variants:
    table = FAMILIES[name].table()
    return make_variants(
        fitted(name),
        table.inputs,
        calibration=table.train,
        held_out=table.held_out,
        declared=declared,
    )


def test_declared_recipes_give_four_variants_with_the_same_bytes_every_time() -> None:
    first, again = make("MLPClassifier", BOTH), make("MLPClassifier", BOTH)
    assert sorted(first.files) == [
        "litert-fp32.tflite",
        "litert-int8.tflite",
        "onnx-fp32.onnx",
        "onnx-int8.onnx",
    ]
    assert first.files == again.files
    assert encode(first.report.certificate()) == encode(again.report.certificate())
    assert first.report.choices == {}


def test_the_report_is_of_the_files_and_each_file_answers_what_it_says() -> None:
    made = make("MLPClassifier", BOTH)
    table = FAMILIES["MLPClassifier"].table()
    for variant in made.report.variants:
        ending = ".onnx" if variant.runtime == "onnxruntime" else ".tflite"
        raw = made.files[variant.name + ending]
        assert (variant.sha256, variant.size_bytes) == (sha256(raw), len(raw))
        kind = OnnxSession if variant.runtime == "onnxruntime" else LitertSession
        labels = kind(raw).run(table.inputs.feeds(table.held_out))[LABEL]
        assert labels.tolist() == made.answers[variant.name][LABEL].tolist()
        flipped = (labels != fitted("MLPClassifier").predict(table.held_out)).sum()
        assert sum(variant.parity.flips.values()) == flipped
    sizes = {variant.name: variant.size_bytes for variant in made.report.variants}
    assert sizes["litert-int8"] < sizes["litert-fp32"] / 2
    assert sizes["onnx-int8"] < sizes["onnx-fp32"] / 2


def test_the_certificate_holds_nothing_that_is_measured_in_time() -> None:
    certificate = make("MLPClassifier").report.certificate()
    assert set(msgspec.to_builtins(certificate)) == {
        "estimator",
        "rows",
        "rows_sha256",
        "variants",
    }
    assert certificate.estimator == "StandardScaler > MLPClassifier"
    assert all(found.recipe == "float" for found in certificate.variants if "fp32" in found.variant)


def test_trees_stay_float_with_the_reason_and_are_no_litert_file() -> None:
    report = make("RandomForestClassifier").report
    assert [variant.name for variant in report.variants] == ["onnx-fp32"]
    reasons = {one.name: one.reason for one in report.left_out}
    assert reasons["onnx-int8"].startswith("Trees stay float")
    assert reasons["litert-int8"] == "LiteRT: TreeEnsembleClassifier has no counterpart."


def test_what_is_chosen_is_shipped_and_what_is_not_says_why() -> None:
    report = make("MLPClassifier, wide").report
    shipped = {variant.name: variant.recipe for variant in report.variants}
    left_out = {one.name for one in report.left_out}
    assert shipped.keys() | left_out == {"onnx-fp32", "onnx-int8", "litert-fp32", "litert-int8"}
    for runtime, name in (("onnxruntime", "onnx-int8"), ("litert", "litert-int8")):
        choice = report.choices[runtime]  # type: ignore[index]
        assert (choice.recipe == "float") == (name in left_out)
        assert shipped.get(name, "float") == choice.recipe
        assert choice.reason
        assert all(one.parity is not None or one.kept_out for one in choice.candidates)


def test_a_variant_that_loses_more_than_declared_is_refused() -> None:
    strict = msgspec.structs.replace(BOTH, int8=Tolerance(min_agreement=1.0, max_error=1e-6))
    with pytest.raises(LamplighterError, match="onnx-int8") as refused:
        make("MLPClassifier", strict)
    assert refused.value.code == "PARITY_REFUSED"


def test_a_variant_that_loses_more_than_declared_is_left_out_where_int8_is_a_choice() -> None:
    strict = Declared(int8=Tolerance(min_agreement=1.0, max_error=1e-6))
    report = make("MLPClassifier, wide", strict).report
    assert [variant.name for variant in report.variants] == ["onnx-fp32", "litert-fp32"]
    assert {one.name for one in report.left_out} == {"onnx-int8", "litert-int8"}


@pytest.mark.parametrize(
    ("name", "recipes"),
    [
        ("MLPClassifier", {"litert": "dynamic"}),
        ("RandomForestClassifier", {"litert": "static"}),
        ("RandomForestClassifier", {"onnxruntime": "static"}),
    ],
)
def test_a_declared_recipe_that_cannot_be_followed_is_an_error(
    name: str, recipes: dict[str, str]
) -> None:
    with pytest.raises(LamplighterError) as refused:
        make(name, msgspec.convert({"recipes": recipes}, Declared))
    assert refused.value.code == "CONVERSION_REFUSED"
