"""`lamplighter train`: from data to a published release, on a person's machine."""

from typing import Annotated

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.output import JsonOption, print_facts, print_json
from lamplighter_server.publishing.options import DEFAULT_KEYS_DIR, Asker, KeysDir, show


def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Option(help="Which experiment: baseline or tuned.")] = "baseline",
    keys_dir: KeysDir = DEFAULT_KEYS_DIR,
    as_json: JsonOption = False,
) -> None:
    """Train, cross-validate, convert, quantize, check, sign and publish the next release.

    Example: lamplighter train --recipe tuned
    """
    from lamplighter_protocol.errors import LamplighterError
    from lamplighter_server.publishing.client import (
        conclude,
        describe_release,
        next_release,
        propose_release,
    )
    from lamplighter_server.publishing.holder import Holder
    from lamplighter_server.training.experiment import RECIPES
    from lamplighter_server.training.release import build_release
    from lamplighter_server.training.run import run_experiment

    if recipe not in RECIPES:
        raise LamplighterError(
            "NOT_FOUND", f"There is no recipe {recipe!r}; there are {', '.join(RECIPES)}."
        )
    holder = Holder(keys_dir.expanduser())
    with connect(context) as api:
        release = next_release(api, RECIPES[recipe].model)
        run = run_experiment(RECIPES[recipe], lambda text: typer.echo(text, err=True))
        typer.echo("converting, quantizing and comparing", err=True)
        built = build_release(run, release)
        proposal = propose_release(api, holder, built.bundle, built.evidence_raw)
        if proposal is not None:
            show(proposal)
            conclude(api, holder, proposal, Asker())
    published = describe_release(built.bundle)
    if as_json:
        print_json({"release": published.release, **built.evidence})
        return
    variants = built.evidence["variants"]
    print_facts(
        [
            ("release", f"{published.model}@{published.release}"),
            ("cross-validated", f"{built.evidence['cross_validation']['mean_accuracy']:.4f}"),
            *(
                (name, f"accuracy {facts['accuracy']:.4f}, {facts['size_bytes']} bytes")
                for name, facts in variants.items()
            ),
            ("bundle", published.manifest_sha256),
            ("next", f"lamplighter rollout create {published.model}@{published.release} --start"),
        ]
    )
