import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.overrides.verdict import (
    Decision,
    check_approver,
    check_published,
    read_judged,
)
from lamplighter_server.validation.results import GateResult, Judged, Override

OUTCOMES = st.sampled_from(["passed", "failed", "unknown"])
OVERRIDES = st.builds(
    Override,
    person=st.sampled_from(["anna", "bert"]),
    reason=st.sampled_from(["it is urgent", "the old one is worse"]),
    approved_by=st.sampled_from([None, "cleo"]),
)
DECISIONS = st.none() | st.builds(
    Decision,
    gates=st.frozensets(st.sampled_from(["a", "b", "c"])),
    override=OVERRIDES,
    needs_approval=st.booleans(),
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), OUTCOMES), st.none() | OVERRIDES, DECISIONS
)
def test_a_release_goes_out_only_by_its_gates_or_by_a_decision_that_it_tells_of(
    outcomes: dict[str, str], told: Override | None, decision: Decision | None
) -> None:
    judged = read_judged(
        {
            "validation": {
                "gates": [
                    {"gate": gate, "outcome": outcome, "sentence": "x"}
                    for gate, outcome in outcomes.items()
                ],
                "override": None
                if told is None
                else {
                    "person": told.person,
                    "reason": told.reason,
                    "approved_by": told.approved_by,
                },
                "measured": {"not": "looked at"},
            }
        }
    )
    stopped = {gate for gate, outcome in outcomes.items() if outcome != "passed"}
    allowed = not stopped or (
        decision is not None
        and stopped <= set(decision.gates)
        and told == decision.override
        and (decision.override.approved_by is not None or not decision.needs_approval)
    )
    if allowed:
        check_published(judged, decision)
    else:
        with pytest.raises(LamplighterError, match="GATE_FAILED|APPROVAL_MISSING"):
            check_published(judged, decision)


def test_evidence_without_gates_stands_in_nobodys_way() -> None:
    assert read_judged({"accuracy": 1}) == Judged()
    check_published(read_judged({}), None)


@pytest.mark.parametrize(
    "validation",
    [
        None,
        [],
        {"gates": "none"},
        {"gates": [{"gate": "a"}]},
        {"gates": [{"gate": "a", "outcome": "fine", "sentence": ""}]},
        {"override": {"person": "anna"}},
    ],
)
def test_gates_that_cannot_be_read_are_not_passed(validation: object) -> None:
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        read_judged({"validation": validation})


def test_a_refusal_names_the_gates() -> None:
    result = GateResult(gate="accuracy >= 0.9", outcome="unknown", sentence="it was not measured.")
    with pytest.raises(LamplighterError, match="accuracy >= 0.9: unknown"):
        check_published(Judged(gates=(result,)), None)


def test_nobody_approves_their_own() -> None:
    check_approver("bert", "anna")
    with pytest.raises(LamplighterError, match="APPROVER_IS_CREATOR"):
        check_approver("anna", "anna")
