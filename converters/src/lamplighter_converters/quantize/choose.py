"""Which form of int8 a model gets, if any: measured, within what was declared, or float.

What was measured on one kind of processor decides for that kind. A choice is recorded, so that a
release can be built again without measuring again.
"""

import platform
from collections.abc import Mapping
from functools import partial
from typing import Final, Literal, Protocol

import msgspec
import numpy as np

from lamplighter_converters.estimators.task import Task
from lamplighter_converters.parity.answers import Array, read_answers
from lamplighter_converters.parity.compare import Parity, Tolerance, compare, require
from lamplighter_converters.quantize.latency import latency_ratios
from lamplighter_protocol.errors import LamplighterError

Recipe = Literal["float", "static", "static-per-channel", "dynamic"]
Tensors = Mapping[str, Array]
_ALONE_ROWS: Final = 32


class Session(Protocol):
    """A loaded model of either runtime."""

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """The outputs by name."""
        ...


class Form(msgspec.Struct, frozen=True):
    """A model by one recipe: its file, and the same loaded."""

    raw: bytes
    session: Session


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """When int8 pays; ratios to the float model of the same runtime."""

    max_latency_ratio: float = 1.05
    """Above 1 by what measuring is good for: equally fast and smaller pays."""
    max_size_ratio: float = 0.9
    max_batch_shift: float = 0.01
    """How far an answer may move with the rows that are asked beside it (ADR 8)."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One recipe, what it gives and what it costs beside the float model."""

    recipe: Recipe
    kept_out: str | None
    """Why it is not taken; None if it may be."""
    size_ratio: float | None = None
    latency_ratio: float | None = None
    batch_shift: float | None = None
    parity: Parity | None = None
    """Against the float model."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The recipe that was taken on one kind of processor, and why."""

    recipe: Recipe
    reason: str
    machine: str
    candidates: tuple[Candidate, ...]


def choose(
    base: Form,
    forms: Mapping[Recipe, Form | LamplighterError],
    *,
    task: Task,
    held_out: Tensors,
    tolerance: Tolerance,
    goal: Goal,
) -> Choice:
    """Hold every recipe against the float model and take what pays, or float with the reason.

    Args:
        base: The float model.
        forms: The same model by other recipes, or why there is none.
        task: What it answers.
        held_out: Rows to compare on, by input tensor.
        tolerance: What a variant may lose against the float model.
        goal: When int8 pays.
    """
    wanted = read_answers(task, base.session.run(held_out))
    made = {recipe: form for recipe, form in forms.items() if isinstance(form, Form)}
    one = {name: rows[:1] for name, rows in held_out.items()}
    ratios = latency_ratios(
        partial(base.session.run, one),
        {recipe: partial(form.session.run, one) for recipe, form in made.items()},
    )
    candidates = []
    for recipe, form in forms.items():
        if isinstance(form, LamplighterError):
            candidates.append(Candidate(recipe=recipe, kept_out=form.sentence))
            continue
        answered = read_answers(task, form.session.run(held_out))
        measured = Candidate(
            recipe=recipe,
            kept_out=None,
            size_ratio=round(len(form.raw) / len(base.raw), 3),
            latency_ratio=ratios[recipe],
            batch_shift=_batch_shift(form.session, task, held_out),
            parity=compare(recipe, answered, wanted),
        )
        candidates.append(judge(measured, tolerance, goal))
    return decide(tuple(candidates))


def judge(measured: Candidate, tolerance: Tolerance, goal: Goal) -> Candidate:
    """The same candidate, kept out with the reason if it loses too much or does not pay."""
    reason = None
    parity, latency, size = measured.parity, measured.latency_ratio, measured.size_ratio
    if parity is None or latency is None or size is None or measured.batch_shift is None:
        reason = "It was not measured."
    elif not measured.batch_shift <= goal.max_batch_shift:
        reason = f"The rows of a batch move each other's answers by {measured.batch_shift:.2g}."
    elif not latency <= goal.max_latency_ratio:
        reason = f"It takes {latency:.2f} of the float model's time."
    elif not size <= goal.max_size_ratio:
        reason = f"It takes {size:.2f} of the float model's size."
    else:
        try:
            require(parity, tolerance)
        except LamplighterError as error:
            reason = error.sentence
    return msgspec.structs.replace(measured, kept_out=reason)


def decide(candidates: tuple[Candidate, ...]) -> Choice:
    """The fastest candidate that was not kept out; of equally fast ones the smallest."""

    def rank(candidate: Candidate) -> tuple[float, float]:
        return round(candidate.latency_ratio or 0, 1), candidate.size_ratio or 0

    able = sorted((one for one in candidates if one.kept_out is None), key=rank)
    if able:
        best = able[0]
        recipe: Recipe = best.recipe
        reason = f"{best.latency_ratio:.2f} of the time and {best.size_ratio:.2f} of the size."
    else:
        recipe = "float"
        reasons = dict.fromkeys(str(one.kept_out) for one in candidates)
        by_reason = {
            reason: [one.recipe for one in candidates if one.kept_out == reason]
            for reason in reasons
        }
        reason = (
            next(iter(reasons))
            if len(reasons) == 1
            else " ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())
        )
    return Choice(recipe=recipe, reason=reason, machine=platform.machine(), candidates=candidates)


def _batch_shift(session: Session, task: Task, rows: Tensors) -> float:
    """How far answers in a batch lie from the same rows asked alone."""
    few = {name: values[:_ALONE_ROWS] for name, values in rows.items()}
    together = read_answers(task, session.run(few)).numbers
    alone = [
        read_answers(task, session.run({name: values[[at]] for name, values in few.items()}))
        for at in range(len(together))
    ]
    shift = np.abs(np.concatenate([one.numbers for one in alone]) - together)
    return float((shift / np.maximum(1, np.abs(together))).max())
