import numpy as np

from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.run import Run, run_experiment


def test_a_run_says_what_was_validated_and_measured(runs: dict[str, Run]) -> None:
    run = runs["baseline"]
    assert len(run.fold_accuracies) == run.experiment.folds
    assert run.metrics["rows"] == len(run.held_out.labels)
    confusion = np.array(run.metrics["confusion"])
    assert confusion.sum() == run.metrics["rows"]
    assert run.metrics["accuracy"] == confusion.trace() / confusion.sum()


def test_tuning_pays(runs: dict[str, Run]) -> None:
    baseline, tuned = runs["baseline"], runs["tuned"]
    assert np.mean(tuned.fold_accuracies) > np.mean(baseline.fold_accuracies) + 0.02
    assert tuned.metrics["accuracy"] > baseline.metrics["accuracy"] + 0.02


def test_the_same_seed_gives_the_same_run(runs: dict[str, Run]) -> None:
    said: list[str] = []
    again = run_experiment(RECIPES["baseline"], said.append)
    assert again.fold_accuracies == runs["baseline"].fold_accuracies
    assert again.metrics == runs["baseline"].metrics
    assert said
