import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.core.health import GO, WAIT, Verdict, sampling_radius, verdict
from lamplighter_agent.ports.worker import Beat
from lamplighter_protocol.bundle import HealthPolicy
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts

REFERENCE = Counts(
    rows=100, columns={}, predictions=[[50], [50]], latency=[0] * LATENCY_SLOTS, errors={}
)
POLICY = HealthPolicy(probation_s=60, probation_max_s=600, min_requests=10)


def beat(
    requests: int = 100,
    *,
    slot: int = 5,
    predicted: tuple[int, int] = (50, 50),
    errors: int = 0,
    rss_mb: float = 60.0,
) -> Beat:
    latency = [0] * LATENCY_SLOTS
    latency[slot] = requests - errors
    return Beat(
        requests=requests,
        predicted=list(predicted),
        latency=latency,
        errors={"INFERENCE_FAILED": errors} if errors else {},
        rss_mb=rss_mb,
    )


def judge(
    totals: Beat | None,
    *,
    crashes: int = 0,
    elapsed_s: float = 61,
    connected_s: float | None = None,
    connected: bool = True,
    policy: HealthPolicy = POLICY,
) -> Verdict:
    return verdict(
        policy,
        REFERENCE,
        totals,
        crashes=crashes,
        elapsed_s=elapsed_s,
        connected_s=elapsed_s if connected_s is None else connected_s,
        connected=connected,
    )


def code(found: Verdict) -> str | None:
    assert (found.decision == "back") == (found.failure is not None)
    return found.failure.code if found.failure else None


def test_a_healthy_release_is_committed_after_probation_with_enough_requests() -> None:
    assert judge(beat()) == GO
    assert judge(beat(), elapsed_s=59) == WAIT
    assert judge(beat(9)) == WAIT
    assert judge(None) == WAIT


@pytest.mark.parametrize(
    ("totals", "wanted"),
    [
        (beat(rss_mb=512.1), "MEMORY_OVER_BUDGET"),
        (beat(errors=6), "ERRORS_OVER_BUDGET"),
        (beat(slot=LATENCY_SLOTS - 1), "LATENCY_OVER_BUDGET"),
        (beat(predicted=(100, 0)), None),
        (beat(predicted=(0, 0)), None),
    ],
)
def test_each_limit_leads_back_at_any_time(totals: Beat, wanted: str | None) -> None:
    assert code(judge(totals, elapsed_s=1)) == wanted


def test_collapsed_outputs_lead_back() -> None:
    strict = msgspec.structs.replace(POLICY, output_shift_max=0.2)
    assert code(judge(beat(predicted=(100, 0)), policy=strict)) == "OUTPUT_COLLAPSED"
    assert judge(beat(predicted=(49, 0)), policy=strict) == GO


@pytest.mark.parametrize("labels", [2, 10])
def test_however_often_it_is_looked_at_an_allowed_shift_leads_back_in_one_of_1000(
    labels: int,
) -> None:
    """Over 2,000 rows, looked at after each, with the shift at its limit."""
    allowed, trials = 0.2, 500
    reference = np.full(labels, 1 / labels)
    moved = reference.copy()
    moved[0] += allowed
    moved[1:] -= allowed / (labels - 1)
    random = np.random.default_rng()
    rows = np.arange(1, 2001)
    radius = np.array([sampling_radius(int(n), labels) for n in rows])
    back = 0
    for _ in range(trials):
        drawn = np.eye(labels)[random.choice(labels, len(rows), p=moved)].cumsum(axis=0)
        shift = np.abs(drawn / rows[:, None] - reference).sum(axis=1) / 2
        back += bool((shift - radius > allowed).any())
    assert back <= 5, f"{back} of {trials}; 0.5 are promised"


@pytest.mark.parametrize(("labels", "rows"), [(2, 100), (10, 200)])
def test_a_shift_far_beyond_the_limit_is_found_soon(labels: int, rows: int) -> None:
    assert sampling_radius(rows, labels) < 0.25
    assert all(sampling_radius(n + 1, labels) < sampling_radius(n, labels) for n in range(1, 2_000))


def test_labels_that_nobody_signed_lead_back() -> None:
    strange = msgspec.structs.replace(beat(), predicted=[1, 2, 3])
    assert code(judge(strange)) == "OUTPUT_COLLAPSED"


def test_few_requests_prove_nothing() -> None:
    assert judge(beat(19, errors=19)) == GO
    assert judge(beat(49, slot=LATENCY_SLOTS - 1)) == GO


def test_repeated_crashes_lead_back() -> None:
    assert judge(beat(), crashes=2) == GO
    assert code(judge(None, crashes=3)) == "WORKER_CRASHED"


def test_a_lost_server_extends_probation_and_rolls_nothing_back() -> None:
    assert judge(beat(), elapsed_s=10_000, connected_s=30, connected=False) == WAIT
    assert judge(beat(), elapsed_s=10_000, connected_s=30) == GO
    assert judge(beat(1), elapsed_s=10_000, connected_s=30) == WAIT


def test_too_few_requests_in_the_longest_probation_lead_back() -> None:
    assert code(judge(beat(1), elapsed_s=700)) == "PROBATION_TIMEOUT"
    assert code(judge(None, elapsed_s=700)) == "PROBATION_TIMEOUT"


@given(
    st.none() | st.builds(beat, st.integers(0, 200), slot=st.integers(0, LATENCY_SLOTS - 1)),
    st.integers(0, 5),
    st.floats(0, 1e4),
    st.booleans(),
)
def test_without_data_or_server_there_is_no_go(
    totals: Beat | None, crashes: int, elapsed_s: float, connected: bool
) -> None:
    found = judge(totals, crashes=crashes, elapsed_s=elapsed_s, connected=connected)
    if totals is None or not connected or crashes > POLICY.max_crashes or elapsed_s < 60:
        assert found != GO
