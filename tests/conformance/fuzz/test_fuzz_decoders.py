"""The law of every decoder: a value or an expected error, in bounded time, and nothing else."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.fuzz.decoders import DECODERS
from tests.conformance.fuzz.law import CRASHERS, check_law
from tests.conformance.fuzz.mutations import mutate

EXAMPLES: Final = 100
#: It warns of serial numbers that a later version will refuse.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")


@pytest.mark.parametrize("name", DECODERS)
def test_hostile_bytes_are_a_value_or_an_expected_error(name: str) -> None:
    @settings(max_examples=EXAMPLES, database=None, deadline=None)
    @given(st.sampled_from(DECODERS[name].seeds), st.integers(0, 2**64))
    def law(seed: bytes, number: int) -> None:
        check_law(name, mutate(seed, number))

    law()


@pytest.mark.parametrize("name", DECODERS)
def test_the_seeds_are_accepted(name: str) -> None:
    for seed in DECODERS[name].seeds:
        DECODERS[name].read(seed)


@pytest.mark.parametrize("path", sorted(CRASHERS.glob("*/*")), ids=lambda path: path.parent.name)
def test_what_once_crashed_does_not_any_more(path: Path) -> None:
    check_law(path.parent.name, path.read_bytes())
