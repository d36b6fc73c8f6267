"""Every variant of a fitted estimator that is worth shipping, and what is known about each."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from sklearn.base import BaseEstimator

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.estimators.task import Task, task_of
from lamplighter_converters.golden import write_npz
from lamplighter_converters.litert.from_graph import read_network
from lamplighter_converters.litert.session import LitertSession
from lamplighter_converters.litert.writer import write_float, write_int8
from lamplighter_converters.parity.answers import Answers, Array, ask_estimator, read_answers
from lamplighter_converters.parity.compare import Tolerance, compare, require
from lamplighter_converters.quantize.choose import Choice, Form, Goal, Recipe, choose
from lamplighter_converters.quantize.int8 import to_dynamic_int8, to_int8
from lamplighter_converters.report import (
    LeftOut,
    Report,
    ReportedVariant,
    describe_estimator,
    report_variant,
    versions,
)
from lamplighter_converters.session import OnnxSession
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError

Tensors = Mapping[str, Array]
Makers = Mapping[Recipe, Callable[[], Form]]

#: Variants of a runtime, and how their files end.
NAMES: Final[dict[Runtime, tuple[str, str, str]]] = {
    "onnxruntime": ("onnx-fp32", "onnx-int8", ".onnx"),
    "litert": ("litert-fp32", "litert-int8", ".tflite"),
}
#: What a float variant may lose: rounding, and the rows on which it crosses a threshold.
EXACT: Final = Tolerance(min_agreement=0.999, max_error=1e-3)


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of the variants, before anything is measured."""

    exact: Tolerance = EXACT
    int8: Tolerance = Tolerance(min_agreement=0.97, max_error=1.0)
    goal: Goal = Goal()
    recipes: dict[Runtime, Recipe | None] = msgspec.field(
        default_factory=lambda: {"onnxruntime": None, "litert": None}
    )
    """The runtimes to make files for. A recipe is followed or the error is raised; None chooses
    by measurement, and what cannot be made or does not pay is left out with the reason."""


class Variants(msgspec.Struct, frozen=True, kw_only=True):
    """Files by variant, and what is known about them. `onnx-fp32` is always among them."""

    files: dict[str, bytes]
    """By file name: the variant's and the ending of its format."""
    answers: dict[str, dict[str, Array]]
    """The outputs for the held-out rows, by variant."""
    report: Report


def make_variants(
    estimator: BaseEstimator,
    inputs: Inputs,
    *,
    calibration: Any,  # noqa: ANN401 - a matrix or a data frame
    held_out: Any,  # noqa: ANN401 - a matrix or a data frame
    declared: Declared | None = None,
) -> Variants:
    """Convert, quantize and compare.

    Args:
        estimator: A fitted estimator or pipeline.
        inputs: What the graphs shall take.
        calibration: Rows that it was trained on, to find scales with.
        held_out: Other rows, to compare on.
        declared: What is wanted.

    Raises:
        LamplighterError: CONVERSION_REFUSED or PARITY_REFUSED if not even the float ONNX variant
            can be had, or a declared recipe cannot be followed.
    """
    work = _Work(estimator, inputs, calibration, held_out, declared or Declared())
    for runtime, recipe in work.declared.recipes.items():
        work.add(runtime, recipe)
    return work.done()


class _Work:
    """Collects variants that passed, and what was left out."""

    def __init__(
        self,
        estimator: BaseEstimator,
        inputs: Inputs,
        calibration: Any,  # noqa: ANN401
        held_out: Any,  # noqa: ANN401
        declared: Declared,
    ) -> None:
        self.declared = declared
        self._task: Task = task_of(estimator)
        self._kind = describe_estimator(estimator)
        self._calibration, self._rows = inputs.feeds(calibration), inputs.feeds(held_out)
        self._wanted = ask_estimator(estimator, held_out)
        self._onnx = to_onnx(estimator, inputs)
        self._files: dict[str, bytes] = {}
        self._answers: dict[str, dict[str, Array]] = {}
        self._passed: list[ReportedVariant] = []
        self._left_out: list[LeftOut] = []
        self._choices: dict[Runtime, Choice] = {}

    def add(self, runtime: Runtime, recipe: Recipe | None) -> None:
        """The float variant of a runtime, and the int8 one if it is declared or pays."""
        exact, quantized, _ = NAMES[runtime]
        try:
            makers = dict(_MAKERS[runtime](self._onnx, self._calibration))
            base = makers.pop("float")()
            self._ship(exact, runtime, "float", base)
        except LamplighterError as error:
            if runtime == "onnxruntime" or recipe is not None:
                raise
            self._leave_out((exact, quantized), error.code, error.sentence)
            return
        if recipe is None:
            self._choose(runtime, base, makers)
        elif recipe in makers:
            self._ship(quantized, runtime, recipe, makers[recipe]())
        elif recipe != "float":
            raise LamplighterError("CONVERSION_REFUSED", f"{runtime} has no recipe {recipe}.")

    def done(self) -> Variants:
        """All of it."""
        return Variants(
            files=self._files,
            answers=self._answers,
            report=Report(
                estimator=self._kind,
                task=self._task,
                rows=len(self._wanted.numbers),
                rows_sha256=sha256(write_npz(self._rows)),
                variants=tuple(self._passed),
                left_out=tuple(self._left_out),
                choices=self._choices,
                versions=versions(),
            ),
        )

    def _choose(self, runtime: Runtime, base: Form, makers: Makers) -> None:
        forms = {recipe: _attempt(make) for recipe, make in makers.items()}
        choice = self._choices[runtime] = choose(
            base,
            forms,
            task=self._task,
            held_out=self._rows,
            tolerance=self.declared.int8,
            goal=self.declared.goal,
        )
        name = NAMES[runtime][1]
        chosen = forms.get(choice.recipe)
        if not isinstance(chosen, Form):
            self._leave_out((name,), "CONVERSION_REFUSED", choice.reason)
            return
        try:
            self._ship(name, runtime, choice.recipe, chosen)
        except LamplighterError as error:
            self._leave_out((name,), error.code, error.sentence)

    def _ship(self, name: str, runtime: Runtime, recipe: Recipe, form: Form) -> None:
        """Take a variant, if it answers as the estimator does."""
        tolerance = self.declared.exact if recipe == "float" else self.declared.int8
        outputs = form.session.run(self._rows)
        answered: Answers = read_answers(self._task, outputs)
        parity = require(compare(name, answered, self._wanted), tolerance)
        self._passed.append(
            report_variant(name, runtime, recipe, form.raw, parity=parity, tolerance=tolerance)
        )
        self._files[name + NAMES[runtime][2]] = form.raw
        self._answers[name] = outputs

    def _leave_out(self, names: tuple[str, ...], code: str, reason: str) -> None:
        self._left_out += [LeftOut(name=name, code=code, reason=reason) for name in names]


def _attempt(make: Callable[[], Form]) -> Form | LamplighterError:
    try:
        return make()
    except LamplighterError as error:
        return error


def _onnx_makers(raw: bytes, calibration: Tensors) -> Makers:
    def form(made: bytes) -> Form:
        return Form(made, OnnxSession(made))

    return {
        "float": lambda: form(raw),
        "static": lambda: form(to_int8(raw, calibration)),
        "static-per-channel": lambda: form(to_int8(raw, calibration, per_channel=True)),
        "dynamic": lambda: form(to_dynamic_int8(raw)),
    }


def _litert_makers(raw: bytes, calibration: Tensors) -> Makers:
    network = read_network(raw)

    def form(made: bytes) -> Form:
        return Form(made, LitertSession(made))

    return {
        "float": lambda: form(write_float(network)),
        "static": lambda: form(write_int8(network, calibration[network.input_name])),
    }


_MAKERS: Final[dict[Runtime, Callable[[bytes, Tensors], Makers]]] = {
    "onnxruntime": _onnx_makers,
    "litert": _litert_makers,
}
