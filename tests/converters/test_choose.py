import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_converters.parity.answers import Answers
from lamplighter_converters.parity.compare import Parity, Tolerance, compare
from lamplighter_converters.quantize.choose import (
    Candidate,
    Form,
    Goal,
    Recipe,
    choose,
    decide,
    judge,
)
from lamplighter_protocol.errors import LamplighterError

GOAL, TOLERANCE = Goal(), Tolerance(min_agreement=0.97, max_error=0.5)


def parity(agreement: float = 1.0, error: float = 0.1) -> Parity:
    wanted = Answers(np.zeros((2, 1)), np.zeros(2, int))
    found = compare("static", Answers(np.full((2, 1), error), np.zeros(2, int)), wanted)
    return msgspec.structs.replace(found, agreement=agreement)


def candidate(recipe: Recipe = "static", latency: float = 0.5, size: float = 0.3) -> Candidate:
    return Candidate(
        recipe=recipe,
        kept_out=None,
        size_ratio=size,
        latency_ratio=latency,
        batch_shift=0.0,
        parity=parity(),
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latency_ratio": 1.3}, "1.30 of the float model's time"),
        ({"latency_ratio": math.nan}, "of the float model's time"),
        ({"size_ratio": 0.95}, "0.95 of the float model's size"),
        ({"batch_shift": 0.2}, "move each other's answers by 0.2"),
        ({"parity": parity(agreement=0.9)}, "agrees to 90.00%"),
        ({"parity": parity(error=0.7)}, "differs by 0.7"),
        ({"parity": None}, "not measured"),
    ],
)
def test_a_candidate_is_kept_out_with_the_reason(change: dict[str, object], reason: str) -> None:
    judged = judge(msgspec.structs.replace(candidate(), **change), TOLERANCE, GOAL)
    assert judged.kept_out is not None
    assert reason in judged.kept_out
    assert decide((judged,)).recipe == "float"


def test_what_is_within_every_limit_may_be_taken() -> None:
    assert judge(candidate(), TOLERANCE, GOAL).kept_out is None


@given(
    st.lists(
        st.tuples(st.floats(0.01, 1), st.floats(0.01, 0.9), st.booleans()), min_size=1, max_size=4
    )
)
def test_no_candidate_that_may_be_taken_is_much_faster_than_the_choice(
    found: list[tuple[float, float, bool]],
) -> None:
    names: tuple[Recipe, ...] = ("static", "static-per-channel", "dynamic", "static")
    candidates = tuple(
        msgspec.structs.replace(
            candidate(name, latency, size), kept_out="It may not." if out else None
        )
        for name, (latency, size, out) in zip(names, found, strict=False)
    )
    choice = decide(candidates)
    able = [one for one in candidates if one.kept_out is None]
    assert (choice.recipe == "float") == (not able)
    if able:
        taken = [one for one in able if one.recipe == choice.recipe]
        fastest = min(one.latency_ratio or 0 for one in able)
        assert any((one.latency_ratio or 0) <= fastest + 0.11 for one in taken)


def test_one_reason_for_all_is_said_once() -> None:
    out = [
        msgspec.structs.replace(candidate(name), kept_out="Trees stay float.")
        for name in ("static", "dynamic")
    ]
    assert decide(tuple(out)).reason == "Trees stay float."


class Doubling:
    """Answers twice its input; `by_batch` lets rows move each other, as dynamic scales do."""

    def __init__(self, *, by_batch: bool = False) -> None:
        self._by_batch = by_batch

    def run(self, inputs: object) -> dict[str, np.ndarray]:
        assert isinstance(inputs, dict)
        rows = inputs["rows"]
        return {"value": 2 * rows + (0.5 * rows.max() if self._by_batch else 0)}


def test_a_recipe_whose_rows_move_each_other_is_not_taken() -> None:
    rows = {"rows": np.arange(40.0).reshape(-1, 1)}
    choice = choose(
        Form(b"f" * 100, Doubling()),
        {
            "dynamic": Form(b"d", Doubling(by_batch=True)),
            "static": LamplighterError("CONVERSION_REFUSED", "Nothing to shrink."),
        },
        task="regression",
        held_out=rows,
        tolerance=Tolerance(min_agreement=0.0, max_error=1e9),
        goal=Goal(max_latency_ratio=1e9),
    )
    assert choice.recipe == "float"
    assert "move each other" in choice.reason
    assert "static: Nothing to shrink." in choice.reason
