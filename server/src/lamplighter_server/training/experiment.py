"""What is to be trained: data, settings to choose from, and how a device shall judge it."""

from typing import Final, Literal

import msgspec

from lamplighter_protocol.bundle import HealthPolicy


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment; more than one setting means tuning by grid search."""

    model: str
    dataset: str = "digits"
    hidden: tuple[tuple[int, ...], ...]
    """Sizes of the hidden layers to choose from."""
    alpha: tuple[float, ...] = (1e-4,)
    """Strengths of the L2 penalty to choose from."""
    max_iter: int
    folds: int = 5
    seed: int = 20261123
    polarity: Literal["as-scanned", "inverted"] = "as-scanned"
    """Whether black and white are exchanged in all images, as some scanners deliver them."""
    min_agreement: float = 0.97
    """Share of held-out rows on which a quantized variant must give the estimator's label."""
    health: HealthPolicy = HealthPolicy()


#: Experiments by the name that `lamplighter train --recipe` takes.
RECIPES: Final = {
    "baseline": Experiment(model="meter-digits", hidden=((16,),), max_iter=60),
    "tuned": Experiment(
        model="meter-digits",
        hidden=((32,), (64, 32)),
        alpha=(1e-4, 1e-1),
        max_iter=60,
        folds=3,
    ),
    "inverted": Experiment(
        model="meter-digits", hidden=((64, 32),), alpha=(1e-1,), max_iter=60, polarity="inverted"
    ),
}
