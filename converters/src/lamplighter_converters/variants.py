"""Every variant of a fitted estimator that is worth shipping, with its parity certificate."""

import platform
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.estimators.task import Task, task_of
from lamplighter_converters.golden import write_npz
from lamplighter_converters.litert.from_graph import read_network
from lamplighter_converters.litert.session import LitertSession
from lamplighter_converters.litert.writer import write_float, write_int8
from lamplighter_converters.parity.answers import Answers, Array, ask_estimator, read_answers
from lamplighter_converters.parity.certificate import (
    Certificate,
    CertifiedVariant,
    LeftOut,
    describe_estimator,
    versions,
)
from lamplighter_converters.parity.compare import Tolerance, compare, require
from lamplighter_converters.quantize.choose import Choice, Goal, apply, choose
from lamplighter_converters.quantize.latency import latency_ratios
from lamplighter_converters.session import OnnxSession, Outputs
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError

FLOAT: Final = "onnx-fp32"
INT8: Final = "onnx-int8"
LITERT_FLOAT: Final = "litert-fp32"
LITERT_INT8: Final = "litert-int8"
#: What a float variant may lose: rounding, and the rows on which it crosses a threshold.
EXACT: Final = Tolerance(min_agreement=0.999, max_error=1e-3)


class Session(Protocol):
    """A loaded model of either runtime."""

    def run(self, inputs: Mapping[str, Array]) -> Outputs:
        """The outputs by name."""
        ...


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of the variants, before anything is measured."""

    exact: Tolerance = EXACT
    int8: Tolerance = Tolerance(min_agreement=0.97, max_error=1.0)
    goal: Goal = Goal()


class Variants(msgspec.Struct, frozen=True, kw_only=True):
    """Files by variant, and what is known about them."""

    files: dict[str, bytes]
    certificate: Certificate
    choice: Choice
    """The recipe of `onnx-int8`; give it again to build the same bytes without measuring."""
