"""Runs that cost seconds are made once."""

import pytest

from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import BuiltRelease, build_release
from lamplighter_server.training.run import Run, run_experiment


@pytest.fixture(scope="session")
def runs() -> dict[str, Run]:
    return {name: run_experiment(experiment) for name, experiment in RECIPES.items()}


@pytest.fixture(scope="session")
def built(runs: dict[str, Run]) -> dict[str, BuiltRelease]:
    return {name: build_release(run, 1) for name, run in runs.items()}
