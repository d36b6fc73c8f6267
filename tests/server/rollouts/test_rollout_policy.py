from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.rollouts.policy import Policy, assign_waves, read_policy

fleets = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
    st.fixed_dictionaries(
        {}, optional={"site": st.sampled_from("abcd"), "ring": st.just("canary")}
    ),
    min_size=1,
    max_size=60,
)
waves = st.lists(st.integers(1, 99), unique=True, max_size=4).map(
    lambda numbers: (*(f"{number}%" for number in sorted(numbers)), "100%")
)


@pytest.mark.parametrize(
    "raw",
    [
        {"waves": []},
        {"waves": ["1", "25%"]},
        {"waves": ["50%", "25%", "100%"]},
        {"waves": ["3", "3", "100%"]},
        {"waves": ["0", "100%"]},
        {"waves": ["101%", "100%"]},
        {"waves": ["all", "100%"]},
        {"waves": [1, "100%"]},
        {"deadline_s": 0},
        {"deadline_s": 10**9},
        {"max_failed_share": 101},
        {"max_failed_share": 0.5},
        {"max_failed_devices": -1},
        {"pause_after_waves": [2]},
        {"pause_after_waves": [-1]},
        {"where": {"site": 1}},
        {"wave": ["100%"]},
    ],
)
def test_a_bad_policy_is_refused_at_creation(raw: dict[str, Any]) -> None:
    with pytest.raises(LamplighterError) as caught:
        read_policy(raw)
    assert caught.value.code == "ROLLOUT_INVALID"


def test_the_default_is_one_canary_then_a_quarter_and_no_failure() -> None:
    policy = read_policy({})
    assert policy.sizes(8) == [1, 2, 8]
    assert policy.sizes(3) == [1, 1, 3]
    assert policy.sizes(1000) == [1, 250, 1000]
    assert policy.tolerated(250) == 0


@pytest.mark.parametrize(
    ("devices", "share", "of", "tolerated"),
    [(2, None, 100, 2), (None, 5, 100, 5), (None, 5, 10, 0), (10, 5, 100, 5), (2, 5, 100, 2)],
)
def test_the_stricter_limit_counts(
    devices: int | None, share: int | None, of: int, tolerated: int
) -> None:
    assert Policy(max_failed_devices=devices, max_failed_share=share).tolerated(of) == tolerated


@given(fleet=fleets, waves=waves, seed=st.text(max_size=5))
def test_every_device_has_one_wave_and_sizes_are_kept(
    fleet: dict[str, dict[str, str]], waves: tuple[str, ...], seed: str
) -> None:
    policy = Policy(waves=waves)
    assigned = assign_waves(policy, fleet, seed=seed)
    assert assigned.keys() == fleet.keys()
    assert assigned == assign_waves(policy, dict(reversed(fleet.items())), seed=seed)
    for wave, size in enumerate(policy.sizes(len(fleet))):
        assert sum(item <= wave for item in assigned.values()) == size


@given(fleet=fleets, canaries=st.integers(1, 6), seed=st.text(max_size=5))
def test_canaries_come_from_different_sites_and_from_their_ring(
    fleet: dict[str, dict[str, str]], canaries: int, seed: str
) -> None:
    policy = Policy(waves=(str(canaries), "100%"))
    first = [d for d, wave in assign_waves(policy, fleet, seed=seed).items() if wave == 0]
    ringed = [device for device, labels in fleet.items() if "ring" in labels]
    assert len(set(first) & set(ringed)) == min(len(first), len(ringed))
    others = [device for device in fleet if device not in ringed]
    pool = ringed or others
    if not ringed or len(ringed) >= len(first):
        sites = {fleet[device].get("site") for device in pool}
        chosen = {fleet[device].get("site") for device in first}
        assert len(chosen) == min(len(first), len(sites))


def test_another_seed_chooses_other_canaries() -> None:
    fleet: dict[str, dict[str, str]] = {f"cam-{i}": {"site": str(i % 4)} for i in range(40)}
    first = {
        tuple(sorted(d for d, w in assign_waves(Policy(), fleet, seed=str(seed)).items() if not w))
        for seed in range(20)
    }
    assert len(first) > 5


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(LamplighterError, match="ROLLOUT_INVALID"):
        read_policy({"\ud800": 1})
