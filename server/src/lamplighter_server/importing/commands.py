"""`lamplighter model import`: on a person's machine, where the file, the data and the keys are."""

from pathlib import Path
from typing import Annotated

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.output import JsonOption, print_facts, print_json
from lamplighter_server.publishing.options import DEFAULT_KEYS_DIR, Asker, KeysDir, show


def import_model(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="An ONNX or LiteRT file.", exists=True, dir_okay=False)
    ],
    model: Annotated[str, typer.Option(help="The model that it becomes a release of.")],
    data: Annotated[str, typer.Option(help="Rows as devices will see them: name or name@vN.")],
    labels: Annotated[
        str, typer.Option(help="What its label output says, by comma; 0,1,... without it.")
    ] = "",
    keys_dir: KeysDir = DEFAULT_KEYS_DIR,
    as_json: JsonOption = False,
) -> None:
    """Publish a classifier that was trained elsewhere, after a look at it in a bounded process.

    The dataset's features are given to it in their order (one input) or by name (several). Its
    answers become golden inputs and the reference that live input is compared with.

    Example: lamplighter model import valve.onnx --model valve --data valves@v2
    """
    from lamplighter_converters.admit.judge import read_model_file
    from lamplighter_protocol.canonical import encode
    from lamplighter_server.data import datasets
    from lamplighter_server.importing.asking import ask_file
    from lamplighter_server.importing.release import build_import
    from lamplighter_server.publishing.client import (
        conclude,
        describe_release,
        next_release,
        propose_release,
    )
    from lamplighter_server.publishing.holder import Holder

    typer.echo("judging the file and asking it", err=True)
    named = [label.strip() for label in labels.split(",")] if labels else []
    asked = ask_file(read_model_file(file), datasets.open(data), named)
    holder = Holder(keys_dir.expanduser())
    with connect(context) as api:
        built = build_import(asked, model=model, release=next_release(api, model))
        proposal = propose_release(api, holder, built.bundle, encode(built.evidence))
        if proposal is not None:
            show(proposal)
            conclude(api, holder, proposal, Asker())
    published = describe_release(built.bundle)
    if as_json:
        print_json({"release": published.release, **built.evidence})
        return
    (measured,) = built.evidence["variants"].values()
    print_facts(
        [
            ("release", f"{published.model}@{published.release}"),
            ("rows", measured["rows"]),
            ("accuracy", measured.get("accuracy", "the dataset has no such labels")),
            ("bundle", published.manifest_sha256),
            ("next", f"lamplighter rollout create {published.model}@{published.release} --start"),
        ]
    )
